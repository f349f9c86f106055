#include "runtime/snapshot/checkouts.hpp"

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <thread>

#include "runtime/objects/sha256.hpp"
#include "tests/runtime/snapshot/trees.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::snapshot;

namespace {

const Owner kOwner{::getuid(), ::getgid()};

bool can_mount() { return ::geteuid() == 0; }

struct Workshop {
  os::TempDir root;
  os::TempDir node;
  objects::Store store{node / "store"};

  Manifest snapshot() {
    const auto scanned = scan(root.path(), {});
    return receive(store, pack_of(scanned, root.path())).manifest;
  }
  std::string checkouts() const { return node / "checkouts"; }
};

// What a job would see: read in a child that has mounts of its own. Empty when it sees exactly `expected`.
std::string seen_through(const std::vector<std::string>& layers, const std::string& scratch,
                         const std::map<std::string, std::string>& expected) {
  for (const auto* name : {"/upper", "/work", "/merged"}) std::filesystem::create_directories(scratch + name);
  std::string lower;
  for (const auto& layer : layers) lower += (lower.empty() ? "" : ":") + layer;
  const auto options = "lowerdir=" + lower + ",upperdir=" + scratch + "/upper,workdir=" + scratch + "/work";
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) < 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) ::_exit(2);
    if (::mount("overlay", (scratch + "/merged").c_str(), "overlay", 0, options.c_str()) < 0) ::_exit(3);
    ::_exit(contents_of(scratch + "/merged") == expected ? 0 : 4);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return "child ended with " + std::to_string(WEXITSTATUS(status)) + " for " + options;
}

std::size_t files_in(const std::string& directory) { return contents_of(directory).size(); }

}  // namespace

TEST_CASE("a checkout is made once and shared") {
  Workshop shop;
  RandomTree tree(shop.root.path(), 1);
  const auto manifest = shop.snapshot();
  Checkouts checkouts(shop.checkouts());
  const auto first = checkouts.prepare(shop.store, manifest, kOwner);
  const auto second = checkouts.prepare(shop.store, manifest, kOwner);
  REQUIRE(first.layers().size() == 1);
  CHECK(first.layers() == second.layers());
  CHECK(contents_of(first.layers()[0]) == contents_of(shop.root.path()));
  struct stat info {};
  REQUIRE(::stat((shop.checkouts() + "/" + std::to_string(kOwner.uid)).c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE("a small change makes a thin layer with little in it") {
  SKIP_UNLESS(can_mount(), "root, who makes overlay marks and mounts");
  Workshop shop;
  for (unsigned i = 0; i < 200; ++i)
    put(shop.root.path(), "d" + std::to_string(i % 5) + "/" + std::to_string(i), objects::random_text(500, i));
  put(shop.root.path(), "kind/x", "a directory");
  put(shop.root.path(), "other", "a file");
  Checkouts checkouts(shop.checkouts());
  const auto before = checkouts.prepare(shop.store, shop.snapshot(), kOwner);

  put(shop.root.path(), "d1/1", "changed");
  put(shop.root.path(), "d2/new/deep", "added");
  std::filesystem::remove(shop.root / "d3/3");
  std::filesystem::remove_all(shop.root / "d4");
  std::filesystem::remove_all(shop.root / "kind");
  put(shop.root.path(), "kind", "now a file");
  std::filesystem::remove(shop.root / "other");
  put(shop.root.path(), "other/y", "now a directory");
  const auto after = checkouts.prepare(shop.store, shop.snapshot(), kOwner);
  REQUIRE(after.layers().size() == 2);
  CHECK(after.layers()[1] == before.layers()[0]);
  CHECK(files_in(after.layers()[0]) == 11);
  CHECK(seen_through(after.layers(), shop.node / "scratch", contents_of(shop.root.path())) == "");
}

TEST_CASE("a large change makes a full checkout again") {
  Workshop shop;
  RandomTree tree(shop.root.path(), 2);
  Checkouts checkouts(shop.checkouts());
  const auto before = checkouts.prepare(shop.store, shop.snapshot(), kOwner);
  os::remove_tree(shop.root.path());
  std::filesystem::create_directory(shop.root.path());
  RandomTree other(shop.root.path(), 3);
  CHECK(checkouts.prepare(shop.store, shop.snapshot(), kOwner).layers().size() == 1);
}

TEST_CASE("whatever changes, an overlay of the layers shows exactly the snapshot") {
  SKIP_UNLESS(can_mount(), "root, who makes overlay marks and mounts");
  Workshop shop;
  RandomTree tree(shop.root.path(), 17);
  for (unsigned i = 0; i < 300; ++i) put(shop.root.path(), "many/" + std::to_string(i), std::to_string(i));
  Checkouts checkouts(shop.checkouts());
  int thin = 0;
  for (int step = 0; step < 25; ++step) {
    const auto lease = checkouts.prepare(shop.store, shop.snapshot(), kOwner);
    thin += lease.layers().size() == 2 ? 1 : 0;
    CHECK(seen_through(lease.layers(), shop.node / ("scratch" + std::to_string(step)), contents_of(shop.root.path())) ==
          "");
    tree.change();
  }
  CHECK(thin > 5);
}

TEST_CASE("users do not share checkouts") {
  SKIP_UNLESS(can_mount(), "root, who makes overlay marks and mounts");
  Workshop shop;
  put(shop.root.path(), "a", "1");
  const auto manifest = shop.snapshot();
  Checkouts checkouts(shop.checkouts());
  const auto one = checkouts.prepare(shop.store, manifest, {1001, 1001});
  const auto two = checkouts.prepare(shop.store, manifest, {1002, 1002});
  CHECK(one.layers() != two.layers());
  struct stat info {};
  REQUIRE(::stat((two.layers()[0] + "/a").c_str(), &info) == 0);
  CHECK(info.st_uid == 1002);
}

TEST_CASE("checkouts survive the agent, and what a crash left does not") {
  Workshop shop;
  put(shop.root.path(), "a", "1");
  const auto manifest = shop.snapshot();
  std::vector<std::string> layers;
  {
    Checkouts checkouts(shop.checkouts());
    layers = checkouts.prepare(shop.store, manifest, kOwner).layers();
  }
  const auto user = shop.checkouts() + "/" + std::to_string(kOwner.uid);
  put(user, "tmp.0/tree/half", "x");
  put(user, std::string(64, 'a') + "/tree/without-size", "x");
  Checkouts checkouts(shop.checkouts());
  CHECK(checkouts.usage() > 0);
  CHECK_FALSE(os::exists(user + "/tmp.0"));
  CHECK_FALSE(os::exists(user + "/" + std::string(64, 'a')));
  CHECK(checkouts.prepare(shop.store, manifest, kOwner).layers() == layers);
}

TEST_CASE("after a reboot every checkout is made anew") {
  Workshop shop;
  put(shop.root.path(), "a", "1");
  const auto manifest = shop.snapshot();
  { Checkouts(shop.checkouts()).prepare(shop.store, manifest, kOwner); }
  put(shop.checkouts(), "boot", "another boot");
  CHECK(Checkouts(shop.checkouts()).usage() == 0);
}

TEST_CASE("what is idle goes oldest first, never what is leased, kept, or below something kept") {
  SKIP_UNLESS(can_mount(), "root, who makes overlay marks and mounts");
  Workshop shop;
  for (int i = 0; i < 100; ++i) put(shop.root.path(), std::to_string(i), "x" + std::to_string(i));
  Checkouts checkouts(shop.checkouts());
  const auto full = shop.snapshot();
  { checkouts.prepare(shop.store, full, kOwner); }
  put(shop.root.path(), "0", "changed");
  const auto thin = shop.snapshot();
  const Checkouts::Key below{kOwner.uid, full.id()};
  const Checkouts::Key above{kOwner.uid, thin.id()};
  {
    const auto lease = checkouts.prepare(shop.store, thin, kOwner);
    REQUIRE(lease.layers().size() == 2);
    CHECK(checkouts.idle({}).empty());
    CHECK_FALSE(checkouts.remove(above, {}));
  }
  CHECK(checkouts.idle({above}).empty());
  CHECK_FALSE(checkouts.remove(below, {}));
  const auto idle = checkouts.idle({});
  REQUIRE(idle.size() == 2);
  CHECK(idle[0].key == above);
  CHECK(idle[1].key == below);
  CHECK(idle[0].bytes + idle[1].bytes == checkouts.usage());
  CHECK(checkouts.idle({below}).size() == 1);
  CHECK(checkouts.remove(above, {below}));
  CHECK_FALSE(checkouts.remove(above, {}));
  CHECK_FALSE(checkouts.remove(below, {below}));
  CHECK(checkouts.usage() == idle[1].bytes);
  CHECK(checkouts.remove(below, {}));
  CHECK(checkouts.count() == 0);
  CHECK(contents_of(shop.checkouts() + "/" + std::to_string(kOwner.uid)).empty());
}

TEST_CASE("equal requests at the same time share the work") {
  Workshop shop;
  RandomTree tree(shop.root.path(), 5);
  const auto manifest = shop.snapshot();
  Checkouts checkouts(shop.checkouts());
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { checkouts.prepare(shop.store, manifest, kOwner); });
  threads.clear();
  CHECK(contents_of(checkouts.prepare(shop.store, manifest, kOwner).layers()[0]) == contents_of(shop.root.path()));
}

TEST_CASE("a checkout that fails leaves nothing and can be tried again") {
  Workshop shop;
  put(shop.root.path(), "a", "1");
  const auto manifest = shop.snapshot();
  const os::TempDir other;
  objects::Store empty(other.path());
  Checkouts checkouts(shop.checkouts());
  CHECK(code_of([&] { checkouts.prepare(empty, manifest, kOwner); }) == Code::not_found);
  CHECK(contents_of(shop.checkouts() + "/" + std::to_string(kOwner.uid)).empty());
  CHECK(checkouts.prepare(shop.store, manifest, kOwner).layers().size() == 1);
}

#include "agent/drivers/job_directories.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/closure.hpp"
#include "runtime/snapshot/content.hpp"
#include "runtime/snapshot/pack.hpp"
#include "tests/agent/model/ids.hpp"
#include "tests/runtime/snapshot/files_under.hpp"

using namespace berth;

namespace {

void write(const std::string& path, const std::string& content) {
  os::make_directories(os::parent_of(path));
  os::write_file(path, content, 0644, os::Durable::no);
}

struct Node {
  os::TempDir directory;
  objects::Store store{directory / "objects"};
  snapshot::Checkouts checkouts{directory / "checkouts"};
  drivers::CollectSettings collecting{BERTH_COLLECT, ""};

  drivers::JobDirectories directories(bool overlays = false) {
    return drivers::JobDirectories({directory / "jobs", overlays, false, {}, {}, "", collecting}, store, checkouts);
  }

  // Stores a tree as a client's snapshot would be.
  Digest keep(const std::string& tree) {
    const auto root = os::open(tree, O_RDONLY | O_DIRECTORY);
    const auto scan = snapshot::scan(root, snapshot::ScanOptions{});
    snapshot::TreeContent content(root, scan, nullptr);
    std::string pack;
    snapshot::write_pack(scan.manifest, {}, content, [&](std::string_view bytes) { pack += bytes; });
    snapshot::MemorySource source(pack);
    return snapshot::receive_pack(store, snapshot::SoleOwnersView(), source).manifest.id();
  }

  std::vector<std::string> files(const Digest& digest) {
    return snapshot::files_under(snapshot::load_manifest(store, digest));
  }
};

model::Job job(std::optional<Digest> snapshot) {
  model::Job job;
  job.id = "brave-heron-7k2m"_job;
  job.request.snapshot = snapshot;
  return job;
}

os::Identity me() { return os::identity_of(::geteuid()).value(); }

using Paths = std::vector<std::string>;

}  // namespace

TEST_CASE("what every launch needs is made ahead, and a job that has a directory already keeps what is in it") {
  Node node;
  auto directories = node.directories();
  const auto ahead = node.directory / "next-job";
  auto first = job(std::nullopt);
  const auto place = directories.directory(first.id, 1);
  CHECK(os::exists(ahead + "/1/log"));
  directories.remark(first.id, "it was prepared");
  directories.make(first, 1, me());
  CHECK(os::exists(directories.side_log(first.id, "agent")));
  CHECK(os::exists(place + "/log"));
  CHECK(os::exists(ahead));

  auto second = first;
  second.id = "calm-otter-9d3f"_job;
  for (int launch = 1; launch <= 2; ++launch) {
    const auto site = directories.make(second, launch, me());
    CHECK_FALSE(os::exists(ahead));
    CHECK(site.tmp == directories.directory(second.id, launch) + "/tmp");
    struct stat info {};
    REQUIRE(::stat(site.tmp.c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 0700);
    REQUIRE(::stat(directories.directory(second.id, launch).c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 0711);
  }
  CHECK(directories.list().size() == 2);
  os::make_directories(ahead + "/1/half", 0700);  // of an agent that died meanwhile
  directories.make_ahead();
  CHECK(os::names_in(ahead + "/1").size() == 2);

  auto third = first;
  SUBCASE("what somebody has put there is nobody's") { write(ahead + "/1/started.json", "{}"); }
  SUBCASE("what somebody has taken away is made anew") { os::remove_tree(ahead + "/1"); }
  third.id = "quick-heron-2b2b"_job;
  directories.make(third, 1, me());
  auto names = os::names_in(directories.directory(third.id, 1));
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"log", "tmp"});
  directories.make_ahead();
  CHECK(os::names_in(ahead + "/1").size() == 2);
}

TEST_CASE("a job without code gets a directory and an empty log, nothing else") {
  Node node;
  auto directories = node.directories();
  const auto site = directories.make(job(std::nullopt), 1, me());
  CHECK(site.tree.empty());
  CHECK_FALSE(site.overlay.has_value());
  CHECK(os::read_file(directories.directory("brave-heron-7k2m"_job, 1) + "/log").empty());
}

TEST_CASE("in a container a job without code has a directory of its own, from which its outputs are collected") {
  Node node;
  auto ours = job(std::nullopt);
  ours.request.environment.kind = model::EnvironmentRequest::Kind::image;
  ours.request.outputs = {"models"};
  auto directories = node.directories();
  const auto site = directories.make(ours, 1, me());
  REQUIRE(os::exists(site.scratch));
  write(site.scratch + "/models/net.bin", "weights");
  write(site.scratch + "/other", "x");
  const auto collected = directories.collect(ours, 1, me());
  REQUIRE(collected.outputs.has_value());
  CHECK(node.files(*collected.outputs) == Paths{"models/net.bin"});
  directories.strip("brave-heron-7k2m"_job, 1);
  CHECK_FALSE(os::exists(site.scratch));
}

TEST_CASE("a copied tree is the job's own, and only what the job wrote is collected") {
  Node node;
  write(node.directory / "code/train.py", "print(1)\n");
  write(node.directory / "code/outputs/old.txt", "old");
  write(node.directory / "code/outputs/kept/same.txt", "same");
  auto ours = job(node.keep(node.directory / "code"));
  auto directories = node.directories();
  const auto site = directories.make(ours, 1, me());
  CHECK(os::read_file(site.tree + "/train.py") == "print(1)\n");

  CHECK_FALSE(directories.collect(ours, 1, me()).outputs.has_value());
  write(site.tree + "/outputs/model.bin", "weights");
  write(site.tree + "/outputs/old.txt", "new");
  const auto collected = directories.collect(ours, 1, me());
  REQUIRE(collected.outputs.has_value());
  CHECK(node.files(*collected.outputs) == Paths{"outputs/model.bin", "outputs/old.txt"});

  directories.strip(ours.id, 1);
  CHECK_FALSE(os::exists(site.tree));
  CHECK(os::exists(directories.directory(ours.id, 1) + "/log"));
}

TEST_CASE("output directories keep their paths, one within another is taken once, and `..` is told") {
  Node node;
  write(node.directory / "code/src/run.sh", "true\n");
  auto ours = job(node.keep(node.directory / "code"));
  ours.request.working_directory = "src";
  ours.request.outputs = {"results/b", "results/a", "results/a/deep", "absent"};
  auto directories = node.directories();
  const auto site = directories.make(ours, 1, me());
  write(site.tree + "/src/results/a/deep/1", "1");
  write(site.tree + "/src/results/b/2", "2");
  write(site.tree + "/src/outputs/3", "3");
  write(site.tree + "/outputs/elsewhere", "4");
  const auto collected = directories.collect(ours, 1, me());
  REQUIRE(collected.outputs.has_value());
  CHECK(node.files(*collected.outputs) == Paths{"outputs/3", "results/a/deep/1", "results/b/2"});

  ours.request.outputs = {"../../etc"};
  const auto refused = directories.collect(ours, 1, me());
  CHECK(node.files(*refused.outputs) == Paths{"outputs/3"});
  REQUIRE(refused.left_out.named().size() == 1);
  CHECK(refused.left_out.named().front() == snapshot::LeftOut{"../../etc", "leads out of the job's tree"});
}

TEST_CASE(
    "links out of the tree in place of an output directory are told, not followed; links within are kept as links") {
  Node node;
  write(node.directory / "secret/key", "k");
  write(node.directory / "code/a", "a");
  auto ours = job(node.keep(node.directory / "code"));
  auto directories = node.directories();
  const auto site = directories.make(ours, 1, me());
  REQUIRE(::symlink((node.directory / "secret").c_str(), (site.tree + "/outputs").c_str()) == 0);
  const auto refused = directories.collect(ours, 1, me());
  CHECK_FALSE(refused.outputs.has_value());
  CHECK(refused.left_out.count() == 1);

  ::unlink((site.tree + "/outputs").c_str());
  write(site.tree + "/outputs/real", "r");
  REQUIRE(::symlink("/etc/shadow", (site.tree + "/outputs/link").c_str()) == 0);
  const auto collected = directories.collect(ours, 1, me());
  REQUIRE(collected.outputs.has_value());
  const auto manifest = snapshot::load_manifest(node.store, *collected.outputs);
  CHECK(manifest[*manifest.find("outputs/link")].kind == snapshot::Kind::symlink);
}

TEST_CASE("large outputs are stored in chunks and come back whole") {
  Node node;
  write(node.directory / "code/a", "a");
  auto ours = job(node.keep(node.directory / "code"));
  auto directories = node.directories();
  const auto site = directories.make(ours, 1, me());
  std::string weights(3 << 20, '\0');
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<char>(i * i >> 7);
  write(site.tree + "/outputs/weights", weights);
  const auto collected = directories.collect(ours, 1, me());
  REQUIRE(collected.outputs.has_value());
  snapshot::restore(node.store, snapshot::load_manifest(node.store, *collected.outputs), node.directory / "back");
  CHECK(os::read_file(node.directory / "back/outputs/weights") == weights);
}

TEST_CASE("with overlays a launch names its layers and an upper layer only its owner may enter") {
  Node node;
  write(node.directory / "code/a", "a");
  auto ours = job(node.keep(node.directory / "code"));
  auto directories = node.directories(true);
  CHECK(directories.prepare(ours, me(), 0) == directories.bytes_of(*ours.request.snapshot));
  CHECK_FALSE(directories.prepare(ours, me(), directories.bytes_of(*ours.request.snapshot)));
  const auto site = directories.make(ours, 1, me());
  REQUIRE(site.overlay.has_value());
  REQUIRE(site.overlay->lower.size() == 1);
  CHECK(os::read_file(site.overlay->lower.front() + "/a") == "a");
  struct stat info {};
  REQUIRE(::stat(site.overlay->upper.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0700);
  write(site.overlay->upper + "/outputs/x", "x");
  CHECK(node.files(directories.collect(ours, 1, me()).outputs.value()) == Paths{"outputs/x"});
}

TEST_CASE("what certainly left nothing is not looked at, whatever may have left something is") {
  Node node;
  write(node.directory / "code/a", "a");
  auto ours = job(node.keep(node.directory / "code"));
  auto directories = node.directories();
  const auto site = directories.make(ours, 1, me());
  CHECK_FALSE(directories.anything_to_collect(ours, 1));
  REQUIRE(::symlink("nowhere", (site.tree + "/outputs").c_str()) == 0);
  CHECK(directories.anything_to_collect(ours, 1));
  auto without_code = job(std::nullopt);
  without_code.request.outputs = {"models"};
  without_code.request.working_directory = "/";
  CHECK(directories.anything_to_collect(without_code, 1));
}

TEST_CASE("collecting that agents could not finish time and again is given up") {
  Node node;
  write(node.directory / "code/a", "a");
  auto ours = job(node.keep(node.directory / "code"));
  auto directories = node.directories();
  directories.make(ours, 1, me());
  for (int i = 0; i < 4; ++i) CHECK_NOTHROW(directories.collect(ours, 1, me()));
  CHECK_THROWS_AS(directories.collect(ours, 1, me()), Error);
}

TEST_CASE("nobody else gets into what a launch left once it is collected from or cleared") {
  Node node;
  write(node.directory / "code/a", "a");
  auto ours = job(node.keep(node.directory / "code"));
  auto directories = node.directories();
  directories.make(ours, 1, me());
  const auto place = directories.directory(ours.id, 1);
  struct stat info {};
  REQUIRE(::stat(place.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0711);
  directories.collect(ours, 1, me());
  REQUIRE(::stat(place.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0700);
  CHECK(directories.with_leftovers({ours.id, "never-was-1234"_job}, {}) == std::vector<model::JobId>{ours.id});
  directories.strip(ours.id, 1);
  CHECK(directories.with_leftovers({ours.id}, {}).empty());
}

TEST_CASE("a collector that cannot be started, fails or takes too long is told in its own words") {
  Node node;
  write(node.directory / "code/a", "a");
  auto ours = job(node.keep(node.directory / "code"));
  const auto message = [&](const std::string& program) {
    node.collecting.program = program;
    node.collecting.time_limit = std::chrono::milliseconds(300);
    auto directories = node.directories();
    const auto site = directories.make(ours, 1, me());
    write(site.tree + "/outputs/x", "x");
    try {
      directories.collect(ours, 1, me());
    } catch (const Error& error) {
      return error.message();
    }
    return std::string();
  };
  const auto script = [&](const std::string& body) {
    os::write_file(node.directory / "program", "#!/bin/sh\n" + body + "\n", 0755, os::Durable::no);
    return node.directory / "program";
  };
  CHECK(message("/nowhere/berth-collect").find("/nowhere/berth-collect") != std::string::npos);
  CHECK(message(script("echo the disk is on fire >&2; exit 1")) == "the disk is on fire");
  CHECK(message(script("kill -KILL $$")) == "what gathers them was ended by SIGKILL");
  CHECK(message(script("sleep 100")).find("could not be collected within") != std::string::npos);
  CHECK(message(script("echo something else entirely")).find("answer") != std::string::npos);
}

TEST_CASE("a remark is a line of the agent's log about the job") {
  Node node;
  auto directories = node.directories();
  directories.remark("brave-heron-7k2m"_job, "first");
  directories.remark("brave-heron-7k2m"_job, "second");
  CHECK(os::read_file(directories.side_log("brave-heron-7k2m"_job, "agent")) == "first\nsecond\n");
}

TEST_CASE(
    "a job's own are its tree, its TMPDIR and a layer on its environment; all else that is shared it only reads") {
  Node node;
  const auto state = node.directory.path();
  drivers::DirectoryOptions options{node.directory / "jobs"};
  options.shared = {state};
  CHECK_FALSE(drivers::JobDirectories(options, node.store, node.checkouts).protect("job"_job, 1, {}, "/env", me()));
  options.protections = {true, true, false};
  drivers::JobDirectories directories(options, node.store, node.checkouts);
  drivers::Site site;
  site.tmp = state + "/jobs/job/1/tmp";
  site.tree = state + "/jobs/job/1/tree";
  const auto bare = directories.protect("job"_job, 1, site, "", me());
  REQUIRE(bare);
  CHECK(bare->read_only == Paths{state});
  CHECK(bare->writable == Paths{site.tmp, site.tree});
  CHECK_FALSE(bare->environment);
  CHECK_FALSE(directories.has_layer("job"_job, 1));
  const auto layered = directories.protect("job"_job, 1, site, "/env", me());
  REQUIRE(layered->environment);
  CHECK(layered->environment->lower == Paths{"/env"});
  CHECK(layered->environment->target == "/env");
  CHECK_FALSE(layered->environment_owned);
  CHECK(directories.has_layer("job"_job, 1));
  struct stat info {};
  REQUIRE(::stat((state + "/jobs/job/1/environment").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE("another user's job has no layer where it could not write to one") {
  Node node;
  drivers::DirectoryOptions options{node.directory / "jobs"};
  options.several_users = true;
  options.protections = {true, true, false};
  auto somebody = me();
  somebody.uid = 1000;
  const auto protection =
      drivers::JobDirectories(options, node.store, node.checkouts).protect("job"_job, 1, {}, "/env", somebody);
  REQUIRE(protection);
  CHECK_FALSE(protection->environment);
}

TEST_CASE("what of the state directory lies elsewhere is shared, too") {
  const os::TempDir state;
  const os::TempDir disk;
  os::make_directories(state / "objects");
  REQUIRE(::symlink(disk.path().c_str(), (state / "environments").c_str()) == 0);
  REQUIRE(::symlink("objects", (state / "within").c_str()) == 0);
  CHECK(drivers::shared_places(state.path()) == Paths{state.path(), disk.path()});
}

TEST_CASE("a launch that cannot be looked into is told as left, and not taken for empty") {
  Node node;
  auto directories = node.directories();
  const auto one = job({});
  directories.make(one, 1, me());
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int lowest = ::dup(0);
  ::close(lowest);
  const rlimit none{static_cast<rlim_t>(lowest), before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto removal = directories.strip(one.id, 1);
  const auto all = directories.strip_up_to(one.id, 1);
  const auto left = directories.with_leftovers({one.id}, {});
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(removal.left == 1);
  CHECK(removal.first_failure.starts_with("cannot look into " + directories.directory(one.id, 1)));
  CHECK(all.left == 1);
  CHECK(left == std::vector{one.id});
  CHECK(directories.strip(one.id, 1).complete());
  CHECK(directories.with_leftovers({one.id}, {}).empty());
}

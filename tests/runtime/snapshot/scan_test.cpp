#include "runtime/snapshot/scan.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <atomic>
#include <thread>

#include "runtime/objects/sha256.hpp"
#include "runtime/snapshot/stat_cache.hpp"
#include "tests/runtime/snapshot/files_under.hpp"
#include "tests/runtime/snapshot/trees.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::snapshot;

namespace {

// As if the tree had been at rest for long: then nothing is too fresh to be trusted.
StatCache cache_of(const Scan& scan, const std::string& path) {
  auto later = scan;
  later.started += 1'000'000'000;
  StatCache::save(path, later);
  auto cache = StatCache::load(path);
  REQUIRE(cache);
  return std::move(*cache);
}

Scan rescan(const std::string& root, const StatCache& cache) {
  ScanOptions options;
  options.cache = &cache;
  options.has_recipe = [](const Digest&) { return true; };
  return scan(root, options);
}

bool warns(const Scan& scan, std::string_view text) {
  return std::any_of(scan.warnings.begin(), scan.warnings.end(),
                     [&](const auto& warning) { return warning.find(text) != std::string::npos; });
}

// Another user's view: root reads everything.
bool is_root() { return ::geteuid() == 0; }

}  // namespace

TEST_CASE("a scan finds files, links, empty directories and the executable bit") {
  const os::TempDir root;
  put(root.path(), "b/run", "#!/bin/sh\n", true);
  put(root.path(), "b.py", "x = 1\n");
  put(root.path(), "empty", "");
  std::filesystem::create_directories(root / "d/e");
  std::filesystem::create_symlink("b.py", root / "link");
  const auto result = scan(root.path(), {});
  const auto& manifest = result.manifest;
  REQUIRE(manifest.entries().size() == 7);
  CHECK(manifest.path(1) == "b/run");
  CHECK(manifest[1].kind == Kind::executable);
  CHECK(manifest[2].digest == objects::sha256("x = 1\n"));
  CHECK(manifest.find("d/e"));
  CHECK(manifest[6].target == "b.py");
  CHECK(result.warnings.empty());
  CHECK(result.stamps.size() == 7);
}

TEST_CASE("equal trees in different places have the same id") {
  const os::TempDir one;
  const os::TempDir two;
  const RandomTree first(one.path(), 3);
  const RandomTree second(two.path(), 3);
  CHECK(scan(one.path(), {}).manifest == scan(two.path(), {}).manifest);
}

TEST_CASE(".git is left out wherever it is, as a directory or a file") {
  const os::TempDir root;
  put(root.path(), ".git/config", "");
  put(root.path(), "module/.git", "gitdir: elsewhere");
  put(root.path(), "module/x", "");
  CHECK(files_under(scan(root.path(), {}).manifest) == std::vector<std::string>{"module/x"});
}

TEST_CASE("an unchanged tree is not read again, and a changed file alone is") {
  const os::TempDir root;
  const os::TempDir outside;
  RandomTree tree(root.path(), 11);
  const auto first = scan(root.path(), {});
  const auto cache = cache_of(first, outside / "tree");
  const auto second = rescan(root.path(), cache);
  CHECK(second.files_read == 0);
  CHECK(second.manifest == first.manifest);
  CHECK(second.stamps == first.stamps);

  put(root.path(), "large.bin.txt", "new");
  const auto third = rescan(root.path(), cache);
  CHECK(third.files_read == 1);
  CHECK(third.manifest == scan(root.path(), {}).manifest);
}

TEST_CASE("a scan with a cache always finds what a scan without one finds") {
  const os::TempDir root;
  const os::TempDir outside;
  RandomTree tree(root.path(), 21);
  auto last = scan(root.path(), {});
  for (int i = 0; i < 40; ++i) {
    const auto cache = cache_of(last, outside / "tree");
    tree.change();
    if (i % 5 == 0) put(root.path(), ".gitignore", i % 2 == 0 ? "a*\n" : "*.py\nd*/\n");
    if (i % 7 == 0) put(root.path(), "da/.gitignore", "b\n");
    if (i % 11 == 0) std::filesystem::remove(root / ".gitignore");
    last = rescan(root.path(), cache);
    CHECK(last.manifest == scan(root.path(), {}).manifest);
  }
}

TEST_CASE("an ignore file changed in place is noticed though no directory changed") {
  const os::TempDir root;
  const os::TempDir outside;
  put(root.path(), "sub/deep/a", "");
  put(root.path(), "sub/deep/b", "");
  put(root.path(), ".gitignore", "a\n");
  const auto cache = cache_of(scan(root.path(), {}), outside / "tree");
  std::ofstream(root / ".gitignore") << "b\n";
  CHECK(files_under(rescan(root.path(), cache).manifest, "sub") == std::vector<std::string>{"sub/deep/a"});
}

TEST_CASE("an ignore file that leaves itself out is still noticed when it changes") {
  const os::TempDir root;
  const os::TempDir outside;
  put(root.path(), "sub/a", "");
  put(root.path(), "sub/b", "");
  put(root.path(), "sub/.gitignore", ".gitignore\na\n");
  const auto cache = cache_of(scan(root.path(), {}), outside / "tree");
  std::ofstream(root / "sub/.gitignore") << ".gitignore\nb\n";
  CHECK(files_under(rescan(root.path(), cache).manifest) == std::vector<std::string>{"sub/a"});
}

TEST_CASE("a file too fresh to be told from one changed in the same tick is read again") {
  const os::TempDir root;
  const os::TempDir outside;
  put(root.path(), "a", "one");
  auto first = scan(root.path(), {});
  StatCache::save(outside / "tree", first);
  const auto cache = StatCache::load(outside / "tree");
  REQUIRE(cache);
  CHECK(rescan(root.path(), *cache).files_read == 1);
}

TEST_CASE("a large file without its recipe at hand is read again") {
  const os::TempDir root;
  const os::TempDir outside;
  put(root.path(), "large", objects::random_bytes(2 << 20, 1));
  const auto first = scan(root.path(), {});
  CHECK(first.recipes.size() == 1);
  const auto cache = cache_of(first, outside / "tree");
  ScanOptions options;
  options.cache = &cache;
  const auto again = scan(root.path(), options);
  CHECK(again.recipes.size() == 1);
  CHECK(again.manifest == first.manifest);
  CHECK(rescan(root.path(), cache).recipes.empty());
}

TEST_CASE("a damaged cache is as good as none") {
  const os::TempDir root;
  RandomTree tree(root.path(), 5);
  const os::TempDir outside;
  StatCache::save(outside / "tree", scan(root.path(), {}));
  const auto sound = os::read_file(outside / "tree");
  for (std::size_t at = 0; at < sound.size(); at += 41) {
    auto damaged = sound;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    std::ofstream(outside / "tree") << damaged;
    CHECK_FALSE(StatCache::load(outside / "tree"));
  }
  std::ofstream(outside / "tree") << sound.substr(0, 100);
  CHECK_FALSE(StatCache::load(outside / "tree"));
  CHECK_FALSE(StatCache::load(outside / "absent"));
}

TEST_CASE("names that cannot be part of a snapshot are refused with the remedy") {
  for (const std::string name : {"line\nbreak", "bad\xFF"}) {
    const os::TempDir root;
    put(root.path(), "dir/" + name, "");
    const auto message = message_of([&] { scan(root.path(), {}); });
    CHECK(message.find("dir/") != std::string::npos);
    CHECK(message.find("rename it") != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
    put(root.path(), ".gitignore", name == "bad\xFF" ? "bad*\n" : "line*\n");
    CHECK(scan(root.path(), {}).manifest.totals().files == 1);
  }
}

TEST_CASE("sockets, pipes and links out of the tree are told") {
  const os::TempDir root;
  REQUIRE(::mkfifo((root / "pipe").c_str(), 0644) == 0);
  std::filesystem::create_directories(root / "d");
  std::filesystem::create_symlink("/etc/passwd", root / "absolute");
  std::filesystem::create_symlink("../x", root / "outside");
  std::filesystem::create_symlink("../x", root / "d/inside");
  std::filesystem::create_symlink("loop", root / "loop");
  std::filesystem::create_symlink("..", root / "d/up");
  const auto result = scan(root.path(), {});
  CHECK(warns(result, "pipe is a socket, a pipe or a device"));
  CHECK(warns(result, "absolute leads out"));
  CHECK(warns(result, "outside leads out"));
  CHECK(result.warnings.size() == 3);
  CHECK(result.manifest.totals().symlinks == 5);
  CHECK_FALSE(result.manifest.find("pipe"));
}

TEST_CASE("a file that never rests is told, and left out where nobody can mend it") {
  const os::TempDir root;
  put(root.path(), "busy.log", std::string(1 << 20, 'x'));
  put(root.path(), "calm", "y");
  std::atomic<bool> stop{false};
  std::jthread writer([&] {
    const auto fd = os::open(root / "busy.log", O_WRONLY | O_APPEND);
    for (std::size_t size = 0; !stop; size += 4000) {
      os::write_all(fd, std::string(4000, 'z'));
      if (size % 32'000'000 == 0 && size > 0) CHECK(::ftruncate(fd.get(), 8 << 20) == 0);
    }
  });
  while (std::filesystem::file_size(root / "busy.log") < (8U << 20)) std::this_thread::yield();
  std::string message;
  for (int i = 0; i < 200 && message.empty(); ++i) message = message_of([&] { scan(root.path(), {}); });
  const auto collected = scan(root.path(), collecting());
  stop = true;
  writer.join();
  CHECK(message.find("busy.log keeps changing while it is read") != std::string::npos);
  CHECK(collected.manifest.find("calm"));
}

TEST_CASE("a file that cannot be read is told with the remedy") {
  SKIP_UNLESS(!is_root(), "another user than root, who reads everything");
  const os::TempDir root;
  put(root.path(), "secret", "");
  ::chmod((root / "secret").c_str(), 0);
  const auto message = message_of([&] { scan(root.path(), {}); });
  CHECK(message.find("secret") != std::string::npos);
  CHECK(message.find(".gitignore") != std::string::npos);
}

TEST_CASE("what a job left is collected as it is, without following links") {
  const os::TempDir root;
  const os::TempDir secret;
  put(secret.path(), "key", "private");
  put(root.path(), ".gitignore", "*\n");
  put(root.path(), "out/model", "m");
  put(root.path(), "out/bad\xFFname", "");
  std::filesystem::create_directory_symlink(secret.path(), root / "out/dir");
  std::filesystem::create_symlink(secret / "key", root / "out/file");
  const auto result = scan(root.path(), collecting());
  CHECK(files_under(result.manifest) == std::vector<std::string>{".gitignore", "out/bad\\xffname", "out/model"});
  CHECK(result.manifest.totals().symlinks == 2);
  CHECK(result.left_out.count() == 3);  // the name, and what the links lead to
}

TEST_CASE("a tree over a limit is refused") {
  const os::TempDir root;
  RandomTree tree(root.path(), 9);
  ScanOptions options;
  options.most_entries = 10;
  CHECK(code_of([&] { scan(root.path(), options); }) == Code::too_large);
  options = {};
  options.most_bytes = 1 << 20;
  CHECK(code_of([&] { scan(root.path(), options); }) == Code::too_large);
}

TEST_CASE("a tree that Azure ML would refuse gives a warning") {
  const os::TempDir root;
  for (int i = 0; i < 2001; ++i) std::ofstream(root / std::to_string(i)).flush();
  CHECK(warns(scan(root.path(), {}), "Azure ML refuses more than 2000 files"));
  CHECK_FALSE(warns(scan(root.path(), collecting()), "Azure"));
}

TEST_CASE("directories nested too deep are refused") {
  const os::TempDir root;
  std::string path;
  for (int i = 0; i < 260; ++i) path += "d/";
  std::filesystem::create_directories(root / path);
  CHECK(code_of([&] { scan(root.path(), {}); }) == Code::invalid);
  CHECK(scan(root.path(), collecting()).manifest.totals().directories == 255);
}

TEST_CASE("something that is no directory is refused") {
  const os::TempDir root;
  put(root.path(), "file", "");
  CHECK_THROWS_AS(scan(root / "file", {}), Error);
  CHECK_THROWS_AS(scan(root / "absent", {}), Error);
}

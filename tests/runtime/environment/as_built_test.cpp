#include "runtime/environment/as_built.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/environment/cache.hpp"
#include "runtime/os/file.hpp"

using namespace berth;

namespace {

void write(const std::string& path, std::string_view text = "x") {
  os::make_directories(os::parent_of(path));
  os::write_file(path, text, 0644, os::Durable::no);
}

unsigned mode_of(const std::string& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

}  // namespace

TEST_CASE("a tree is as it was built until something in it is written, added, removed or opened to writers") {
  const os::TempDir directory;
  const auto tree = directory / "tree";
  for (const auto* name : {"/bin/python", "/lib/site/a.py", "/lib/site/b.py"}) write(tree + name);
  REQUIRE(::symlink("/etc/passwd", (tree + "/link").c_str()) == 0);
  environment::close_to_writers(tree);
  CHECK(mode_of(tree) == 0555);
  CHECK(mode_of(tree + "/lib/site/a.py") == 0444);
  CHECK(mode_of("/etc/passwd") == 0644);
  const auto built = environment::state_of(tree);
  CHECK(environment::state_of(tree) == built);
  REQUIRE(::chmod((tree + "/lib/site").c_str(), 0755) == 0);
  CHECK(environment::state_of(tree) != built);
  REQUIRE(::chmod((tree + "/lib/site").c_str(), 0555) == 0);
  CHECK(environment::state_of(tree) == built);
  ::chmod((tree + "/lib/site").c_str(), 0755);
  write(tree + "/lib/site/a.py", "y");  // of the same size
  ::chmod((tree + "/lib/site/a.py").c_str(), 0444);
  ::chmod((tree + "/lib/site").c_str(), 0555);
  CHECK(environment::state_of(tree) != built);
}

TEST_CASE("what an environment looked like before its first job is remembered with it") {
  const os::TempDir directory;
  environment::Cache cache(directory.path());
  const Digest digest{};
  write(cache.prefix(digest) + "/bin/python");
  CHECK(cache.is_as_built(digest));
  CHECK(cache.is_as_built(digest));
  ::chmod((cache.prefix(digest) + "/bin").c_str(), 0755);
  write(cache.prefix(digest) + "/bin/other");
  CHECK_FALSE(environment::Cache(directory.path()).is_as_built(digest));
}

#include "runtime/environment/downloads.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "tests/support/tick.hpp"

namespace environment = berth::environment;
namespace os = berth::os;
using environment::Downloads;

namespace {

constexpr uid_t kAnn = 1'900'200'001;
constexpr uid_t kBob = 1'900'200'002;

const auto kBuild = berth::objects::sha256("a build");
const auto kOther = berth::objects::sha256("another");

void put(const std::string& path, std::size_t bytes) {
  os::make_directories(os::parent_of(path), 0700);
  os::write_file(path, std::string(bytes, 'x'), 0600, os::Durable::no);
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.push_back(entry.path().filename());
  return names;
}

void remove(Downloads& downloads, Downloads::Owner owner) {
  CHECK(downloads.remove(downloads.set_aside(owner)).complete());
}

}  // namespace

TEST_CASE("each person's downloads are counted: no link followed, and each file once whatever its names are") {
  const os::TempDir place;
  const auto anns = place / std::to_string(kAnn);
  put(place / "big", 10 << 20);
  put(anns + "/pip/one", 1 << 20);
  for (int n = 0; n < 50; ++n)
    REQUIRE(::link((anns + "/pip/one").c_str(), (anns + "/pip/link" + std::to_string(n)).c_str()) == 0);
  REQUIRE(::symlink((place / "big").c_str(), (anns + "/file").c_str()) == 0);
  REQUIRE(::symlink(place.path().c_str(), (anns + "/directory").c_str()) == 0);
  put(place / std::to_string(kBob) + "/uv/one", 3 << 20);
  Downloads downloads(place.path(), true);
  CHECK(downloads.bytes() == 0);  // nobody has asked yet
  const auto entries = downloads.list();
  REQUIRE(entries.size() == 2);
  for (const auto& entry : entries) {
    const std::uint64_t of_files = entry.owner == kAnn ? 1 << 20 : 3 << 20;
    CHECK(entry.bytes + 51 > of_files);  // each of a file's names has its part, rounded down
    CHECK(entry.bytes < of_files + (64 << 10));
    CHECK(entry.countable);
    CHECK(!entry.in_use);
  }
  CHECK(downloads.bytes() == entries[0].bytes + entries[1].bytes);
}

TEST_CASE("downloads are counted again after a build has used them, and stay while one does") {
  const os::TempDir place;
  const auto file = place / std::to_string(kAnn) + "/file";
  put(file, 1 << 20);
  Downloads downloads(place.path(), true);
  downloads.list();
  put(file, 2 << 20);
  CHECK(downloads.list().at(0).bytes < 2 << 20);
  downloads.begin(kBuild, kAnn);
  downloads.begin(kOther, kAnn);
  CHECK(downloads.list().at(0).in_use);
  downloads.end(kBuild);
  CHECK_THROWS_AS(downloads.set_aside(kAnn), const berth::Error&);
  CHECK(os::exists(file));
  put(file, 4 << 20);
  downloads.end(kOther);
  CHECK(downloads.list().at(0).bytes >= 4 << 20);
  CHECK(!downloads.list().at(0).in_use);
  downloads.end(kOther);  // of which nothing is known any more
  remove(downloads, kAnn);
  CHECK(downloads.bytes() == 0);
  CHECK(downloads.list().empty());
  CHECK(names_in(place.path()).empty());
}

TEST_CASE("when downloads were used last is not what their owner says") {
  const os::TempDir place;
  const auto directory = place / std::to_string(kAnn);
  put(directory + "/file", 1);
  Downloads downloads(place.path(), true);
  const timespec far[2] = {{4'000'000'000, 0}, {4'000'000'000, 0}};
  REQUIRE(::utimensat(AT_FDCWD, directory.c_str(), far, 0) == 0);
  const auto before = downloads.list().at(0).last_used;
  CHECK(before <= berth::system_clock().now());
  berth::test::wait_for_tick();
  downloads.begin(kBuild, kAnn);
  const auto begun = downloads.list().at(0).last_used;
  CHECK(begun > before);
  berth::test::wait_for_tick();
  downloads.end(kBuild);
  CHECK(downloads.list().at(0).last_used > begun);
}

TEST_CASE("trees without end are told, and go") {
  const os::TempDir place;
  const auto directory = place / std::to_string(kAnn);
  os::make_directories(directory, 0700);
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(directory);
  for (int n = 0; n < 5000; ++n) {
    REQUIRE(::mkdir("d", 0700) == 0);
    REQUIRE(::chdir("d") == 0);
  }
  std::filesystem::current_path(here);
  put(place / "elsewhere/kept", 1);
  REQUIRE(::symlink((place / "elsewhere").c_str(), (directory + "/link").c_str()) == 0);
  Downloads downloads(place.path(), true);
  CHECK(!downloads.list().at(0).countable);
  remove(downloads, kAnn);
  CHECK(names_in(place.path()) == std::vector<std::string>{"elsewhere"});
  CHECK(os::exists(place / "elsewhere/kept"));
}

TEST_CASE("where users are not told apart there is one cache for all") {
  const os::TempDir place;
  put(place / "pip/one", 1 << 20);
  put(place / "1900200001/one", 1 << 20);  // nobody's in particular
  put(place / "doomed-7/left", 1 << 20);
  Downloads downloads(place.path(), false);
  const auto entries = downloads.list();
  REQUIRE(entries.size() == 1);
  CHECK(!entries[0].owner);
  CHECK(entries[0].bytes >= 2 << 20);
  CHECK(entries[0].bytes < 3 << 20);
  CHECK(downloads.left_over() == std::vector<std::string>{place / "doomed-7"});
  downloads.begin(kBuild, std::nullopt);
  CHECK_THROWS_AS(downloads.set_aside(std::nullopt), const berth::Error&);
  downloads.end(kBuild);
  remove(downloads, std::nullopt);
  CHECK(names_in(place.path()) == std::vector<std::string>{"doomed-7"});
  CHECK(downloads.list().at(0).bytes == 0);
}

TEST_CASE("what is set aside is nobody's cache, and what was there before persons had caches is left over") {
  const os::TempDir place;
  for (const auto* name : {"pip", "doomed-1", "0042", "99999999999"}) put(place / name + "/file", 1);
  put(place / std::to_string(kAnn) + "/file", 1);
  Downloads downloads(place.path(), true);
  CHECK(downloads.left_over().size() == 4);
  const auto moved = downloads.set_aside(kAnn);
  REQUIRE(moved.size() == 1);
  CHECK(moved[0] != place / "doomed-1");
  CHECK(os::exists(moved[0] + "/file"));
  CHECK(downloads.list().empty());
  CHECK(downloads.set_aside(kAnn).empty());
  CHECK(downloads.remove(downloads.left_over()).complete());
  CHECK(names_in(place.path()).empty());
}

#include "agent/cli/code.hpp"

#include <doctest/doctest.h>

#include <filesystem>

#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

std::string refusal(const std::optional<std::string>& code, const std::string& here, const std::string& home) {
  try {
    code_root(code, here, home);
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    return error.message();
  }
  return "none";
}

}  // namespace

TEST_CASE("home and root are only sent when they are named") {
  const os::TempDir home;
  CHECK(refusal(std::nullopt, home.path(), home.path()) ==
        "the current directory is your home directory; sending all of it is surely not meant");
  CHECK(refusal(std::nullopt, "/", home.path()) ==
        "the current directory is the root directory; sending all of it is surely not meant");
  CHECK(refusal(".", home.path(), home.path()) == "none");
}

TEST_CASE("home is recognised behind a symbolic link") {
  const os::TempDir directory;
  std::filesystem::create_directory(directory / "home");
  std::filesystem::create_symlink("home", directory / "link");
  CHECK(refusal(std::nullopt, directory / "link", directory / "home") != "none");
}

TEST_CASE("the code's directory must be one") {
  const os::TempDir directory;
  os::write_file(directory / "file", "", 0644, os::Durable::no);
  CHECK(refusal("file", directory.path(), "") == "--code: '" + (directory / "file") + "' is no directory");
  CHECK(refusal("absent", directory.path(), "") == "--code: '" + (directory / "absent") + "' is not there");
  std::filesystem::create_directory(directory / "sub");
  CHECK(code_root("sub", directory.path(), "") == std::filesystem::canonical(directory / "sub").string());
}

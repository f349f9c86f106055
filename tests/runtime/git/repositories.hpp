#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <string>

#include "runtime/async/tool.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::git {

// A directory with a home of its own, in which real git makes repositories.
class Repositories {
 public:
  Repositories() {
    ::setenv("HOME", directory_.path().c_str(), 1);
    ::unsetenv("XDG_CONFIG_HOME");
    ::unsetenv("GIT_DIR");
    sh(".",
       "git config --global user.name Ann; git config --global user.email ann@example.org; "
       "git config --global init.defaultBranch main; git config --global protocol.file.allow always; "
       "git config --global advice.detachedHead false");
  }

  std::string sh(const std::string& where, const std::string& script) const {
    const auto finished = async::run_tool_here(
        {.arguments = {"/bin/sh", "-ec", script},
         .environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + directory_.path(), "LC_ALL=C.UTF-8"},
         .working_directory = at(where)},
        {std::chrono::seconds(60)});
    CAPTURE(script);
    CAPTURE(finished.errors);
    REQUIRE(!finished.exit.signalled);
    REQUIRE(finished.exit.status == 0);
    return finished.output;
  }
  std::string at(const std::string& name) const { return directory_ / name; }
  void write(const std::string& name, const std::string& content) const {
    os::make_directories(os::parent_of(at(name)));
    os::write_file(at(name), content, 0644, os::Durable::no);
  }

 private:
  os::TempDir directory_{"berth-git"};
};

}  // namespace berth::git

#pragma once

// The Pythons of this machine that environments can be made of: those on a PATH, those that pyenv and uv have
// put into their usual places, and those that the administrator names.

#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/environment/python.hpp"
#include "runtime/os/identity.hpp"

namespace berth::environment {

// Thread-safe. An interpreter is asked once, and again when its file has changed.
class Interpreters {
 public:
  // `named`: whole paths of interpreters, which go before all others. They are asked as that user.
  Interpreters(std::vector<std::string> named, std::string path, std::optional<os::Identity> identity,
               std::chrono::seconds patience = std::chrono::seconds(60))
      : named_(std::move(named)), path_(std::move(path)), identity_(std::move(identity)), patience_(patience) {}

  // The first that fits every wish (python_version.hpp): the machine's own python3 before newer and older
  // ones. Blocks. Code::not_found, naming those that there are.
  Python find(const std::vector<std::string>& wishes);

 private:
  struct Known {
    Stamp stamp;
    Stamp executable_stamp;
    Python python;
  };

  // Where there may be some, one list after the other; those that cost a search come last.
  static constexpr int kPlaces = 4;
  std::vector<std::string> candidates(int place) const;
  std::optional<Python> look(const std::string& path);

  std::vector<std::string> named_;
  std::string path_;
  std::optional<os::Identity> identity_;
  std::chrono::seconds patience_;
  std::mutex mutex_;  // held while one is asked, so that it is asked once
  std::map<std::string, Known> known_;
};

}  // namespace berth::environment

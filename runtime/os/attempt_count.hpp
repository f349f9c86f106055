#pragma once

// What a process did not survive is begun again by the next one, but not for ever: how often it was begun, and not
// ended, is kept in a file.

#include <string>
#include <utility>

namespace berth::os {

constexpr int kMostAttempts = 4;

// One more; how many there were before. A disk that is full is no reason not to begin: then it is not counted.
int count_attempt(const std::string& path);

// One that is survived when it leaves its scope, however.
class Attempt {
 public:
  explicit Attempt(std::string path) : path_(std::move(path)), before_(count_attempt(path_)) {}
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  ~Attempt();

  bool is_one_too_many() const { return before_ >= kMostAttempts; }

 private:
  std::string path_;
  int before_;
};

}  // namespace berth::os

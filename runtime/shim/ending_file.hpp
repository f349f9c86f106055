#pragma once

// The place for ending.json, whose disk space is taken before the job starts: a job that fills the disk still
// gets its ending.

#include <optional>
#include <string>

#include "runtime/base/error.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/shim/contract.hpp"

namespace berth::shim {

class EndingFile {
 public:
  explicit EndingFile(std::string directory);

  // Why no space could be taken; nothing when it was.
  const std::optional<Error>& problem() const { return problem_; }

  // Returns once the ending is on disk: tries for as long as it takes, ever more seldom. Gives up only when
  // the launch directory is gone.
  void write(const Ended& ended);

 private:
  void reserve();
  void try_write(const std::string& text);
  std::string directory_;
  os::Fd file_;
  std::optional<Error> problem_;
};

}  // namespace berth::shim

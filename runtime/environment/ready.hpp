#pragma once

// How to use an environment that is there, and the lease that keeps it there.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/digest.hpp"

namespace berth::environment {

struct Ready {
  std::string interpreter;  // absolute; "" where the spec has none
  std::string path_prefix;  // a directory to put before the job's PATH; "" for none
  std::vector<std::pair<std::string, std::string>> variables;  // to set, such as VIRTUAL_ENV
  std::string record;  // JSON, for the run: kind, and for Python version, prefix, packages …
  std::string image;   // the engine's id of the image that the job runs in; "" on the host
  std::string lock;    // JSON: what it was resolved to, for Locked; "" where nothing was built
  std::string prefix{};  // the directory that it was built in; "" where nothing was, and for images
  Digest digest;       // which environment; all zero where nothing was built
  std::string build_log;  // the file that its build's output is in; "" where there is none
};

// While one of its copies lives, the environment is not removed. It is a lock on a file, so it ends with this
// process whatever happens to it: the next agent leases anew what its jobs still use. An empty one holds
// nothing.
class Lease {
 public:
  class Held;

  Lease() = default;
  explicit Lease(std::shared_ptr<Held> held) : held_(std::move(held)) {}
  explicit operator bool() const { return held_ != nullptr; }

 private:
  std::shared_ptr<Held> held_;
};

struct Leased {
  Ready ready;
  Lease lease;
};

}  // namespace berth::environment

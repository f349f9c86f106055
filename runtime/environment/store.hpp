#pragma once

// Where environments are kept once they are made: on the host (builds.hpp), in a container engine (images.hpp). They
// are known by their digests, whatever their kind. Belongs to the loop.

#include <optional>
#include <string>
#include <vector>

#include "runtime/async/task.hpp"
#include "runtime/environment/cache.hpp"
#include "runtime/environment/ready.hpp"
#include "runtime/environment/waiting.hpp"

namespace berth::environment {

class Store {
 public:
  virtual ~Store() = default;

  // One that is there by the records; nothing where it is not.
  virtual async::Task<std::optional<Leased>> lease(Digest digest) = 0;
  // For a job that is about to start: nothing, too, where somebody has removed it behind the records' back.
  virtual async::Task<std::optional<Leased>> lease_present(Digest digest) = 0;
  // Whether its files are what they were when this was asked for the first time; nothing where it is not here, or no
  // job can change it.
  virtual async::Task<std::optional<bool>> is_as_built(Digest digest) = 0;

  // By the records alone.
  virtual async::Task<std::vector<Entry>> list() = 0;
  // Those that are being made, or wait for that.
  virtual std::vector<Waiting::Build> building() const = 0;
  // All that is known of one, JSON; Code::not_found.
  virtual async::Task<std::string> show(Digest digest) = 0;
  // Code::not_found; Code::conflict while it is leased or being made.
  virtual async::Task<> remove(Digest digest) = 0;
};

}  // namespace berth::environment

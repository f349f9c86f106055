#pragma once

// The secrets of jobs as they are stored: sealed with the agent's key, each bound to its submission. All calls block
// shortly, on the key's file. Safe from any thread.

#include <atomic>
#include <string>

#include "agent/model/secrets.hpp"
#include "runtime/secrets/key.hpp"

namespace berth::jobs {

class SecretBox {
 public:
  // `used`: something is sealed already, so that a key that is gone is told and not replaced.
  explicit SecretBox(secrets::KeyPlace place, bool used = false) : place_(std::move(place)), used_(used) {}

  struct Closed {
    std::string sealed;
    std::string mark;  // equal for the same secrets of the same submission
  };
  Closed close(const std::string& submission_id, const model::JobSecrets& secrets) const;
  // Throws what tells that they cannot be had, why, and what to do.
  model::JobSecrets open(const std::string& submission_id, const std::string& sealed) const;

 private:
  std::string unseal(const std::string& submission_id, const std::string& sealed) const;

  secrets::KeyPlace place_;
  mutable std::atomic<bool> used_;
};

}  // namespace berth::jobs

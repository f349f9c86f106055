#pragma once

// Who makes the environments of one kind. A kind is known by its name, which specs, locks and records bear.
//
// A new kind that is built on the host needs only its recipes (recipe.hpp): HostProvider does all else. Which kinds a
// node has is registered in one place, agent/daemon/environment_setup.cpp.

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "runtime/async/errand.hpp"
#include "runtime/async/task.hpp"
#include "runtime/docker/credentials.hpp"
#include "runtime/environment/ready.hpp"
#include "runtime/environment/spec.hpp"
#include "runtime/environment/waiting.hpp"
#include "runtime/os/identity.hpp"

namespace berth::environment {

// On whose behalf, and what a name means there.
struct Context {
  std::optional<os::Identity> identity;  // the job's user; nothing: who this process is
  std::string path = "/usr/local/bin:/usr/bin:/bin";
  async::ErrandGround ground{};  // in which interpreters are looked at
  bool gpus = false;          // the job has some: an image must suit their driver
  std::map<std::string, docker::Credentials> credentials{};  // the job's own for registries of images
};

class Provider {
 public:
  virtual ~Provider() = default;

  virtual std::string kind() const = 0;
  // Whether there are locks of its environments, which it can make again.
  virtual bool takes_locks() const { return true; }
  // Makes what `spec` asks for, which is of this kind or a lock of it, where it is not there yet. Errors tell the
  // building tool's own last words and the remedy; Cancelled when the wait was abandoned. Belongs to the loop.
  virtual async::Task<Leased> ensure(Spec spec, Context context, Waiting& waiting) = 0;
};

// Those that a node has.
class Providers {
 public:
  // Instead of an earlier one of its kind.
  void add(std::unique_ptr<Provider> provider);
  // Code::unsupported where there is none; Code::invalid for a lock that cannot be read.
  Provider& of(const Spec& spec) const;

 private:
  std::map<std::string, std::unique_ptr<Provider>> by_kind_;
};

}  // namespace berth::environment

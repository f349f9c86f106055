#pragma once

// What a job's command runs in. A Spec is what was asked for; ensure() makes it exist and tells how to use
// it. User-managed Python for now; conda, venv and images are further kinds of Spec behind the same call.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/environment/ready.hpp"
#include "runtime/environment/spec.hpp"
#include "runtime/os/identity.hpp"

namespace berth::environment {

// On whose behalf, and what a name means there.
struct Context {
  std::optional<os::Identity> identity;  // the job's user; nothing: who this process is
  std::string path = "/usr/local/bin:/usr/bin:/bin";
};

// Thread-safe. Equal requests at the same time share one look at the interpreter; later ones cost only a few
// stat calls while neither it nor what is installed for it has changed.
class Environments {
 public:
  explicit Environments(std::chrono::seconds patience = std::chrono::seconds(60)) : patience_(patience) {}

  // Blocks: up to `patience` for an interpreter that is not known yet. Throws an Error naming the
  // interpreter, the reason and the remedy.
  Ready ensure(const Spec& spec, const Context& context);

  // How often an interpreter was started; for tests and metrics.
  std::uint64_t looks() const;

 private:
  struct Known;
  using Key = std::pair<std::string, uid_t>;

  Ready ensure_python(const UserManaged& wanted, const Context& context);
  std::shared_ptr<Known> known(const Key& key);

  std::chrono::seconds patience_;
  mutable std::mutex mutex_;  // guards all below; never held while an interpreter runs
  std::map<Key, std::shared_ptr<Known>> known_;
  std::uint64_t looks_ = 0;
};

}  // namespace berth::environment

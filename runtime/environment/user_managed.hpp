#pragma once

// What is on the machine already, where nothing is made: the machine as it is, and interpreters that users look after.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

#include "runtime/async/lanes.hpp"
#include "runtime/environment/provider.hpp"

namespace berth::environment {

// The machine as it is (None).
class MachineProvider : public Provider {
 public:
  std::string kind() const override { return kNoKind; }
  bool takes_locks() const override { return false; }
  async::Task<Leased> ensure(Spec spec, Context context, Waiting& waiting) override;
};

// Equal requests at the same time share one look at an interpreter; later ones cost only a few stat calls while neither
// it nor what is installed for it has changed. look() is thread-safe, all else belongs to the loop.
class UserManagedProvider : public Provider {
 public:
  explicit UserManagedProvider(std::chrono::seconds patience = std::chrono::seconds(60)) : patience_(patience) {}

  std::string kind() const override { return kUserManagedKind; }
  bool takes_locks() const override { return false; }
  async::Task<Leased> ensure(Spec spec, Context context, Waiting& waiting) override;

  // Blocks: up to `patience` for an interpreter that is not known yet. Throws an Error naming the interpreter, the
  // reason and the remedy. `stop` ends a look, which is Cancelled.
  Ready look(const UserManaged& wanted, const Context& context, const std::stop_token& stop = {});
  // How often an interpreter was started; for tests and metrics.
  std::uint64_t looks() const;

 private:
  struct Known;
  using Key = std::pair<std::string, uid_t>;

  std::shared_ptr<Known> known(const Key& key);

  std::chrono::seconds patience_;
  mutable std::mutex mutex_;  // guards all below; never held while an interpreter runs
  std::map<Key, std::shared_ptr<Known>> known_;
  std::uint64_t looks_ = 0;
  // An interpreter is a program of its user's, which may hang.
  async::Lanes looking_{{1, 8}};
};

}  // namespace berth::environment

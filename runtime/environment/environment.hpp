#pragma once

// What a job's command runs in. A Spec (spec.hpp) is what was asked for; ensure() makes it exist, tells how to use it
// (ready.hpp), and holds it for as long as the caller keeps the lease:
//
//   environment::Waiting waiting;  // tells meanwhile for which build, and where its log is
//   auto leased = co_await environments.ensure(spec, context, waiting);
//   … leased.ready.interpreter, .path_prefix, .variables, .record, .lock …
//
// Built environments are the same for all jobs of a user that ask for the same, and for all users where all of it is
// from where everybody may have it: what came with a login, or from a place that a user has named, is that user's
// alone. Providers (provider.hpp) make them, each kind its own; stores (store.hpp) keep them.

#include <optional>
#include <string>
#include <vector>

#include "runtime/async/task.hpp"
#include "runtime/environment/provider.hpp"
#include "runtime/environment/store.hpp"

namespace berth::environment {

// All that a node has of them. Belongs to the loop.
class Environments {
 public:
  // None of any kind.
  Environments() = default;
  // The stores outlive it; what is in several is taken from the first.
  Environments(Providers providers, std::vector<Store*> stores)
      : providers_(std::move(providers)), stores_(std::move(stores)) {}

  // Throws as Providers::of and Provider::ensure.
  async::Task<Leased> ensure(Spec spec, Context context, Waiting& waiting);

  // As a Store does them, whichever has it.
  async::Task<std::optional<Leased>> lease(Digest digest);
  async::Task<std::optional<Leased>> lease_present(Digest digest);
  async::Task<std::optional<bool>> is_as_built(Digest digest);
  async::Task<std::vector<Entry>> list();
  std::vector<Waiting::Build> building() const;
  async::Task<std::string> show(Digest digest);
  async::Task<> remove(Digest digest);

 private:
  Providers providers_;
  std::vector<Store*> stores_;
};

}  // namespace berth::environment

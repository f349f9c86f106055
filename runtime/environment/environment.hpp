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
// alone. builds.hpp makes them.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/async/lanes.hpp"
#include "runtime/async/task.hpp"
#include "runtime/environment/builds.hpp"
#include "runtime/environment/images.hpp"
#include "runtime/environment/ready.hpp"
#include "runtime/environment/recipe.hpp"
#include "runtime/environment/spec.hpp"
#include "runtime/environment/waiting.hpp"
#include "runtime/os/errand.hpp"
#include "runtime/os/identity.hpp"

namespace berth::environment {

// On whose behalf, and what a name means there.
struct Context {
  std::optional<os::Identity> identity;  // the job's user; nothing: who this process is
  std::string path = "/usr/local/bin:/usr/bin:/bin";
  os::ErrandGround ground{};  // in which interpreters are looked at
  bool gpus = false;  // the job has some: an image must suit their driver
  std::map<std::string, docker::Credentials> credentials{};  // the job's own for registries of images
};

// How this node makes what has to be built. What it cannot make is left empty: asking for it is
// Code::unsupported.
struct Kinds {
  // Called on threads, by several at once.
  std::function<Recipe(const Venv&)> venv;
  std::function<Recipe(const Conda&)> conda;
  std::map<std::string, std::function<Recipe(const std::string& lock)>> locks;  // by the lock's "kind"
  // For Image, DockerBuild, and locks of kind "image".
  Images* images = nullptr;
  // Where users are told apart, what nobody's own is part of is made once for all of them; if not, each has his own.
  bool shared = true;
  // Throws where what a spec names cannot run on this machine's GPUs; for jobs that ask for some.
  std::function<void(const Spec&)> check_cuda;
};

// Equal requests for a user's own interpreter at the same time share one look at it; later ones cost only a
// few stat calls while neither it nor what is installed for it has changed. The ensure() that blocks is
// thread-safe, all else belongs to the loop.
class Environments {
 public:
  // For the ensure() that blocks alone.
  explicit Environments(std::chrono::seconds patience = std::chrono::seconds(60)) : patience_(patience) {}
  // `builds`, and what `kinds` points to, outlive it.
  Environments(Builds& builds, Kinds kinds, std::chrono::seconds patience = std::chrono::seconds(60))
      : builds_(&builds), kinds_(std::move(kinds)), patience_(patience) {}

  // Every kind of Spec. Errors tell the building tool's own last words and the remedy; Cancelled when the
  // wait was abandoned.
  async::Task<Leased> ensure(Spec spec, Context context, Waiting& waiting);
  // A built environment that is there by the records, for a job that an earlier agent started; nothing where it is not.
  async::Task<std::optional<Leased>> lease(Digest digest);
  // For a job that is about to start: of an image, the engine is asked whether it has it still.
  async::Task<std::optional<Leased>> lease_present(Digest digest);
  // Cache::is_as_built, of one on the host.
  async::Task<bool> is_as_built(Digest digest);

  async::Task<std::vector<Entry>> list();
  std::vector<Waiting::Build> building() const;
  // All that is known of one, JSON; Code::not_found.
  async::Task<std::string> show(Digest digest);
  // Code::not_found; Code::conflict while it is leased or being built.
  async::Task<> remove(Digest digest);

  // None and UserManaged only.
  // Blocks: up to `patience` for an interpreter that is not known yet. Throws an Error naming the
  // interpreter, the reason and the remedy.
  // `stop` ends a look, which is Cancelled.
  Ready ensure(const Spec& spec, const Context& context, const std::stop_token& stop = {});

  // How often an interpreter was started; for tests and metrics.
  std::uint64_t looks() const;

 private:
  struct Known;
  using Key = std::pair<std::string, uid_t>;

  Ready ensure_python(const UserManaged& wanted, const Context& context, const std::stop_token& stop);
  async::Task<Ready> look_for(const Spec& spec, const Context& context, Waiting& waiting);
  Recipe recipe_of(const Spec& spec) const;
  Recipe recipe_of_lock(const std::string& lock) const;
  Builds& builds() const;
  async::Task<bool> is_image(Digest digest);
  std::shared_ptr<Known> known(const Key& key);

  Builds* builds_ = nullptr;
  Kinds kinds_;
  std::chrono::seconds patience_;
  mutable std::mutex mutex_;  // guards all below; never held while an interpreter runs
  std::map<Key, std::shared_ptr<Known>> known_;
  std::uint64_t looks_ = 0;
  // An interpreter is a program of its user's, which may hang.
  async::Lanes looking_{{1, 8}};
};

}  // namespace berth::environment

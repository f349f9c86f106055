#include "runtime/environment/environment.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/async/deadline.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/lock_text.hpp"
#include "runtime/environment/python.hpp"
#include "runtime/os/file.hpp"

namespace berth::environment {
namespace {

using Stamps = std::vector<std::pair<std::string, Stamp>>;

constexpr std::size_t kMostKnown = 256;
// The kernel takes a file's time from a clock that moves in steps: what changed in the same step looks
// unchanged.
constexpr std::int64_t kClockStep = 20'000'000;

std::string real_path(const std::string& path) {
  std::error_code failure;
  const auto real = std::filesystem::canonical(path, failure);
  return failure ? path : real.string();
}

std::int64_t wall_clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Nothing where the stamps cannot vouch for the answer: a wrapper script decides anew each time, and what
// changed since `started` may be newer than the answer.
std::optional<Stamps> stamps_of(const Python& python, std::int64_t started) {
  if (real_path(python.path) != real_path(python.executable)) return std::nullopt;
  Stamps stamps;
  stamps.emplace_back(python.path, stamp_of(python.path));
  for (const auto& location : python.locations) stamps.emplace_back(location, stamp_of(location));
  for (const auto& [path, stamp] : stamps)
    if (stamp.modified > started - kClockStep) return std::nullopt;
  return stamps;
}

bool still_true(const Stamps& stamps) {
  return std::all_of(stamps.begin(), stamps.end(),
                     [](const auto& entry) { return stamp_of(entry.first) == entry.second; });
}

std::string record_of(const Python& python) {
  return nlohmann::json{{"kind", "user-managed"},
                        {"interpreter", printable(python.path)},
                        {"executable", python.executable},
                        {"prefix", python.prefix},
                        {"venv", python.is_venv},
                        {"version", python.version},
                        {"implementation", python.implementation},
                        {"platform", python.platform},
                        {"packages", python.packages}}
      .dump();
}

Ready ready_from(const Python& python, bool by_path) {
  Ready ready;
  ready.interpreter = python.path;
  ready.record = record_of(python);
  // So that `python` and console scripts in the job's command are this environment's.
  if (python.is_venv || by_path) ready.path_prefix = os::parent_of(python.path);
  if (python.is_venv) ready.variables.emplace_back("VIRTUAL_ENV", python.prefix);
  return ready;
}

[[noreturn]] void unsupported(const std::string& what) {
  throw Error(Code::unsupported, "this node does not make " + what,
              "its administrator can set it up; `berth doctor` tells what is missing");
}

// A lock says itself what it is of.
std::string kind_of_lock(const std::string& lock) {
  const auto json = read_lock(lock);
  if (!json.is_object() || !json.contains("kind") || !json.at("kind").is_string())
    throw Error(Code::invalid, "the lock cannot be read", "give what `berth env lock` printed");
  return json.at("kind").get<std::string>();
}

// To be raised when what was built before is not to be taken any more: it is part of the identity where users are told
// apart.
constexpr int kIsolation = 1;

// Made for whom: what is of a user is of another identity for everybody.
Recipe made_for(Recipe recipe, const os::Identity& user, bool shared) {
  auto canonical = read_json(recipe.canonical);
  canonical["isolation"] = kIsolation;
  if (recipe.of_user || !shared) {
    recipe.owner = user.uid;
    canonical["owner"] = user.uid;
  }
  recipe.asker = user.uid;
  recipe.canonical = canonical.dump();
  return recipe;
}

bool is_of_image(const Spec& spec) {
  const auto* locked = std::get_if<Locked>(&spec);
  return std::holds_alternative<Image>(spec) || std::holds_alternative<DockerBuild>(spec) ||
         (locked != nullptr && kind_of_lock(locked->lock) == "image");
}

}  // namespace

// What is known of one interpreter for one user. `looking` is held while it is asked, so that others wait for
// it.
struct Environments::Known {
  std::mutex looking;
  std::optional<Python> python;
  Stamps stamps;
};

Ready Environments::ensure(const Spec& spec, const Context& context, const std::stop_token& stop) {
  if (const auto* wanted = std::get_if<UserManaged>(&spec)) return ensure_python(*wanted, context, stop);
  if (!std::holds_alternative<None>(spec)) unsupported("environments that have to be built");
  Ready ready;
  ready.record = nlohmann::json{{"kind", "none"}}.dump();
  return ready;
}

async::Task<Leased> Environments::ensure(Spec spec, Context context, Waiting& waiting) {
  if (std::holds_alternative<None>(spec) || std::holds_alternative<UserManaged>(spec)) {
    Leased leased;
    leased.ready = co_await look_for(spec, context, waiting);
    co_return leased;
  }
  auto& pool = builds().pool();
  if (is_of_image(spec)) {
    if (kinds_.images == nullptr) unsupported("container images ready");
    ImageUse use;
    use.gpus = context.gpus;
    if (context.identity) use.user = context.identity->uid;
    use.credentials = std::move(context.credentials);
    co_return co_await kinds_.images->ensure(std::move(spec), std::move(use), waiting);
  }
  auto make = [&] {
    if (context.gpus && kinds_.check_cuda) kinds_.check_cuda(spec);
    auto recipe = recipe_of(spec);
    return context.identity ? made_for(std::move(recipe), *context.identity, kinds_.shared) : recipe;
  };
  auto recipe = co_await async::offload(pool, make);
  co_return co_await builds().ensure(std::move(recipe), waiting);
}

// In the user's own lane: whoever hangs there keeps no other user waiting.
async::Task<Ready> Environments::look_for(const Spec& spec, const Context& context, Waiting& waiting) {
  const auto owner = context.identity ? context.identity->uid : ::geteuid();
  std::optional<Ready> ready;
  auto look = [&](const std::stop_token& stop) { ready.emplace(ensure(spec, context, stop)); };
  auto looking = async::offload(looking_, owner, look);
  auto abandoned = waiting.until_abandoned();
  co_await async::run_until(std::move(looking), std::move(abandoned));
  if (!ready) throw Cancelled();
  co_return std::move(*ready);
}

Recipe Environments::recipe_of(const Spec& spec) const {
  if (const auto* locked = std::get_if<Locked>(&spec)) return recipe_of_lock(locked->lock);
  if (const auto* conda = std::get_if<Conda>(&spec)) {
    if (!kinds_.conda) unsupported("conda environments");
    return kinds_.conda(*conda);
  }
  if (!kinds_.venv) unsupported("Python environments");
  return kinds_.venv(std::get<Venv>(spec));
}

Recipe Environments::recipe_of_lock(const std::string& lock) const {
  const auto kind = kind_of_lock(lock);
  const auto found = kinds_.locks.find(kind);
  if (found == kinds_.locks.end()) unsupported("environments of locks of kind '" + printable(kind) + "'");
  return found->second(lock);
}

Builds& Environments::builds() const {
  if (builds_ == nullptr) throw Error(Code::internal, "nothing was set up to build environments with");
  return *builds_;
}

async::Task<std::optional<Leased>> Environments::lease(Digest digest) {
  auto look = [&] { return builds().cache().lease(digest); };
  auto leased = co_await async::offload(builds().pool(), look);
  if (!leased && kinds_.images != nullptr) leased = co_await kinds_.images->lease(digest);
  co_return leased;
}

async::Task<std::optional<Leased>> Environments::lease_present(Digest digest) {
  auto leased = co_await lease(digest);
  if (leased && !leased->ready.image.empty()) co_return co_await kinds_.images->lease_present(digest);
  co_return leased;
}

async::Task<bool> Environments::is_as_built(Digest digest) {
  auto look = [&] { return builds().cache().is_as_built(digest); };
  co_return co_await async::offload(builds().pool(), look);
}

async::Task<std::vector<Entry>> Environments::list() {
  auto look = [&] { return builds().cache().list(); };
  auto entries = co_await async::offload(builds().pool(), look);
  if (kinds_.images == nullptr) co_return entries;
  auto images = co_await kinds_.images->list();
  std::move(images.begin(), images.end(), std::back_inserter(entries));
  co_return entries;
}

std::vector<Waiting::Build> Environments::building() const {
  auto all = builds().building();
  if (kinds_.images == nullptr) return all;
  auto images = kinds_.images->building();
  std::move(images.begin(), images.end(), std::back_inserter(all));
  return all;
}

async::Task<bool> Environments::is_image(Digest digest) {
  if (kinds_.images == nullptr) co_return false;
  const auto images = co_await kinds_.images->list();
  co_return std::any_of(images.begin(), images.end(), [&](const Entry& entry) { return entry.digest == digest; });
}

async::Task<std::string> Environments::show(Digest digest) {
  const bool image = co_await is_image(digest);
  if (image) co_return co_await kinds_.images->show(digest);
  auto look = [&] { return builds().cache().show(digest); };
  co_return co_await async::offload(builds().pool(), look);
}

async::Task<> Environments::remove(Digest digest) {
  const bool image = co_await is_image(digest);
  if (image)
    co_await kinds_.images->remove(digest);
  else
    co_await builds().remove(digest);
}

std::uint64_t Environments::looks() const {
  const std::lock_guard lock(mutex_);
  return looks_;
}

std::shared_ptr<Environments::Known> Environments::known(const Key& key) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMostKnown && !known_.contains(key)) known_.clear();
  auto& entry = known_[key];
  if (!entry) entry = std::make_shared<Known>();
  return entry;
}

Ready Environments::ensure_python(const UserManaged& wanted, const Context& context, const std::stop_token& stop) {
  const auto candidates = find_python(wanted.python, context.path);
  const bool by_path = wanted.python.starts_with('/');
  for (const auto& path : candidates) {
    const auto entry = known({path, context.identity ? context.identity->uid : ::geteuid()});
    const std::lock_guard looking(entry->looking);
    if (entry->python && still_true(entry->stamps)) return ready_from(*entry->python, by_path);
    {
      const std::lock_guard lock(mutex_);
      ++looks_;
    }
    const auto started = wall_clock();
    try {
      auto python = look_at_python(path, context.identity, patience_, context.ground, stop);
      auto stamps = stamps_of(python, started);
      const auto ready = ready_from(python, by_path);
      entry->python.reset();
      if (stamps) {
        entry->stamps = std::move(*stamps);
        entry->python = std::move(python);
      }
      return ready;
    } catch (const Error& failure) {
      // A shell, too, goes on to the next directory of PATH where one of them is closed to the user.
      const bool closed = failure.code() == Code::denied || failure.code() == Code::not_found;
      if (!closed || path == candidates.back()) throw;
    }
  }
  throw Error(Code::internal, "no candidate for '" + printable(wanted.python) + "'");
}

}  // namespace berth::environment

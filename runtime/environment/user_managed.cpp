#include "runtime/environment/user_managed.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/async/deadline.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
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

}  // namespace

async::Task<Leased> MachineProvider::ensure(Spec, Context, Waiting&) {
  Leased leased;
  leased.ready.record = nlohmann::json{{"kind", kNoKind}}.dump();
  co_return leased;
}

// What is known of one interpreter for one user. `looking` is held while it is asked, so that others wait for
// it.
struct UserManagedProvider::Known {
  std::mutex looking;
  std::optional<Python> python;
  Stamps stamps;
};

// In the user's own lane: whoever hangs there keeps no other user waiting.
async::Task<Leased> UserManagedProvider::ensure(Spec spec, Context context, Waiting& waiting) {
  const auto wanted = std::get<UserManaged>(std::move(spec));
  const auto owner = context.identity ? context.identity->uid : ::geteuid();
  std::optional<Ready> ready;
  auto ask = [&](const std::stop_token& stop) { ready.emplace(look(wanted, context, stop)); };
  auto looking = async::offload(looking_, owner, ask);
  auto abandoned = waiting.until_abandoned();
  co_await async::run_until(std::move(looking), std::move(abandoned));
  if (!ready) throw Cancelled();
  Leased leased;
  leased.ready = std::move(*ready);
  co_return leased;
}

std::uint64_t UserManagedProvider::looks() const {
  const std::lock_guard lock(mutex_);
  return looks_;
}

std::shared_ptr<UserManagedProvider::Known> UserManagedProvider::known(const Key& key) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMostKnown && !known_.contains(key)) known_.clear();
  auto& entry = known_[key];
  if (!entry) entry = std::make_shared<Known>();
  return entry;
}

Ready UserManagedProvider::look(const UserManaged& wanted, const Context& context, const std::stop_token& stop) {
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

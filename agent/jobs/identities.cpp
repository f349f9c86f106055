#include "agent/jobs/identities.hpp"

#include "runtime/async/attempt.hpp"

namespace berth::jobs {
namespace {

constexpr auto kKnownFor = std::chrono::seconds(5);

}  // namespace

async::Task<os::Identity> Identities::of(uid_t uid) {
  const auto known = known_.find(uid);
  if (known != known_.end() && clock_.steady() < known->second.until) co_return known->second.identity;
  auto look = [uid](const std::stop_token&) { return os::identity_of(uid); };
  auto found = co_await async::attempt(async::offload(lanes_.names, uid, look));
  if (!found) {
    const auto before = known_.find(uid);  // better than nothing while nobody can be asked
    if (before == known_.end()) throw found.error();
    co_return before->second.identity;
  }
  if (!*found)
    throw Error(Code::not_found, "the user with the number " + std::to_string(uid) + " does not exist any more");
  known_.insert_or_assign(uid, Known{**found, clock_.steady() + kKnownFor});
  co_return std::move(**found);
}

async::Task<std::string> Identities::name_of(uid_t uid) {
  auto identity = co_await async::attempt(of(uid));
  co_return identity ? std::move(identity->name) : std::to_string(uid);
}

}  // namespace berth::jobs

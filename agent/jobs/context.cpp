#include "agent/jobs/context.hpp"

namespace berth::jobs {
namespace {

constexpr std::chrono::milliseconds kFirstWritePause{100};
constexpr std::chrono::milliseconds kLongestWritePause{30'000};

}  // namespace

Context::Context(async::Executor executor, Settings node_settings, const Parts& parts, Log agent_log)
    : settings(std::move(node_settings)),
      store(parts.store),
      directories(parts.directories),
      drivers(parts.drivers),
      disk(parts.disk),
      quota(parts.quota),
      gpus(parts.gpus),
      watcher(parts.watcher),
      pool(parts.pool),
      clock(parts.clock),
      log(std::move(agent_log)),
      secrets(settings.secrets_key, store, masks, pool),
      identities(lanes, clock),
      environments(executor, parts.environments, directories,
                   [this](uid_t uid, std::uint64_t bytes) { return room_for(uid, bytes); },
                   {settings.switch_user, settings.defaults.path, settings.cgroup_base, settings.guard_environments}),
      queue(settings.capacity, settings.patience),
      nursery(executor,
              [this](std::exception_ptr failure) {
                log.error("a job's task failed", kv("error", error_from(std::move(failure)).describe()));
              }),
      leftovers(*this) {}

Task<disk::Transit::Charge> Context::room_for(uid_t uid, std::uint64_t bytes) {
  auto charge = co_await quota.files(uid, bytes);
  co_await disk.make_room(ByteSize(bytes));
  co_return charge;
}

// What fails now must be recorded all the same: room is made from the reserve, else somebody must make it.
Task<> Context::wait_for_disk(const Error& error, const std::string& what, std::optional<async::Backoff>& backoff) {
  const bool released = error.code() == Code::no_space && disk.reserve().release();
  log.error("cannot record", kv("what", what), kv("error", error.describe()), kv("reserve_released", released));
  if (!backoff) backoff.emplace(kFirstWritePause, kLongestWritePause);
  co_await async::sleep_for(backoff->next());
}

}  // namespace berth::jobs

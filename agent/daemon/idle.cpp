#include "agent/daemon/idle.hpp"

#include "runtime/async/deadline.hpp"
#include "runtime/async/tool.hpp"
#include "runtime/async/wait.hpp"

namespace berth::daemon {
namespace {

constexpr std::chrono::seconds kCommandTime{300};

async::Task<> until_busy(jobs::Jobs& jobs) {
  while (jobs.idle()) co_await jobs.next_activity();
}

async::Task<> until_idle(jobs::Jobs& jobs) {
  while (!jobs.idle()) co_await jobs.next_activity();
}

void run(const IdlePolicy& policy, const Log& log) {
  os::SpawnOptions options;
  options.arguments = policy.command;
  options.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"};
  options.working_directory = "/";
  try {
    const auto finished = async::run_tool_here(options, {kCommandTime, 4096});
    const auto& exit = finished.exit;
    if (exit.signalled || exit.status != 0)
      log.warn("on_idle failed", kv("command", policy.command.front()), kv("status", exit.status),
               kv("output", finished.errors));
  } catch (const Error& error) {
    log.error("on_idle cannot be run", kv("error", error.describe()));
  }
}

}  // namespace

async::Task<> watch_idleness(IdlePolicy policy, jobs::Jobs& jobs, async::Pool& pool, Log log) {
  while (!policy.command.empty()) {
    co_await until_idle(jobs);
    auto pause = async::sleep_for(policy.after);
    auto work = until_busy(jobs);
    co_await async::run_until(std::move(pause), std::move(work));
    if (!jobs.idle()) continue;
    log.info("node is idle", kv("command", policy.command.front()));
    auto command = [&] { run(policy, log); };
    co_await async::offload(pool, command);
    co_await until_busy(jobs);
  }
  for (;;) co_await async::sleep_for(std::chrono::hours(24));
}

}  // namespace berth::daemon

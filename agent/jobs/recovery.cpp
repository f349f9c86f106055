// After a restart of the agent or of the machine: every live job is taken up in the state that the disk tells.

#include <set>

#include "agent/drivers/host.hpp"
#include "agent/jobs/jobs.hpp"

namespace berth::jobs {
namespace {

constexpr std::chrono::milliseconds kFirstLook{500};
constexpr std::chrono::milliseconds kLongestLook{30'000};

}  // namespace

Task<> Jobs::recover() {
  context_.queue.set_drained(context_.store.drained());
  const auto all_live = [this] {
    std::set<model::JobId> ids;
    for (const auto& [sequence, runner] : runners_) ids.insert(runner->id());
    return ids;
  };
  for (auto* driver : context_.drivers.all()) driver->begin(all_live);
  const auto begun = co_await async::attempt(context_.store.begin_events(context_.settings.boot_id));
  if (!begun)
    context_.log.error("events may get numbers of events that were lost", kv("error", begun.error().describe()));
  const auto apart = co_await async::attempt(context_.secrets.set_old_apart(context_.settings.old_credentials));
  if (!apart) context_.log.error("secrets of earlier jobs are not sealed yet", kv("error", apart.error().describe()));
  gpus::Gpus::Listener listener;
  listener.changed = [this](std::vector<queue::Device> devices) { take_devices(std::move(devices)); };
  listener.failed = [this](const model::JobId& job, const model::GpuError& failure) {
    context_.directories.remark(job, failure.gpu + ", which the job holds, failed: " + failure.reason);
  };
  co_await context_.gpus.start(std::move(listener));
  std::size_t waiting = 0;
  std::set<std::string> groups;
  const auto jobs = context_.store.live();
  for (const auto& job : jobs) {
    if (job.environment) co_await context_.environments.hold_again(job.sequence, *job.environment, !waits(job.state));
    take_up(job);
    if (waits(job.state)) ++waiting;
    groups.insert(drivers::group_name(job.id, job.launch));
  }
  if (!jobs.empty())
    context_.log.info("jobs taken up again", kv("waiting", static_cast<std::uint64_t>(waiting)),
                      kv("running", static_cast<std::uint64_t>(jobs.size() - waiting)));
  warn_of_too_big();
  context_.leftovers.sweep(all_live(), std::move(groups));
  schedule();
}

void Jobs::take_up(const store::LiveJob& job) {
  auto& runner = admit(std::make_shared<Runner>(context_, job));
  if (waits(job.state)) return runner.enter_queue();
  if (job.state != model::State::finalizing) {
    runner.enter_queue();
    context_.queue.start(job.sequence, context_.clock.steady(), job.gpus);
  }
  runner.resume(job);
}

void Jobs::look_for_unknown() {
  if (!std::exchange(taking_unknown_, true)) context_.nursery.spawn(take_unknown());
}

Task<> Jobs::take_unknown() {
  async::Backoff pause(kFirstLook, kLongestLook);
  for (;;) {
    co_await async::sleep_for(pause.next());
    const auto look = [this]() -> Task<> {
      std::vector<model::JobId> none;
      co_await context_.store.settle(std::move(none));  // once something can be written again, what is there stays
      for (const auto& job : context_.store.live()) {
        if (runners_.contains(job.sequence)) continue;
        context_.log.warn("a submission that was told to have failed is on disk; its job is taken", kv("job", job.id));
        take_up(job);
      }
    };
    const auto looked = co_await async::attempt(look());
    if (looked) break;
  }
  taking_unknown_ = false;
  schedule();
}

}  // namespace berth::jobs

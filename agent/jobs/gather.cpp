// What a job wrote into its output directories, stored before anything else of it goes.

#include "agent/jobs/jobs.hpp"
#include "runtime/async/attempt.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/text.hpp"

namespace berth::jobs {
namespace {

constexpr std::chrono::milliseconds kFirstLook{200};  // for a name service that is away
constexpr std::chrono::milliseconds kLongestLook{5'000};
constexpr std::size_t kTold = 20;  // in the agent's remarks; the record names more

}  // namespace

// Nothing where somebody canceled it, be it before it began.
Task<Jobs::MaybeCollected> Jobs::collect(model::Job job, int launch, std::stop_source stop) {
  MaybeCollected collected;
  auto identity = co_await async::attempt(identity_of(job.uid));
  const auto began = clock_.steady();
  async::Backoff pause(kFirstLook, kLongestLook);
  while (!identity && identity.error().lack() == Lack::names && !stop.stop_requested() &&
         clock_.steady() - began < settings_.outage_patience) {
    co_await async::sleep_for(pause.next());
    identity = co_await async::attempt(identity_of(job.uid));
  }
  if (!identity) {  // the user is gone
    collected.emplace(identity.error());
    co_return collected;
  }
  auto work = [&](const std::stop_token& token) { return directories_.collect(job, launch, *identity, token); };
  try {
    auto task = async::attempt(async::offload(lanes_.collecting, job.uid, work, stop));
    auto result = co_await std::move(task);
    collected.emplace(std::move(result));
  } catch (const Cancelled&) {
    if (nursery_.stopping()) throw;
  }
  co_return collected;
}

Task<objects::Store::Pin> Jobs::gather_outputs(model::Job job, int launch, model::Attempt& attempt) {
  if (!directories_.anything_to_collect(job, launch)) co_return objects::Store::Pin();
  const auto allowed = co_await async::attempt(quota_.require_storage(job.uid, 0));  // one job's may be too much
  if (!allowed) {
    note_not_collected(job, allowed.error().describe(), attempt);
    co_return objects::Store::Pin();
  }
  std::stop_source stop;
  find(job.sequence)->collecting = stop;
  auto outputs = co_await collect(job, launch, stop);
  if (outputs && !*outputs && outputs->error().code() == Code::no_space) {
    disk::Cleaning wanted;
    const auto cleaned = co_await async::attempt(disk_.clean(std::move(wanted)));
    if (cleaned) directories_.remark(job.id, "the disk was full; the outputs are stored after a cleaning");
    outputs = co_await collect(job, launch, stop);
  }
  const auto live = find(job.sequence);
  live->collecting.reset();
  if (outputs && *outputs) {
    attempt.outputs = (*outputs)->outputs;
    attempt.outputs_size = (*outputs)->size;
    note_left_out(job.id, (*outputs)->left_out, attempt);
    co_return std::move((*outputs)->pin);
  }
  const auto why = outputs ? outputs->error().describe() : "canceled by " + live->collecting_canceled_by;
  note_not_collected(job, why, attempt);
  co_return objects::Store::Pin();
}

void Jobs::note_left_out(const model::JobId& id, const snapshot::LeftOuts& left_out, model::Attempt& attempt) {
  attempt.outputs_left_out.count = left_out.count();
  for (const auto& [path, why] : left_out.named()) {
    if (attempt.outputs_left_out.first.size() < kTold) directories_.remark(id, "outputs: " + path + " " + why);
    attempt.outputs_left_out.first.push_back({path, why});
  }
}

void Jobs::note_not_collected(const model::Job& job, const std::string& why, model::Attempt& attempt) {
  directories_.remark(job.id, "outputs were not collected: " + why);
  for (const auto& directory : drivers::output_directories(job)) {
    ++attempt.outputs_left_out.count;
    attempt.outputs_left_out.first.push_back({printable(directory), "was not collected: " + why});
  }
}

}  // namespace berth::jobs

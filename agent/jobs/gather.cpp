// What a job wrote into its output directories, stored before anything else of it goes.

#include "agent/jobs/runner.hpp"
#include "runtime/base/text.hpp"

namespace berth::jobs {
namespace {

constexpr std::chrono::milliseconds kFirstLook{200};  // for a name service that is away
constexpr std::chrono::milliseconds kLongestLook{5'000};
constexpr std::size_t kTold = 20;  // in the agent's remarks; the record names more

}  // namespace

// Nothing where somebody canceled it, be it before it began.
Task<Runner::MaybeCollected> Runner::collect(std::stop_source stop) {
  const auto& job = *job_;
  const auto launch = attempt_->launch;
  MaybeCollected collected;
  auto identity = co_await async::attempt(context_.identities.of(uid_));
  const auto began = context_.clock.steady();
  async::Backoff pause(kFirstLook, kLongestLook);
  while (!identity && identity.error().lack() == Lack::names && !stop.stop_requested() &&
         context_.clock.steady() - began < context_.settings.outage_patience) {
    co_await async::sleep_for(pause.next());
    identity = co_await async::attempt(context_.identities.of(uid_));
  }
  if (!identity) {  // the user is gone
    collected.emplace(identity.error());
    co_return collected;
  }
  auto work = [&](const std::stop_token& token) { return context_.directories.collect(job, launch, *identity, token); };
  try {
    auto task = async::attempt(async::offload(context_.lanes.collecting, uid_, work, stop));
    auto result = co_await std::move(task);
    collected.emplace(std::move(result));
  } catch (const Cancelled&) {
    if (context_.nursery.stopping()) throw;
  }
  co_return collected;
}

Task<objects::Store::Pin> Runner::gather_outputs() {
  if (!context_.directories.anything_to_collect(*job_, attempt_->launch)) co_return objects::Store::Pin();
  const auto allowed = co_await async::attempt(context_.quota.require_storage(uid_, 0));  // one job's may be too much
  if (!allowed) {
    note_not_collected(allowed.error().describe());
    co_return objects::Store::Pin();
  }
  std::stop_source stop;
  collecting_ = stop;
  auto outputs = co_await collect(stop);
  if (outputs && !*outputs && outputs->error().code() == Code::no_space) {
    disk::Cleaning wanted;
    const auto cleaned = co_await async::attempt(context_.disk.clean(std::move(wanted)));
    if (cleaned) context_.directories.remark(id_, "the disk was full; the outputs are stored after a cleaning");
    outputs = co_await collect(stop);
  }
  collecting_.reset();
  if (outputs && *outputs) {
    attempt_->record.outputs = (*outputs)->outputs;
    attempt_->record.outputs_size = (*outputs)->size;
    note_left_out((*outputs)->left_out);
    co_return std::move((*outputs)->pin);
  }
  note_not_collected(outputs ? outputs->error().describe() : "canceled by " + collecting_canceled_by_);
  co_return objects::Store::Pin();
}

void Runner::note_left_out(const snapshot::LeftOuts& left_out) {
  auto& told = attempt_->record.outputs_left_out;
  told.count = left_out.count();
  for (const auto& [path, why] : left_out.named()) {
    if (told.first.size() < kTold) context_.directories.remark(id_, "outputs: " + path + " " + why);
    told.first.push_back({path, why});
  }
}

void Runner::note_not_collected(const std::string& why) {
  context_.directories.remark(id_, "outputs were not collected: " + why);
  auto& told = attempt_->record.outputs_left_out;
  for (const auto& directory : drivers::output_directories(*job_)) {
    ++told.count;
    told.first.push_back({printable(directory), "was not collected: " + why});
  }
}

}  // namespace berth::jobs

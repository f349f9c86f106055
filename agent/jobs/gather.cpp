// What a job wrote into its output directories, stored before anything else of it goes.

#include "agent/jobs/jobs.hpp"
#include "runtime/async/attempt.hpp"

namespace berth::jobs {

Task<std::optional<objects::Store::Hold>> Jobs::gather_outputs(model::Job job, int launch, model::Attempt& attempt) {
  const auto allowed = co_await async::attempt(quota_.require_storage(job.uid, 0));  // one job's may be too much
  if (!allowed) {
    workplaces_.remark(job.id, "outputs were not collected: " + allowed.error().describe());
    co_return std::nullopt;
  }
  const auto identity = identity_of(job);
  auto collect = [&] { return workplaces_.collect(job, launch, identity); };
  std::optional<objects::Store::Hold> hold(co_await governor_.hold());
  auto outputs = co_await async::attempt(async::offload(pool_, collect));
  if (!outputs && outputs.error().code() == Code::no_space) {
    hold.reset();  // the cleaning sweeps, too
    Cleaning wanted;
    const auto cleaned = co_await async::attempt(governor_.clean(std::move(wanted)));
    if (cleaned) workplaces_.remark(job.id, "the disk was full; the outputs are stored after a cleaning");
    hold.emplace(co_await governor_.hold());
    outputs = co_await async::attempt(async::offload(pool_, collect));
  }
  if (!outputs) {
    workplaces_.remark(job.id, "outputs were not collected: " + outputs.error().describe());
    co_return hold;
  }
  attempt.outputs = outputs->outputs;
  attempt.outputs_size = outputs->size;
  for (const auto& warning : outputs->warnings) workplaces_.remark(job.id, "outputs: " + warning);
  co_return hold;
}

}  // namespace berth::jobs

#include "agent/api/shown.hpp"

namespace berth::api {
namespace {

// A digest tells whether a guess at the content is right.
void hide_digests(model::Job& job) {
  job.request.snapshot.reset();
  job.request.diff.reset();
  job.request.environment.context.reset();
  job.environment.reset();
  for (auto& attempt : job.attempts) {
    attempt.outputs.reset();
    attempt.outputs_size = ByteSize();
  }
}

// A reason quotes paths and what tools printed; what a GPU suffered is everybody's business.
void hide_reason(std::optional<model::Ending>& ending) {
  if (!ending || std::holds_alternative<model::GpuError>(*ending)) return;
  const auto hide = [](auto& one) {
    if constexpr (requires { one.reason.clear(); }) one.reason = "its owner is told why";
  };
  std::visit(hide, *ending);
}

void hide_content(model::Job& job) {
  job.request.submission_id.clear();
  job.request.command.clear();
  job.request.environment_variables.clear();
  job.request.properties.clear();
  job.request.working_directory.clear();
  auto kind = job.request.environment.kind;
  job.request.environment = {};
  job.request.environment.kind = kind;
  job.request.container = {};
  job.request.outputs.clear();
  job.environment_record.clear();
  hide_reason(job.ending);
  for (auto& attempt : job.attempts) hide_reason(attempt.ending);
}

}  // namespace

model::Job shown_to(const Access& access, const http::Peer& peer, model::Job job) {
  if (access.may_read(peer, job)) return job;
  hide_digests(job);
  hide_content(job);
  return job;
}

}  // namespace berth::api

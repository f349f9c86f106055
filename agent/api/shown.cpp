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
  job.environment_record.clear();
}

}  // namespace

model::Job shown_to(const Access& access, const http::Peer& peer, model::Job job) {
  if (access.may_read(peer, job)) return job;
  hide_digests(job);
  hide_content(job);
  return job;
}

}  // namespace berth::api

#include "agent/model/command_text.hpp"
#include "agent/model/job_name.hpp"
#include "agent/store/changes.hpp"
#include "agent/store/records.hpp"
#include "agent/store/rows.hpp"
#include "runtime/base/error.hpp"

namespace berth::store {
namespace {

using model::Job;

constexpr int kMostNamesTried = 1000;

std::optional<Submitted> known(db::Connection& db, const NewJob& wanted) {
  auto row = db.query("SELECT sequence FROM job WHERE submission_id = ?", wanted.request.submission_id);
  if (!row.step()) return std::nullopt;
  auto job = find(db, Sequence(row.integer(0)));
  if (job->uid != wanted.uid || job->request != wanted.request)
    throw Error(Code::conflict, "the submission id " + wanted.request.submission_id + " belongs to another request",
                "a repeated submission must be the same request; a new one needs a new id");
  const auto sequence = job->sequence;
  return Submitted{std::move(*job), true, request_bytes(db, sequence)};
}

model::JobId free_name(db::Connection& db, const Random& random) {
  for (int i = 0; i < kMostNamesTried; ++i) {
    auto name = model::job_name(random());
    if (!db.query("SELECT 1 FROM job WHERE id = ?1 UNION SELECT 1 FROM doomed WHERE job = ?1", name).step())
      return name;
  }
  throw Error(Code::internal, "no free job name was found");
}

// Sweeping takes the row away before the files, so a row that is here keeps them here.
void check_content(db::Connection& db, const char* what, Upload::Kind kind, const std::optional<Digest>& digest,
                   const NewJob& wanted) {
  if (digest && !may_use(db, kind, *digest, {wanted.uid, wanted.reads_jobs}))
    throw Error(Code::not_found, std::string(what) + " " + digest->brief() + " is not here", "send it before the job");
}

Submitted insert(db::Connection& db, Newcomers& newcomers, const NewJob& wanted, Instant now, const Random& random) {
  const auto& request = wanted.request;
  check_content(db, "snapshot", Upload::Kind::snapshot, request.snapshot, wanted);
  check_content(db, "diff", Upload::Kind::diff, request.diff, wanted);
  check_content(db, "snapshot", Upload::Kind::snapshot, request.environment.context, wanted);
  Job job{.id = free_name(db, random),
          .uid = wanted.uid,
          .user = wanted.user,
          .request = request,
          .state = wanted.state,
          .priority = request.priority,
          .held = request.held,
          .submitted = now};
  const auto text = to_text(request);
  job.sequence = newcomers.add(
      "id, submission_id, uid, user, state, priority, held, experiment, cpu_milli, memory, gpus, slots, gpu_memory,"
      " timeout_ms, grace_ms, snapshot, diff, context, submitted, name, title, request_bytes",
      job.id, request.submission_id, job.uid, job.user, model::name(job.state), job.priority, job.held,
      request.experiment, request.resources.cpu_milli, to_column(request.resources.memory), request.resources.gpus,
      request.resources.slots, to_column(request.resources.gpu_memory), to_column(request.timeout),
      request.stop.grace.value_or(std::chrono::milliseconds(0)).count(), to_column(request.snapshot),
      to_column(request.diff), to_column(request.environment.context), to_unix_micros(now), request.display_name,
      model::command_text(request.command, kLongestTitle), text.size());
  db.run("INSERT INTO request (sequence, json) VALUES (?, ?)", job.sequence, text);
  if (!wanted.sealed.empty())
    db.run("INSERT INTO secret (sequence, sealed) VALUES (?, ?)", job.sequence,
           db::Bytes(reinterpret_cast<const std::uint8_t*>(wanted.sealed.data()), wanted.sealed.size()));
  return {std::move(job), false, text.size()};
}

// Its first attempt.
void begin(db::Connection& db, Instant now, StartIntent intent, Job& job) {
  intent.sequence = job.sequence;
  start_intent(db, {now}, intent);
  job.state = model::State::running;
}

}  // namespace

bool knows_submission(db::Connection& db, const std::string& submission_id) {
  return db.query("SELECT 1 FROM job WHERE submission_id = ?", submission_id).step();
}

std::vector<Submitted> submit(db::Connection& db, const std::vector<NewJob>& jobs, Instant now, const Random& random) {
  std::vector<Submitted> result;
  result.reserve(jobs.size());
  create_jobs(db, now, [&](Newcomers& newcomers) {
    for (const auto& wanted : jobs) {
      if (auto old = known(db, wanted)) {
        result.push_back(std::move(*old));
      } else {
        result.push_back(insert(db, newcomers, wanted, now, random));
      }
    }
  });
  for (std::size_t i = 0; i < jobs.size(); ++i)
    if (jobs[i].start && !result[i].existed) begin(db, now, *jobs[i].start, result[i].job);
  return result;
}

}  // namespace berth::store

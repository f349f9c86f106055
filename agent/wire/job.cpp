#include "agent/wire/job.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"

namespace berth::model {

using std::chrono::milliseconds;

void describe(Fields& fields, EnvironmentChanges& changes) {
  fields.answered("EnvironmentChanges", "What an attempt changed of its environment.");
  fields.field("files", changes.files, "How many it wrote, replaced or removed; compiled Python does not count.");
  fields.field("added", changes.added, "Distributions and conda packages, such as six-1.16.0.");
  fields.field("removed", changes.removed, "Likewise.");
  fields.field("shared", changes.shared, "The environment itself was changed, while others may have had it.");
  fields.field("unknown", changes.unknown, "Why it could not all be looked at; then there may be more.",
               {.or_null = true});
}

void describe(Fields& fields, LeftOut::Item& item) {
  fields.field("path", item.path, "Relative to the working directory.");
  fields.field("why", item.why, "For people.");
}

void describe(Fields& fields, LeftOut& left_out) {
  fields.answered("LeftOut", "What of an attempt's outputs is not in their snapshot as the job left it.");
  fields.field("count", left_out.count, "Of all.");
  fields.field("first", left_out.first, "The first ones.");
}

void describe(Fields& fields, Removal& removal) {
  fields.answered("Removal", "When and why something was removed to give disk space back.");
  fields.field("time", removal.time, "When.", {.required = true});
  fields.field("why", removal.why, "For people.");
}

namespace {

void describe_usage(Fields& fields, Usage& usage) {
  fields.field("user_cpu_ms", in<milliseconds>(usage.user_cpu), "Of all its processes.");
  fields.field("system_cpu_ms", in<milliseconds>(usage.system_cpu), "Of the kernel for them.");
  fields.field("peak_memory_bytes", usage.peak_memory,
               "Of its control group; where there is none, of its largest process.");
  fields.field("io_read_bytes", usage.io_read, "From disks; what was cached is not counted.");
  fields.field("io_written_bytes", usage.io_written, "To disks.");
}

std::optional<std::string> words_of(const std::optional<Ending>& ending) {
  if (!ending) return std::nullopt;
  return to_words(*ending);
}

std::optional<int> exit_code_of(const std::optional<Ending>& ending) {
  if (!ending) return std::nullopt;
  return exit_code(*ending);
}

Attempt last_of(const Job& job) { return job.attempts.empty() ? Attempt{} : job.attempts.back(); }

}  // namespace

void describe(Fields& fields, Attempt& attempt) {
  fields.answered("Attempt", "One run of a job's command.");
  fields.field("number", attempt.number, "From 1.");
  fields.field("launch", attempt.launch, "Of the job, counted over all attempts; 0 where it never began.");
  fields.field("started", attempt.started, "When its command was started.");
  fields.field("ended", attempt.ended, "When all of its processes were gone.");
  fields.field("duration_ms", in<milliseconds>(attempt.duration), "In between, on a clock that nobody sets.");
  fields.field("ending", attempt.ending, "What ended it.");
  fields.shown(
      "ending_words", [&] { return words_of(attempt.ending); }, "The same for people.");
  auto& usage = attempt.usage;
  describe_usage(fields, usage);
  fields.field("gpus", attempt.gpus, "UUIDs of the GPUs that it was given.");
  fields.field("gpu_time_ms", in<milliseconds>(usage.gpu_time), "How long it held GPUs, times their number.");
  fields.field("gpu_peak_memory_bytes", usage.gpu_peak_memory,
               "Of all of them together, as sampled; 0 where nobody looked.");
  fields.field("environment_changes", attempt.environment_changes,
               "Null where there was no environment that it could have changed.");
  fields.field("outputs", attempt.outputs, "A snapshot of what it wrote into its output directories.");
  fields.field("outputs_bytes", attempt.outputs_size, "Of its files.");
  std::optional<LeftOut> left_out;
  if (attempt.outputs_left_out.count > 0) left_out = attempt.outputs_left_out;
  fields.field("outputs_left_out", left_out, "Null where nothing was.");
  if (fields.reads() && left_out) attempt.outputs_left_out = std::move(*left_out);
}

}  // namespace berth::model

namespace berth::wire {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kLongestReason = 300;  // in an outline

model::Ending with_bounded_reason(model::Ending ending, Reasons reasons) {
  if (reasons == Reasons::no) return without_reason(std::move(ending));
  std::visit(
      [](auto& each) {
        if constexpr (requires { each.reason; }) each.reason = shortened(std::move(each.reason), kLongestReason);
      },
      ending);
  return ending;
}

void describe_identity(Fields& fields, model::Job& job) {
  fields.field("id", job.id, "Its name, unique on its node.");
  fields.field("sequence", job.sequence, "The order of submission on this node.");
  fields.field("uid", job.uid, "Who submitted it.");
  fields.field("user", job.user, "That user's name.");
  fields.field("state", job.state, "Where it is in its life.", {.required = true});
  fields.field("priority", job.priority, "As it is now; higher first.");
  fields.field("held", job.held, "As it is now.");
}

// What a record and an outline both tell of the end.
void describe_end(Fields& fields, model::Job& job) {
  fields.field("finished", job.finished, "When it was over.");
  fields.field("ending", job.ending, "What ended it as a whole.");
  fields.shown(
      "ending_words", [&] { return model::words_of(job.ending); }, "The same for people.");
  fields.shown(
      "exit_code", [&] { return model::exit_code_of(job.ending); },
      "What `berth run` exits with: the job's own code, or 128 + signal, 124, 125, 130, 137.");
  fields.field("canceled_by", job.canceled_by, "Who asked for its cancellation; \"\" for nobody.");
  fields.field("log_removed", job.log_removed, "Null, or when the log was.");
  fields.field("outputs_removed", job.outputs_removed, "Null, or when the outputs were.");
}

void describe_waiting(Fields& fields, std::string& waiting) {
  fields.field("waiting", waiting, "Why it does not run yet, for people; only while it waits.", {.left_out = true});
}

}  // namespace

void describe(Fields& fields, JobRecord& record) {
  fields.answered("Job", "The whole record of a job, for its owner and root.");
  auto& job = record.job;
  describe_request(fields, job.request);
  describe_secret_names(fields, job.request);
  describe_identity(fields, job);
  if (fields.reads()) {  // of an agent that does not tell them
    job.request.priority = job.priority;
    job.request.held = job.held;
  }
  fields.field("requested_priority", job.request.priority, "As it was submitted.");
  fields.field("requested_held", job.request.held, "As it was submitted.");
  fields.field("submitted", job.submitted, "When.", {.required = true});
  fields.shown(
      "started", [&] { return model::last_of(job).started; }, "Of the last attempt.");
  fields.shown(
      "duration_ms",
      [&]() -> std::optional<milliseconds> {
        const auto duration = model::last_of(job).duration;
        if (!duration) return std::nullopt;
        return std::chrono::duration_cast<milliseconds>(*duration);
      },
      "Of the last attempt.");
  fields.field("attempts", job.attempts, "In order; the last is the current one.");
  fields.field("environment_record", JsonText{job.environment_record},
               "What the environment is made of: interpreter, version, packages; null before it was prepared.");
  fields.field("environment_digest", job.environment, "The environment that was made for it and others.");
  describe_end(fields, job);
  describe_waiting(fields, record.waiting);
}

// Of the last attempt it tells what the job as a whole shows.
void describe(Fields& fields, JobOutline& outline) {
  fields.answered("Outline", "What everybody who may look sees of a job, and what lists tell of each.");
  auto& job = outline.job;
  auto& request = job.request;
  auto last = model::last_of(job);
  if (job.attempts.empty()) last.number = 0;
  describe_identity(fields, job);
  fields.shown(
      "outline", [] { return true; }, "That it is no whole record.");
  fields.field("name", request.display_name, "A name to show; may be empty.");
  fields.field("resources", request.resources, "What is kept for it.");
  fields.field("timeout_ms", request.timeout, "It is stopped when it runs longer.");
  fields.field("submitted", job.submitted, "When.", {.required = true});
  fields.field("attempt", last.number, "The number of the last one; 0 before the first.");
  fields.field("started", last.started, "Of the last attempt.");
  fields.field("duration_ms", in<milliseconds>(last.duration), "Of the last attempt.");
  describe_end(fields, job);
  fields.field("title", outline.title, "The beginning of its command, as one would type it, for who may see it.",
               {.left_out = true});
  fields.field("experiment", request.experiment, "For who may see it.", {.left_out = true});
  fields.field("submission_id", request.submission_id, "For who may see it.", {.left_out = true});
  describe_waiting(fields, outline.waiting);
  if (!fields.reads()) return;
  request.priority = job.priority;
  request.held = job.held;
  if (last.started && last.duration) last.ended = *last.started + *last.duration;
  job.attempts.clear();
  if (last.number != 0) job.attempts.push_back(std::move(last));
}

JobOutline outline_of(model::Job job, Reasons reasons) {
  JobOutline outline;
  if (job.ending) job.ending = with_bounded_reason(std::move(*job.ending), reasons);
  job.request.experiment.clear();
  job.request.submission_id.clear();
  outline.job = std::move(job);
  return outline;
}

JobSeen job_from(const nlohmann::json& json) {
  const auto outline = json.is_object() ? json.find("outline") : json.end();
  if (outline != json.end() && *outline == true) {
    auto seen = message_from<JobOutline>(json, "job");
    return {std::move(seen.job), std::move(seen.title), std::move(seen.waiting), true};
  }
  auto record = message_from<JobRecord>(json, "job");
  return {std::move(record.job), {}, std::move(record.waiting), false};
}

void describe(Fields& fields, Accepted& accepted) {
  fields.answered("Accepted", "A job that was submitted.");
  fields.field("id", accepted.id, "Its name.", {.required = true});
  fields.field("sequence", accepted.sequence, "The order of submission on this node.");
  fields.field("state", accepted.state, "Where it is in its life.", {.lenient = true});
  fields.field("known", accepted.known, "A repeated submission: the same job.");
}

void describe(Fields& fields, Submitted& submitted) {
  fields.answered("Submitted", "The jobs of a submission, in its order. They are on disk.");
  fields.field("jobs", submitted.jobs, "One for each request.", {.required = true});
}

void describe(Fields& fields, JobList& list) {
  fields.answered("JobList", "A page of jobs.");
  fields.field("next", list.next, "What to give as `before` for the page before it; null: there is none.");
  fields.field("jobs", list.jobs, "In the order of submission, newest last, or as the queue has them.",
               {.required = true});
}

void describe(Fields& fields, Submission& submission) {
  fields.named("Submission", "Several job requests, to be taken in one durable step.");
  fields.field("jobs", submission.jobs, "At most 10000.", {.required = true});
}

void describe(Fields& fields, PriorityChange& change) {
  fields.named("PriorityChange", "What a job's priority is to be.");
  fields.field("priority", change.priority, "Higher first.",
               {.required = true, .least = model::kMinPriority, .most = model::kMaxPriority});
}

}  // namespace berth::wire

#include "agent/cli/job_text.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "agent/cli/page.hpp"
#include "agent/cli/table.hpp"
#include "agent/cli/words.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"

namespace berth::cli {
namespace {

using model::Job;
using nlohmann::json;

std::string moment(Instant instant, Instant now) { return to_local_text(instant) + " (" + ago(instant, now) + ")"; }

std::string property(const Job& job, const std::string& name) {
  const auto found = job.request.properties.find(name);
  return found == job.request.properties.end() ? "" : printable(found->second);
}

template <class Map>
std::string pairs_text(const Map& pairs) {
  std::string text;
  for (const auto& [name, value] : pairs) {
    text += text.empty() ? "" : ", ";
    text += printable(name) + "=";
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, int>)
      text += std::to_string(value);
    else
      text += printable(value);
  }
  return text;
}

std::string list_text(const std::vector<std::string>& list) {
  std::string text;
  for (const auto& item : list) (text += text.empty() ? "" : ", ") += printable(item);
  return text;
}

std::string names_of(const std::map<std::string, std::string>& variables) {
  std::vector<std::string> names;
  for (const auto& [name, value] : variables) names.push_back(name);  // a value may be a secret
  return list_text(names);
}

std::string secrets_text(const model::JobRequest& request) {
  std::string text;
  for (const auto& [name, use] : request.secrets) {
    text += (text.empty() ? "" : ", ") + printable(name);
    if (use.file) text += use.variable ? " (file and variable)" : " (file)";
  }
  return text;
}

// "/command/3" → "command/3"
std::string hidden_text(const model::JobRequest& request) {
  if (request.hidden.empty()) return {};
  std::string text;
  for (const auto& pointer : request.hidden) text += (text.empty() ? "in " : ", ") + printable(pointer.substr(1));
  return text;
}

// What was asked for beyond what the resources say.
std::string limits_text(const model::LimitRequest& limits) {
  std::string text;
  const auto add = [&](const std::string& limit) { text += (text.empty() ? "" : ", ") + limit; };
  if (limits.cpus) add("no more CPUs than asked for");
  if (limits.pids) add(std::to_string(*limits.pids) + " processes and threads");
  if (limits.tmp) add("TMPDIR of " + to_text(*limits.tmp));
  if (!limits.network) add("no network");
  return text;
}

// "SIGINT, then 30 seconds"; "" for what goes without saying.
std::string stop_text(const model::StopRequest& stop) {
  if (stop == model::StopRequest{}) return {};
  const char* name = ::sigabbrev_np(stop.signal);
  auto text = name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(stop.signal);
  if (stop.grace) text += ", then " + to_words(*stop.grace);
  return text;
}

std::string directory_text(const model::JobRequest& request) {
  if (!request.working_directory.empty()) return printable(request.working_directory);
  return request.snapshot ? "the snapshot's root" : "the image's own";
}

std::string container_text(const model::ContainerRequest& container) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (container.shm_size) add("/dev/shm of " + to_text(*container.shm_size));
  if (!container.docker_args.empty()) add("docker_args " + printable(container.docker_args));
  for (const auto& registry : container.registries) add("credentials of its own for " + printable(registry));
  return text;
}

// Of somebody else's job.
void add_outline(Page& page, const Job& job) {
  page.line("Name", printable(job.request.display_name));
  page.line("User", printable(job.user));
  page.line("Resources", to_words(job.request.resources));
  if (job.priority != 0) page.line("Priority", std::to_string(job.priority));
  if (job.request.timeout) page.line("Time limit", to_words(*job.request.timeout));
  page.line("More", "only its owner and root may see it");
}

void add_request(Page& page, const JobRecord& record) {
  const auto& job = record.job;
  const auto& request = job.request;
  if (record.outline) return add_outline(page, job);
  page.line("Command", command_text(request.command));
  page.line("Name", printable(request.display_name));
  page.line("Experiment", printable(request.experiment));
  page.line("Tags", pairs_text(request.tags));
  page.line("User", printable(job.user));
  page.line("Directory", directory_text(request));
  page.line("Variables", names_of(request.environment_variables));
  page.line("Secrets", secrets_text(request));
  page.line("Logins", hidden_text(request));
  page.line("Resources", to_words(request.resources));
  page.line("Limits", limits_text(request.limits));
  page.line("Container", container_text(request.container));
  if (job.priority != 0) page.line("Priority", std::to_string(job.priority));
  if (request.timeout) page.line("Time limit", to_words(*request.timeout));
  page.line("Retries", pairs_text(request.retries));
  page.line("Stop", stop_text(request.stop));
  if (request.log_cap) page.line("Log cap", to_text(*request.log_cap));
}

void add_timing(Page& page, const Job& job, Instant now) {
  page.line("Submitted", moment(job.submitted, now));
  if (!job.attempts.empty() && job.attempts.front().started) {
    const auto waited = *job.attempts.front().started - job.submitted;
    page.line("Started", to_local_text(*job.attempts.front().started) +
                             (waited.count() > 0 ? " (after " + to_words(waited) + ")" : ""));
  }
  if (job.finished) page.line("Ended", moment(*job.finished, now));
  if (const auto ran = run_time(job, now))
    page.line(model::is_final(job.state) ? "Ran" : "Running for", to_words(*ran));
}

void add_usage(Page& page, const Job& job) {
  if (job.attempts.empty()) return;
  const auto& usage = job.attempts.back().usage;
  if (usage.peak_memory.bytes() > 0) page.line("Peak memory", to_text(usage.peak_memory));
  if ((usage.user_cpu + usage.system_cpu).count() > 0)
    page.line("CPU time", to_words(usage.user_cpu + usage.system_cpu) + " (user " + to_words(usage.user_cpu) +
                              ", system " + to_words(usage.system_cpu) + ")");
  if (usage.io_read.bytes() + usage.io_written.bytes() > 0)
    page.line("Disk", "read " + to_text(usage.io_read) + ", wrote " + to_text(usage.io_written));
  const auto& attempt = job.attempts.back();
  std::string gpus;
  for (const auto& uuid : attempt.gpus) gpus += (gpus.empty() ? "" : ", ") + printable(uuid);
  page.line(attempt.gpus.size() == 1 ? "GPU" : "GPUs", gpus);
  if (usage.gpu_time.count() > 0)
    page.line("GPU time", to_words(usage.gpu_time));
  else if (job.request.resources.gpus > 0 && attempt.duration)
    page.line("GPU time", to_words(*attempt.duration * job.request.resources.gpus));
  if (usage.gpu_peak_memory.bytes() > 0) page.line("GPU memory", "peak " + to_text(usage.gpu_peak_memory));
}

void add_attempts(Page& page, const Job& job, Instant now) {
  if (job.attempts.size() < 2) return;
  page.heading("Attempts");
  for (const auto& attempt : job.attempts) {
    std::string text = attempt.ending ? printable(to_words(*attempt.ending)) : "running";
    if (attempt.duration) text += ", ran " + to_words(*attempt.duration);
    if (attempt.started) text += ", started " + moment(*attempt.started, now);
    page.line(std::to_string(attempt.number), text);
  }
}

// A build server's own word on it counts.
std::string commit_text(const std::string& commit, const std::string& dirty, const std::string& state) {
  if (state == "no commit yet") return state;
  if (dirty == "True") return commit.empty() ? "with changes" : commit + " with changes";
  if (dirty == "False") return commit + ", clean";
  if (state.starts_with("unknown")) return commit.empty() ? state : commit + ", changes " + state;
  return commit;
}

// What the commit has and the code has not.
std::string left_out_text(const Job& job) {
  const auto absent = property(job, "berth.git.not_checked_out");
  const auto unsent = property(job, "berth.git.not_sent");
  std::string text;
  if (!absent.empty()) text = "files of the commit that are not checked out: " + absent;
  if (!unsent.empty())
    text += (text.empty() ? "" : ", ") + std::string("files of the commit that are ignored: ") + unsent;
  return text;
}

void add_git(Page& page, const Job& job) {
  const auto commit = property(job, "mlflow.source.git.commit");
  const auto repository = property(job, "mlflow.source.git.repoURL");
  const auto branch = property(job, "mlflow.source.git.branch");
  const auto state = property(job, "berth.git.state");
  if (commit.empty() && repository.empty() && branch.empty() && state.empty()) return;
  page.heading("Git");
  page.line("Repository", repository);
  page.line("Branch", branch);
  page.line("Commit", commit_text(commit, property(job, "azureml.git.dirty"), state));
  page.line("Left out", left_out_text(job));
  page.line("Describe", property(job, "berth.git.describe"));
  page.line("Path", property(job, "berth.git.path"));
  if (job.request.diff) page.line("Diff", "`berth download " + job.id + " --diff`");
}

void add_code(Page& page, const Job& job) {
  if (!job.request.snapshot) return;
  page.heading("Code");
  page.line("Snapshot", job.request.snapshot->brief());
  page.line("Get it", "`berth download " + job.id + " --code`");
}

std::string kind_text(const model::EnvironmentRequest& request) {
  auto kind = std::string(model::name(request.kind));
  std::replace(kind.begin(), kind.end(), '_', '-');
  return kind;
}

std::string changes_text(const model::EnvironmentChanges& changes) {
  if (changes.shared) return "the environment itself, while it ran: it is made again for the jobs after it";
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  if (changes.files > 0) add(std::to_string(changes.files) + (changes.files == 1 ? " file" : " files"));
  if (!changes.added.empty()) add("added " + list_text(changes.added));
  if (!changes.removed.empty()) add("removed " + list_text(changes.removed));
  if (!text.empty()) text += " (in this job alone)";
  if (!changes.unknown.empty()) add("not all is known: " + printable(changes.unknown));
  return text;
}

// The record is the environment's own; what is not there is not told.
void add_environment(Page& page, const Job& job) {
  const auto& request = job.request.environment;
  if (request.kind == model::EnvironmentRequest::Kind::none) return;
  const auto record = json_or_null(job.environment_record);
  const auto text = [&](const char* key) -> std::string {
    if (!record.is_object() || !record.contains(key) || !record[key].is_string()) return {};
    return printable(record[key].get<std::string>());
  };
  page.heading("Environment");
  page.line("Kind", kind_text(request));
  page.line("From", printable(request.file.empty() ? request.image : request.file));
  page.line("Dockerfile", printable(request.dockerfile));
  if (request.context) page.line("Built from", request.context->brief());
  page.line("Python", text("interpreter").empty() ? printable(request.python) : text("interpreter"));
  page.line("Version", text("version").empty() ? text("python_version") : text("version"));
  page.line("Image", text("reference"));
  if (record.is_object() && record.contains("packages") && record["packages"].is_structured())
    page.line("Packages", std::to_string(record["packages"].size()));
  if (job.environment) {
    const auto name = job.environment->hex().substr(0, 12);
    page.line("Environment", name + "; `berth env show " + name + "`");
  }
  if (!job.attempts.empty() && job.attempts.back().environment_changes)
    page.line("Changed", changes_text(*job.attempts.back().environment_changes), Style::yellow);
}

std::string removal_text(const model::Removal& removal) { return printable(model::to_words(removal)); }

constexpr std::size_t kLeftOutShown = 20;

void add_left_out(Page& page, const model::LeftOut& left_out) {
  if (left_out.count == 0) return;
  page.line("Left out",
            std::to_string(left_out.count) + (left_out.count == 1 ? " entry" : " entries") +
                " not collected as the job left it:",
            Style::yellow);
  const auto shown = std::min(left_out.first.size(), kLeftOutShown);
  for (std::size_t i = 0; i < shown; ++i)
    page.line("", printable(left_out.first[i].path) + " " + printable(left_out.first[i].why));
  if (left_out.count > shown) page.line("", "… and " + std::to_string(left_out.count - shown) + " more");
}

void add_outputs(Page& page, const Job& job) {
  const auto left_out = job.attempts.empty() ? model::LeftOut() : job.attempts.back().outputs_left_out;
  if (job.request.outputs.empty() && !job.outputs_removed && left_out.count == 0 &&
      (job.attempts.empty() || !job.attempts.back().outputs))
    return;
  page.heading("Outputs");
  page.line("Collected", list_text(job.request.outputs));
  if (job.outputs_removed) page.line("Removed", removal_text(*job.outputs_removed), Style::yellow);
  const bool there = !job.attempts.empty() && job.attempts.back().outputs;
  if (there) page.line("Snapshot", job.attempts.back().outputs->brief());
  if (there)
    page.line("Get them", "`berth download " + job.id + "`");
  else if (model::is_final(job.state) && !job.outputs_removed)
    page.line("Snapshot", left_out.count > 0 ? "none" : "none: the job wrote nothing there");
  add_left_out(page, left_out);
}

}  // namespace

std::string title_of(const JobRecord& record) {
  const auto& request = record.job.request;
  if (!request.display_name.empty()) return printable(request.display_name);
  if (!request.command.empty()) return command_text(request.command);
  return record.title.empty() ? "–" : printable(record.title);
}

std::string jobs_table(const std::vector<JobRecord>& jobs, Instant now, const Screen& screen) {
  Table table({{"ID"}, {"NAME", 12}, {"STATE", 20}, {"USER", 6}, {"AGE"}, {"RAN"}, {"WAITING", 12}});
  for (const auto& record : jobs) {
    const auto& job = record.job;
    const auto ran = run_time(job, now);
    table.add({{printable(job.id.value())},
               {title_of(record)},
               {brief_state_text(job), state_style(job)},
               {printable(job.user)},
               {brief_duration(now - job.submitted)},
               {ran ? brief_duration(*ran) : ""},
               {printable(record.waiting)}});
  }
  return table.text(screen);
}

std::string left_out_text(const Job& job, std::size_t most_named) {
  if (job.attempts.empty() || job.attempts.back().outputs_left_out.count == 0) return "";
  const auto& [count, first] = job.attempts.back().outputs_left_out;
  auto text = std::to_string(count) + (count == 1 ? " output was" : " outputs were") +
              " not collected as the job left " + (count == 1 ? "it" : "them");
  for (std::size_t i = 0; i < first.size() && i < most_named; ++i)
    text += (i == 0 ? ": " : "; ") + printable(first[i].path) + " " + printable(first[i].why);
  if (count > most_named) text += "; `berth show " + job.id + "` names more";
  return text;
}

std::string job_page(const JobRecord& record, Instant now, const Screen& screen) {
  const auto& job = record.job;
  Page page(screen);
  page.heading(printable(job.id.value()));
  page.line("State", state_text(job), state_style(job));
  page.line("Waiting", printable(record.waiting), Style::yellow);
  add_request(page, record);
  page.heading("Timing");
  add_timing(page, job, now);
  add_usage(page, job);
  if (record.outline) return page.take();
  if (job.log_removed) page.line("Log", "removed " + removal_text(*job.log_removed), Style::yellow);
  add_attempts(page, job, now);
  add_git(page, job);
  add_code(page, job);
  add_environment(page, job);
  add_outputs(page, job);
  return page.take();
}

}  // namespace berth::cli

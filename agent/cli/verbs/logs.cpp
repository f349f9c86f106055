#include "agent/cli/follow.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/log_lines.hpp"
#include "agent/cli/output.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/cli/words.hpp"
#include "agent/jobfile/parse.hpp"
#include "runtime/base/error.hpp"

namespace berth::cli {
namespace {

struct Wanted {
  std::string job;
  LogQuery query;
  bool timestamps = false;
  bool json = false;
};

// Prints a line with its time, as text or JSON; a long line's further parts carry none in text.
class LinePrinter {
 public:
  explicit LinePrinter(bool json) : json_(json) {}
  void operator()(std::uint64_t offset, Instant time, std::string_view text, bool complete) {
    if (json_) return print(json_line(offset, time, text));
    print((begins_ ? time_prefix(time) : "") + std::string(text) + (complete ? "\n" : ""));
    begins_ = complete;
  }

 private:
  bool json_;
  bool begins_ = true;
};

// What is said of the job from here on is said of this one and this attempt: @last and the latest may soon be others.
void settle_on(Agent& agent, Wanted& wanted) {
  const auto record = agent.job(wanted.job);
  wanted.job = record.job.id.value();
  auto& query = wanted.query;
  if (query.stream != LogStream::job || query.attempt) return;
  if (!record.job.attempts.empty())
    query.attempt = record.job.attempts.back().number;
  else if (query.follow && !model::is_final(record.job.state))
    query.attempt = 1;
}

void pass(Agent& agent, const Wanted& wanted, const LogQuery& query, const LogSink& sink) {
  if (query.follow) {
    follow(agent, wanted.job, query, query.attempt.value_or(1), sink);
  } else {
    agent.log(wanted.job, query, [&](const model::LogFrame& frame) {
      sink(frame);
      return true;
    });
  }
}

// Where the answer starts must be known before it comes: for its times, and for going on after an
// interruption.
LogQuery from_known_offset(Agent& agent, const Wanted& wanted) {
  auto query = wanted.query;
  query.offset = agent.log_start(wanted.job, query);
  query.tail.reset();
  query.since.reset();
  return query;
}

void pass_with_times(Agent& agent, const Wanted& wanted) {
  const auto query = from_known_offset(agent, wanted);
  auto index = agent.log_index(wanted.job, query);
  const auto last = index.empty() ? system_clock().now() : index.back().second;
  const LogTimes::Later later = [follow = query.follow, last] { return follow ? system_clock().now() : last; };
  TimedLines lines(LogTimes(std::move(index), later), LinePrinter(wanted.json));
  pass(agent, wanted, query, [&](const model::LogFrame& frame) { lines.take(frame); });
  lines.finish();
}

void print_text(const model::LogFrame& frame) { print(frame.text); }

}  // namespace

int verb::logs(const Arguments& arguments, Common& common) {
  Wanted wanted;
  bool build = false;
  bool remarks = false;
  std::optional<std::string> since;
  std::optional<std::string> tail;
  std::optional<std::string> attempt;
  Options options("logs", "[options] JOB",
                  "Prints what a job wrote to standard output and standard error, from the beginning unless "
                  "told otherwise.");
  options.argument("JOB", wanted.job, kJobHelp);
  options.flag("-f,--follow", wanted.query.follow, "go on as it grows, until the job has ended");
  options.option("--tail", tail, "N", "only the last N lines");
  options.option("--since", since, "WHEN",
                 "only what was written since: 10m (ago), \"2026-03-14 15:09\", 2026-03-14T15:09:26Z");
  options.flag("--timestamps", wanted.timestamps, "put the time before each line, in your zone");
  options.option("--attempt", attempt, "N", "of this attempt (default: the latest)");
  options.flag("--build", build, "how its environment was made, instead of its own output");
  options.flag("--agent", remarks, "the agent's remarks about it, instead of its own output");
  options.flag("--no-mask", wanted.query.unmasked, "as it is: with the job's secrets, which are stars otherwise");
  options.section("Examples",
                  "  berth logs @last\n"
                  "  berth logs -f --tail 20 brave-heron\n"
                  "  berth logs --since 10m --timestamps brave-heron\n"
                  "  berth logs --json @last | jq -r .text\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  if (build && remarks) throw Error(Code::invalid, "--build and --agent exclude each other", "give one of them");
  if (since && tail) throw Error(Code::invalid, "--since and --tail exclude each other", "give one of them");
  auto& query = wanted.query;
  query.stream = build ? LogStream::build : remarks ? LogStream::agent : LogStream::job;
  if (attempt) query.attempt = static_cast<int>(jobfile::whole_number("--attempt", *attempt, 1, 1'000'000));
  if (tail) query.tail = static_cast<std::uint64_t>(jobfile::whole_number("--tail", *tail, 0, 1'000'000'000));
  if (since) query.since = parse_since(*since, system_clock().now());
  wanted.json = common.json;
  Agent agent(socket_path(common));
  if (query.follow || wanted.timestamps || wanted.json) settle_on(agent, wanted);
  if (wanted.timestamps || wanted.json)
    pass_with_times(agent, wanted);
  else if (query.follow)
    pass(agent, wanted, from_known_offset(agent, wanted), print_text);
  else
    pass(agent, wanted, query, print_text);
  return 0;
}

}  // namespace berth::cli

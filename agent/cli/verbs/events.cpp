#include "agent/cli/absence.hpp"
#include "agent/cli/agent.hpp"
#include "agent/cli/event_lines.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/output.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/jobfile/parse.hpp"

namespace berth::cli {
namespace {

constexpr int kMost = 1000;  // the API's limit
constexpr std::int64_t kHighest = 1'000'000'000'000'000;
constexpr std::chrono::milliseconds kWait{30'000};

class Printer {
 public:
  Printer(Agent& agent, EventQuery query, bool json) : agent_(agent), query_(query), lines_(json) {}

  // The newest, or all after a number.
  void print_all() {
    const bool newest = !query_.after;
    while (print_next() == static_cast<std::size_t>(query_.limit) && !newest) {
    }
  }

  [[noreturn]] void follow() {
    query_.wait = kWait;
    query_.limit = kMost;
    Absence absence("jobs live on");
    for (;;) {
      try {
        if (absence) {
          agent_.get("/v1/status");
          absence.end();
        }
        print_next();
      } catch (const Error& error) {
        if (!agent_is_away(error)) throw;
        absence.endure(error, "when it is back: berth events -f --after " + std::to_string(*query_.after));
      }
    }
  }

 private:
  // How many there were.
  std::size_t print_next() {
    const auto text = lines_.read(agent_.get(event_target(query_)));
    for (const auto& each : text.remarks) remark(each);
    print(text.lines);
    query_.after = text.next;
    return text.events;
  }

  Agent& agent_;
  EventQuery query_;
  EventLines lines_;
};

}  // namespace

int verb::events(const Arguments& arguments, Common& common) {
  EventQuery query;
  bool follow = false;
  std::optional<std::string> after;
  std::optional<std::string> number;
  Options options("events", "[options]",
                  "Prints what happened to jobs, a line for each step: time, job, what happened, who asked for it.");
  options.flag("-f,--follow", follow, "go on with what happens from now on");
  options.option("-n,--number", number, "N", "the newest N (default 100)");
  options.option("--after", after, "N",
                 "all after the event of this \"sequence\" (--json tells it) that are kept; 0: all");
  options.flag("--mine", query.mine, "only of your own jobs");
  options.section("Examples",
                  "  berth events -f\n"
                  "  berth events --mine -n 20\n"
                  "  berth events --json --after 0 | jq -r 'select(.what == \"ended\") | .job + \" \" + .state'\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  if (after && number) throw Error(Code::invalid, "--after and --number exclude each other", "give one of them");
  if (number) query.limit = static_cast<int>(jobfile::whole_number("--number", *number, 1, kMost));
  if (after) {
    query.after = jobfile::whole_number("--after", *after, 0, kHighest);
    query.limit = kMost;
  }
  Agent agent(socket_path(common));
  Printer printer(agent, query, common.json);
  printer.print_all();
  if (follow) printer.follow();
  return 0;
}

}  // namespace berth::cli

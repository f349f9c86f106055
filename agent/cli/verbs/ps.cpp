#include "agent/cli/agent.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/job_text.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/jobfile/parse.hpp"

namespace berth::cli {
namespace {

constexpr int kShown = 100;
constexpr int kMost = 10'000;  // the API's limit

}  // namespace

int verb::ps(const Arguments& arguments, Common& common) {
  bool all = false;
  bool mine = false;
  std::optional<std::string> number;
  Options options("ps", "[options]", "Lists jobs in the order of submission, the newest last: the live ones, or all.");
  options.flag("-a,--all", all, "ended jobs too");
  options.option("-n,--number", number, "N", "at most the newest N (default 100)");
  options.flag("--mine", mine, "only your own");
  options.section("Examples",
                  "  berth ps\n"
                  "  berth ps -a -n 20\n"
                  "  berth ps -a --json | jq -r '.jobs[] | select(.state == \"Failed\") | .id'\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  const auto limit = number ? jobfile::whole_number("--number", *number, 1, kMost) : kShown;
  Agent agent(socket_path(common));
  const auto list = agent.jobs(all, mine, static_cast<int>(limit));
  if (common.json)
    print(list.json + "\n");
  else if (list.jobs.empty())
    print(all ? "no jobs yet\n" : "no live jobs; `berth ps -a` lists the ended ones\n");
  else
    print(jobs_table(list.jobs, system_clock().now(), screen()));
  return 0;
}

}  // namespace berth::cli

#include "agent/cli/each_job.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "runtime/base/error.hpp"

namespace berth::cli {
namespace {

constexpr int kMost = 10'000;

std::vector<std::string> own_live_jobs(Agent& agent) {
  std::vector<std::string> ids;
  for (const auto& record : agent.jobs(false, true, kMost).jobs) ids.push_back(record.job.id.value());
  return {ids.rbegin(), ids.rend()};  // the waiting ones first, lest they start meanwhile
}

}  // namespace

int verb::cancel(const Arguments& arguments, Common& common) {
  std::vector<std::string> jobs;
  bool all = false;
  Options options("cancel", "[options] JOB… | --all",
                  "Stops jobs in whatever state they are: a running one gets its stop signal, then, after "
                  "its grace time, its "
                  "whole process tree is killed. An ended one is left as it is.");
  options.arguments("JOB", jobs, false, kJobHelp);
  options.flag("--all", all, "all your live jobs");
  options.section("Examples",
                  "  berth cancel @last\n"
                  "  berth cancel --all\n"
                  "  berth cancel brave-heron && berth wait brave-heron\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  if (all != jobs.empty())
    throw Error(Code::invalid, all ? "--all leaves no room for single jobs" : "no job named",
                all ? "give --all or the jobs" : "give an id, @last, or --all; `berth ps` lists the live jobs");
  Agent agent(socket_path(common));
  return change_jobs(agent, all ? own_live_jobs(agent) : jobs, common, "cancel");
}

}  // namespace berth::cli

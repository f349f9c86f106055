#include "agent/cli/each_job.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {

int verb::hold(const Arguments& arguments, Common& common) {
  std::vector<std::string> jobs;
  Options options("hold", "[options] JOB…",
                  "Keeps waiting jobs from starting, until `berth release`. A job that runs already is not touched.");
  options.arguments("JOB", jobs, true, kJobHelp);
  options.section("Examples",
                  "  berth hold brave-heron\n"
                  "  berth submit --hold train.py    # held from the beginning\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  return change_jobs(agent, jobs, common, "hold");
}

}  // namespace berth::cli

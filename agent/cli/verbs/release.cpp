#include "agent/cli/each_job.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {

int verb::release(const Arguments& arguments, Common& common) {
  std::vector<std::string> jobs;
  Options options("release", "[options] JOB…", "Lets held jobs start, in their turn.");
  options.arguments("JOB", jobs, true, kJobHelp);
  options.section("Examples",
                  "  berth release brave-heron\n"
                  "  berth release @last && berth logs -f @last\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  return change_jobs(agent, jobs, common, "release");
}

}  // namespace berth::cli

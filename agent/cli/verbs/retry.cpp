#include "agent/cli/each_job.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {

int verb::retry(const Arguments& arguments, Common& common) {
  std::vector<std::string> jobs;
  Options options("retry", "[options] JOB…",
                  "Runs ended jobs again, with the same code and request, as their next attempt.");
  options.arguments("JOB", jobs, true, kJobHelp);
  options.section("Examples",
                  "  berth retry @last\n"
                  "  berth retry brave-heron calm-otter && berth logs -f brave-heron\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  return change_jobs(agent, jobs, common, "retry");
}

}  // namespace berth::cli

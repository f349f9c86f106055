#include "agent/cli/agent.hpp"
#include "agent/cli/each_job.hpp"
#include "agent/cli/follow.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/output.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/cli/words.hpp"

namespace berth::cli {

int verb::wait(const Arguments& arguments, Common& common) {
  std::vector<std::string> jobs;
  Options options("wait", "[options] JOB…",
                  "Waits until the jobs have ended and exits with the job's own code; of several, with the "
                  "first that is not 0.");
  options.arguments("JOB", jobs, true, kJobHelp);
  options.section("Examples",
                  "  berth wait @last && echo done\n"
                  "  berth wait $(berth submit a.py) $(berth submit b.py)\n");
  options.section("Exit codes", kJobExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  return each_job(jobs, common, [&](const std::string& job) {
    const auto record = wait_until_ended(agent, job);
    print(common.json ? record.json + "\n" : record.job.id + ": " + state_text(record.job) + "\n");
    return record.job.ending ? model::exit_code(*record.job.ending) : 0;
  });
}

}  // namespace berth::cli

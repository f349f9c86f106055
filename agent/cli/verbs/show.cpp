#include "agent/cli/agent.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/job_text.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {

int verb::show(const Arguments& arguments, Common& common) {
  std::string job;
  Options options("show", "[options] JOB",
                  "Shows everything that is known about a job: state, ending, why it waits, timing, git, "
                  "snapshot, environment, "
                  "resources, outputs.");
  options.argument("JOB", job, kJobHelp);
  options.section("Examples",
                  "  berth show @last\n"
                  "  berth show brave-heron --json | jq .properties\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  const auto record = agent.job(job);
  print(common.json ? record.json + "\n" : job_page(record, system_clock().now(), screen()));
  return 0;
}

}  // namespace berth::cli

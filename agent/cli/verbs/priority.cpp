#include "agent/cli/agent.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/output.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/cli/words.hpp"
#include "agent/jobfile/parse.hpp"

namespace berth::cli {
namespace {

// "-5" is a number here, not an option.
Arguments with_number_kept(Arguments arguments) {
  for (auto& argument : arguments)
    if (argument.size() > 1 && argument[0] == '-' && argument[1] >= '0' && argument[1] <= '9') argument.insert(0, "=");
  return arguments;
}

}  // namespace

int verb::priority(const Arguments& arguments, Common& common) {
  std::string job;
  std::string number;
  Options options("priority", "[options] JOB N",
                  "Changes the priority of a waiting job: higher starts first, equal ones in the order of submission.");
  options.argument("JOB", job, kJobHelp);
  options.argument("N", number, "-1000 to 1000");
  options.section("Examples",
                  "  berth priority @last 10\n"
                  "  berth priority brave-heron -5\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(with_number_kept(arguments), common)) return 0;
  if (number.starts_with('=')) number.erase(0, 1);
  const auto priority = jobfile::whole_number("N", number, model::kMinPriority, model::kMaxPriority);
  Agent agent(socket_path(common));
  const auto record = agent.act(job, "priority", "{\"priority\":" + std::to_string(priority) + "}");
  print(common.json ? record.json + "\n"
                    : record.job.id + ": " + state_text(record.job) + ", priority " +
                          std::to_string(record.job.priority) + "\n");
  return 0;
}

}  // namespace berth::cli

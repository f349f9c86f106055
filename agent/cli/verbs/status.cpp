#include "agent/cli/agent.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/node_text.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {

int verb::status(const Arguments& arguments, Common& common) {
  Options options(
      "status", "[options]",
      "Shows the node: version, queue, what its resources are and how much of them is in use, disk, health.");
  options.section("Examples",
                  "  berth status\n"
                  "  berth status --json | jq .jobs.running\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  const auto status = agent.get("/v1/status");
  print(common.json ? status + "\n" : status_page(status, socket_words(common), screen()));
  return 0;
}

}  // namespace berth::cli

#include "agent/cli/agent.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/node_text.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {

int verb::drain(const Arguments& arguments, Common& common) {
  Options options("drain", "[options]",
                  "Starts no more jobs on this node; running ones run on, waiting ones stay in the queue, "
                  "new ones join it. For the "
                  "agent's owner and root.");
  options.section("Examples",
                  "  berth drain                # before maintenance\n"
                  "  berth ps; berth resume\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  const auto status = agent.post("/v1/drain");
  print(common.json ? status + "\n" : status_page(status, screen()));
  return 0;
}

}  // namespace berth::cli

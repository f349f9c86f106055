#include "agent/cli/agent.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/node_text.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {

int verb::resume(const Arguments& arguments, Common& common) {
  Options options("resume", "[options]", "Starts jobs again after `berth drain`. For the agent's owner and root.");
  options.section("Examples", "  berth resume\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  const auto status = agent.post("/v1/resume");
  print(common.json ? status + "\n" : status_page(status, socket_words(common), screen()));
  return 0;
}

}  // namespace berth::cli

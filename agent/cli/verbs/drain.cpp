#include "agent/cli/agent.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/node_text.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {

int verb::drain(const Arguments& arguments, Common& common) {
  bool stop = false;
  Options options("drain", "[options]",
                  "Starts no more jobs on this node; running ones run on, waiting ones stay in the queue, "
                  "new ones join it. For the "
                  "agent's owner and root.");
  options.flag("--stop", stop,
               "ask running jobs to stop, with their grace; they end as preempted, and `--retry preempted=N` starts "
               "them again after `berth resume`");
  options.section("Examples",
                  "  berth drain                # before maintenance\n"
                  "  berth drain --stop         # now; returns when nothing runs any more\n"
                  "  berth ps; berth resume\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  const auto status = agent.post("/v1/drain", stop ? R"({"stop": true})" : "");
  print(common.json ? status + "\n" : status_page(status, socket_words(common), screen()));
  return 0;
}

}  // namespace berth::cli

#include "agent/cli/agent.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/node_text.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {

int verb::gc(const Arguments& arguments, Common& common) {
  bool dry_run = false;
  Options options("gc", "[options]",
                  "Gives disk space back: what no job needs any more. Says what goes, and why. For the "
                  "agent's owner and root.");
  options.flag("--dry-run", dry_run, "only tell what would go");
  options.section("Examples",
                  "  berth gc --dry-run\n"
                  "  berth gc\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  const auto report = agent.post("/v1/gc", dry_run ? R"({"dry_run":true})" : R"({"dry_run":false})");
  print(common.json ? report + "\n" : garbage_page(report, dry_run, screen()));
  return 0;
}

}  // namespace berth::cli

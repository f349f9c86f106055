#include "agent/cli/agent.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/node_text.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/wire/node.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"

namespace berth::cli {
namespace {

std::string request(bool dry_run, const std::optional<std::string>& free) {
  const auto size = free ? parse_byte_size(*free) : ByteSize();
  if (!size) throw Error(Code::invalid, "--free: '" + printable(*free) + "' is no size", "write it as 512MiB or 20g");
  return text_of(wire::Cleaning{dry_run, *size});
}

}  // namespace

int verb::gc(const Arguments& arguments, Common& common) {
  bool dry_run = false;
  std::optional<std::string> free;
  Options options("gc", "[options]",
                  "Gives disk space back: first what can be made again, then, where the disk or its budget asks for "
                  "it, logs, outputs and at last records of jobs that ended long ago. Nothing of a live job. Says "
                  "what goes, what stays, and why. For the agent's owner and root.");
  options.flag("--dry-run", dry_run, "only tell what would go");
  options.option("--free", free, "SIZE", "give at least so much back (20GiB), in the same order");
  options.section("Examples",
                  "  berth gc --dry-run\n"
                  "  berth gc\n"
                  "  berth gc --free 20GiB --dry-run\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  const auto report = agent.post("/v1/gc", request(dry_run, free));
  print(common.json ? report + "\n" : garbage_page(report, dry_run, screen()));
  return 0;
}

}  // namespace berth::cli

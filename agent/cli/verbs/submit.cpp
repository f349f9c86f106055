#include "agent/cli/help.hpp"
#include "agent/cli/output.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/submission.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {

int verb::submit(const Arguments& arguments, Common& common) {
  Submission submission;
  Options options("submit", "[options] [--] COMMAND…",
                  "Submits a job and prints its id. The current directory is sent as it is now: later edits "
                  "never reach the "
                  "job.");
  declare(options, submission);
  options.section("Examples",
                  "  berth submit train.py --epochs 10\n"
                  "  berth submit --gpus 1 --retry 2 --tag model=small -- python3 train.py\n"
                  "  id=$(berth submit --no-code -- make -j8) && berth wait $id\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  const auto submitted = cli::submit(agent, submission);
  print((common.json ? submitted.json : submitted.id) + "\n");
  return 0;
}

}  // namespace berth::cli

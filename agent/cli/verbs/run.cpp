#include <unistd.h>

#include "agent/cli/follow.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/interrupts.hpp"
#include "agent/cli/job_text.hpp"
#include "agent/cli/output.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/submission.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/cli/words.hpp"
#include "runtime/base/error.hpp"

namespace berth::cli {
namespace {

// The job's own output ends a success well; everything else deserves a sentence.
void tell_ending(const model::Job& job) {
  if (job.ending && !model::succeeded(*job.ending)) remark(job.id + " " + to_words(*job.ending));
}

}  // namespace

int verb::run(const Arguments& arguments, Common& common) {
  Submission submission;
  bool detach = false;
  Options options("run", "[options] [--] COMMAND…",
                  "Submits a job, prints its output as it comes, and exits with the job's own code. The "
                  "current directory is "
                  "sent as it is now: later edits never reach the job.");
  declare(options, submission);
  options.group("Following");
  options.flag("-n,--detach", detach, "do not follow: print the id, as `berth submit` does");
  options.section("Signals",
                  "  Ctrl-C at a terminal asks: detach, cancel or go on; a second one cancels.\n"
                  "  Elsewhere SIGINT cancels the job. SIGTERM always does. SIGHUP detaches: the job lives on,\n"
                  "  as it does when the agent is restarted or this program is killed.\n");
  options.section("Examples",
                  "  berth run train.py --epochs 10\n"
                  "  berth run --python .venv/bin/python --gpus 1 --timeout 2h -- python train.py\n"
                  "  berth run --no-code -- nvidia-smi\n");
  options.section("Exit codes", kJobExits);
  if (!options.parse(arguments, common)) return 0;
  Agent agent(socket_path(common));
  if (detach) {
    const auto submitted = cli::submit(agent, submission);
    print((common.json ? submitted.json : submitted.id) + "\n");
    return 0;
  }
  Interrupts interrupts;
  const auto submitted = cli::submit(agent, submission, [&] { interrupts.hold_back(); });
  interrupts.watch(submitted.id, agent.socket());
  if (::isatty(STDERR_FILENO) != 0) remark("job " + submitted.id);
  // With --json standard output is for the record alone.
  const auto show = common.json ? print_error : print;
  const auto record = follow(agent, submitted.id, {}, 1, [&](const model::LogFrame& frame) { show(frame.text); });
  if (common.json) print(record.json + "\n");
  tell_ending(record.job);
  if (const auto text = left_out_text(record.job, 3); !text.empty()) remark(text);
  return record.job.ending ? model::exit_code(*record.job.ending) : berth::exit_code(Code::internal);
}

}  // namespace berth::cli

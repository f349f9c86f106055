#include "agent/cli/agent.hpp"
#include "agent/cli/gpu_text.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/wire/node.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/percent.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli {
namespace {

// As before GPUs were drained and resumed like nodes.
std::string current_name(std::string action) {
  if (action == "withhold") return "drain";
  return action == "forgive" ? "resume" : action;
}

struct Request {
  std::string action;
  std::vector<std::string> gpus;
  std::string reason;
};

void check(const Request& request) {
  const bool changes = request.action == "drain" || request.action == "resume";
  if (!changes && request.action != "ls")
    throw Error(Code::invalid, "there is no `berth gpu " + printable(request.action) + "`",
                "there are ls, drain and resume");
  if (changes && (request.gpus.size() != 1 || request.gpus.front().empty()))
    throw Error(Code::invalid, "berth gpu " + request.action + ": name one GPU", "`berth gpu ls` lists them");
  if (!changes && !request.gpus.empty()) throw Error(Code::invalid, "berth gpu ls: it takes no GPU");
  if (request.action != "drain" && !request.reason.empty())
    throw Error(Code::invalid, "--reason is for `berth gpu drain`");
}

std::string ask(Agent& agent, const Request& request) {
  if (request.action == "ls") return agent.get("/v1/gpus");
  const auto body = request.action == "drain" ? text_of(wire::GpuDrain{request.reason}) : "{}";
  return agent.post("/v1/gpus/" + percent_encoded(request.gpus.front()) + "/" + request.action, body);
}

}  // namespace

int verb::gpu(const Arguments& arguments, Common& common) {
  Request request;
  Options options("gpu", "ls|drain|resume [options] [GPU]",
                  "Shows the node's GPUs, and takes them out of use and back. A GPU after an Xid that is not a "
                  "program's fault is withheld until the machine or another driver is started, or it is resumed.");
  options.argument("ACTION", request.action,
                   "ls: each GPU, who has it, how busy it is and why it is withheld; drain: no job gets it from now "
                   "on, also after a restart, and a job that has it keeps it; resume: it is offered again, unless "
                   "something is wrong with it at this moment (both for the agent's owner and root)");
  options.arguments("GPU", request.gpus, false,
                    "a number (with all instances of that GPU), or a UUID or the beginning of one");
  options.option("--reason", request.reason, "TEXT", "why it is withheld, for those who wait for it");
  options.section("Examples",
                  "  berth gpu ls\n"
                  "  berth gpu drain 3 --reason 'its fan is loud'\n"
                  "  nvidia-smi --gpu-reset -i 3; berth gpu resume 3\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  request.action = current_name(request.action);
  check(request);
  Agent agent(socket_path(common));
  const auto answer = ask(agent, request);
  const auto gpus = gpus_from_json(answer);
  const bool forgotten = request.action == "resume" && gpus.gpus.empty();
  if (common.json)
    print(answer + "\n");
  else
    print(forgotten ? "the machine has no such GPU any more: it is forgotten\n" : gpus_table(gpus, screen()));
  return 0;
}

}  // namespace berth::cli

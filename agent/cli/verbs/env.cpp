#include <nlohmann/json.hpp>

#include "agent/cli/agent.hpp"
#include "agent/cli/environment_text.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/submission.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/wire/environment.hpp"
#include "agent/wire/json_text.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"
#include "runtime/http/error_json.hpp"

namespace berth::cli {
namespace {

using nlohmann::json;

constexpr int kFailed = 500;  // the status of a failure that came after the header

struct Request {
  std::string action;
  std::vector<std::string> environments;
  jobfile::Flags flags;
};

std::string target(const std::string& environment) {
  const bool digits = environment.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (environment.empty() || !digits)
    throw Error(Code::invalid, "'" + printable(environment) + "' is not the name of an environment",
                "it is the beginning of what `berth env ls` lists, or of `berth show JOB`'s Environment");
  return "/v1/environments/" + environment;
}

std::string record(Agent& agent, const std::string& environment) { return agent.get(target(environment)); }

void list(Agent& agent, const Common& common) {
  const auto answer = agent.get("/v1/environments");
  print(common.json ? answer + "\n" : environments_table(answer, system_clock().now(), screen()));
}

void show(Agent& agent, const Request& request, const Common& common) {
  for (const auto& environment : request.environments) {
    const auto answer = record(agent, environment);
    print(common.json ? answer + "\n" : environment_page(answer, system_clock().now(), screen()));
  }
}

void print_log(Agent& agent, const Request& request) {
  for (const auto& environment : request.environments) {
    const auto on_chunk = [](std::string_view bytes) {
      print(bytes);
      return true;
    };
    agent.client().stream("GET", target(environment) + "/log", on_chunk);
  }
}

void remove(Agent& agent, const Request& request) {
  for (const auto& environment : request.environments) agent.client().request("DELETE", target(environment));
}

void print_lock(Agent& agent, const Request& request) {
  const auto answer = wire::parse_json(record(agent, request.environments.front()));
  const auto page = message_from<wire::EnvironmentPage>(answer, "environment");
  print(json_or_null(page.lock).dump(2) + "\n");
}

void print_export(Agent& agent, const Request& request) {
  print(exported(record(agent, request.environments.front())));
}

// The answer comes line by line: output, and at last what it came to.
class BuildReader {
 public:
  explicit BuildReader(bool quiet) : quiet_(quiet) {}
  bool take(std::string_view bytes) {
    rest_ += bytes;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n')) {
      take_line(json_or_null(rest_.substr(0, end)));
      rest_.erase(0, end + 1);
    }
    return true;
  }
  std::string result() const {
    if (failure_) throw *failure_;
    if (result_.is_null())
      throw Error(Code::unavailable, "the agent stopped answering before the environment was made",
                  "its build goes on; run the command again to wait for it");
    return result_.dump();
  }

 private:
  void take_line(const json& line) {
    if (!line.is_object()) return;
    if (line.contains("output") && !quiet_) print_error(message_from<wire::BuildOutput>(line, "output").output);
    if (line.contains("error")) failure_ = http::error_from_response(kFailed, line.dump());
    if (line.contains("environment")) result_ = line["environment"];
  }

  bool quiet_;
  std::string rest_;
  json result_;
  std::optional<Error> failure_;
};

void build(Agent& agent, const Request& request, const Common& common) {
  const auto wanted = environment_of(agent, request.flags);
  BuildReader reader(common.json);
  const auto on_chunk = [&](std::string_view bytes) { return reader.take(bytes); };
  agent.client().stream("POST", "/v1/environments", on_chunk, wanted);
  const auto result = reader.result();
  print(common.json ? result + "\n"
                    : message_from<wire::EnvironmentMade>(wire::parse_json(result), "environment").digest.hex() + "\n");
}

void check(const Request& request) {
  const bool several = request.action == "show" || request.action == "log" || request.action == "rm";
  const bool one = request.action == "lock" || request.action == "export";
  const auto given = request.environments.size();
  if (!several && !one && request.action != "ls" && request.action != "build")
    throw Error(Code::invalid, "there is no `berth env " + printable(request.action) + "`",
                "there are ls, show, log, lock, export, build and rm");
  if ((several || one) && given == 0)
    throw Error(Code::invalid, "berth env " + request.action + ": which environment?", "`berth env ls` lists them");
  if ((one && given > 1) || (!several && !one && given > 0))
    throw Error(Code::invalid, "berth env " + request.action + ": too many arguments",
                one ? "name one environment" : "it takes no environment");
}

}  // namespace

int verb::env(const Arguments& arguments, Common& common) {
  Request request;
  Options options("env", "ls|show|log|lock|export|build|rm [options] [ENV…]",
                  "Looks after the environments that were made for jobs: conda environments, Python environments and "
                  "images. Each is made once, for all jobs that ask for the same, and goes when the disk needs the "
                  "room and no job has it.");
  options.argument("ACTION", request.action,
                   "ls: list them; show: one, with the jobs that had it; log: how it was built; lock: exactly what it "
                   "consists of, for --env-lock; export: the same for other tools (a conda list of URLs, a "
                   "requirements file); build: make one ahead; rm: remove (root and the agent's owner)");
  options.arguments("ENV", request.environments, false, "the beginning of an environment's digest");
  options.group("To build");
  declare_environment(options, request.flags);
  options.section("Examples",
                  "  berth env ls\n"
                  "  berth env build --requirements requirements.txt\n"
                  "  berth env build --dockerfile docker\n"
                  "  berth env lock 3fa9c1 > environment.lock.json\n"
                  "  berth run --env-lock environment.lock.json -- train.py\n"
                  "  berth env rm 3fa9c1\n");
  options.section("Exit codes", kPlainExits);
  if (!options.parse(arguments, common)) return 0;
  check(request);
  Agent agent(socket_path(common));
  if (request.action == "ls") list(agent, common);
  if (request.action == "show") show(agent, request, common);
  if (request.action == "log") print_log(agent, request);
  if (request.action == "lock") print_lock(agent, request);
  if (request.action == "export") print_export(agent, request);
  if (request.action == "build") build(agent, request, common);
  if (request.action == "rm") remove(agent, request);
  return 0;
}

}  // namespace berth::cli

#include "agent/cli/agent.hpp"
#include "agent/cli/doctor/check.hpp"
#include "agent/cli/doctor/facts.hpp"
#include "agent/cli/doctor/judge.hpp"
#include "agent/cli/explanation.hpp"
#include "agent/cli/help.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"

namespace berth::cli {
namespace {

constexpr std::chrono::milliseconds kAgentPatience{15'000};

struct Visit {
  doctor::AccessFacts access;
  doctor::Agent agent;
};

Visit visit_agent(const Common& common, const doctor::Machine& machine) {
  const auto socket = socket_path(common);
  Visit visit;
  std::optional<Error> failure;
  try {
    http::Client::Options options;
    options.patience = kAgentPatience;
    visit.agent = doctor::agent_facts_from_json(Agent(socket, options).get("/v1/doctor"));
  } catch (const Error& error) {
    failure = error;
  }
  visit.access = read_access(common, this_installation(), machine, std::move(failure));
  return visit;
}

std::vector<doctor::Check> examine(const Common& common) {
  using namespace doctor;
  const Machine machine;
  const auto [access, agent] = visit_agent(common, machine);
  const auto namespaces = read_namespaces(machine);
  const auto nvidia = read_nvidia(machine);
  return {judge_agent(access, agent),
          judge_socket(access, agent),
          judge_versions(BERTH_VERSION, agent),
          judge_cgroup(read_cgroup_mode(machine), agent),
          judge_disk(agent),
          judge_clock(read_clock(), agent),
          judge_overlay(namespaces, agent),
          judge_namespaces(namespaces),
          judge_files(agent),
          judge_leftovers(agent),
          judge_python(read_python(machine)),
          judge_git(read_git(machine)),
          judge_docker(read_docker(machine, agent ? agent->docker_socket : ""), agent),
          judge_nvidia(nvidia),
          judge_gpus(nvidia, agent),
          judge_boot(read_boot(machine))};
}

}  // namespace

int verb::doctor(const Arguments& arguments, Common& common) {
  bool verbose = false;
  Options options(
      "doctor", "[options]",
      "Checks what a node needs - the agent and the way to it, control groups, disk, clock, Python, Docker, "
      "NVIDIA driver, leftovers - and says what to do about each. Changes nothing.");
  options.flag("-v,--verbose", verbose, "tell what each check found");
  options.section("Levels",
                  "  ok       as it should be\n"
                  "  note     nothing has to be done, or it cannot be told from here\n"
                  "  warning  something that a node can do without works less well, or not at all\n"
                  "  problem  the node does not work, or will lose something\n");
  options.section("Examples",
                  "  berth doctor\n"
                  "  berth doctor --json | jq -r '.checks[] | select(.level != \"ok\") | .advice'\n");
  options.section("Exit codes",
                  "  0    there is no problem\n"
                  "  1    there is one\n"
                  "  2    a mistake in what was asked for; the message says which\n");
  if (!options.parse(arguments, common)) return 0;
  const auto checks = examine(common);
  print(common.json ? doctor::checks_json(checks) + "\n" : doctor::checks_page(checks, verbose, screen()));
  return doctor::has_problem(checks) ? 1 : 0;
}

}  // namespace berth::cli

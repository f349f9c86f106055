#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/cli/agent.hpp"
#include "agent/cli/completion.hpp"
#include "agent/cli/environment_text.hpp"
#include "agent/cli/job_text.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "agent/cli/words.hpp"
#include "agent/wire/environment.hpp"
#include "agent/wire/json_text.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli {
namespace {

constexpr int kMost = 200;
constexpr unsigned kPatience = 1;  // seconds; somebody waits at the keyboard

void give_up_in_time() {
  ::signal(SIGALRM, [](int) { ::_exit(0); });
  ::alarm(kPatience);
}

std::string remark_on(const JobRecord& record) {
  return fitted(brief_state_text(record.job) + "  " + title_of(record), 60);
}

// Other people's jobs are nothing to offer: what one may do to them is to look, and root does everything.
void offer_jobs(Completion& completion, const std::string& typed) {
  Common common;
  common.socket = completion.socket;
  Agent agent(socket_path(common));
  const bool live_only = *completion.jobs != JobChoice::any && *completion.jobs != JobChoice::ended;
  const auto list = agent.jobs(!live_only, ::getuid() != 0, kMost);
  const auto& named = completion.named;
  for (auto record = list.jobs.rbegin(); record != list.jobs.rend(); ++record)  // the newest first
    if (const auto& id = record->job.id.value(); id.starts_with(typed) && is_choice(*completion.jobs, record->job) &&
                                                 std::find(named.begin(), named.end(), id) == named.end())
      completion.candidates.push_back({id, remark_on(*record)});
  if (!list.jobs.empty() && typed.starts_with('@')) completion.candidates.push_back({"@last", "your latest"});
}

// By as much of the digest as `berth env ls` shows, or more where more was typed.
void offer_environments(Completion& completion, const std::string& typed) {
  Common common;
  common.socket = completion.socket;
  const auto answer = wire::parse_json(Agent(socket_path(common)).get("/v1/environments"));
  const auto list = message_from<wire::EnvironmentList>(answer, "environments");
  const auto digits = std::max(kEnvironmentDigits, typed.size());
  const auto& named = completion.named;
  for (const auto& environment : list.environments) {
    const auto name = environment.digest.hex().substr(0, digits);
    const bool wanted = *completion.environments == EnvironmentChoice::any || !environment.in_use;
    if (wanted && name.starts_with(typed) && std::find(named.begin(), named.end(), name) == named.end())
      completion.candidates.push_back({name, fitted(printable(environment.words), 60)});
  }
}

void tell(const Completion& completion) {
  std::string text;
  for (const auto& [candidate, remark] : completion.candidates)
    text += candidate + (remark.empty() ? "" : "\t" + remark) + "\n";
  if (completion.from_shell == FromShell::files) text += ":files\n";
  if (completion.from_shell == FromShell::directories) text += ":directories\n";
  if (completion.from_shell == FromShell::commands) text += ":commands\n";
  print(text);
}

}  // namespace

int verb::complete(const Arguments& arguments, Common&) {
  give_up_in_time();
  auto completion = cli::complete(arguments);
  try {
    if (completion.jobs) offer_jobs(completion, arguments.back());
    if (completion.environments) offer_environments(completion, arguments.back());
  } catch (const Error&) {
    // No agent, or one of another version: nothing to offer.
  }
  tell(completion);
  return 0;
}

}  // namespace berth::cli

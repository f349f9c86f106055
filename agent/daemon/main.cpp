// berthd: the node agent.

#include <sys/prctl.h>
#include <syslog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <iostream>

#include "agent/daemon/agent.hpp"
#include "agent/daemon/version.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/standard_files.hpp"
#include "runtime/os/systemd.hpp"

namespace {

constexpr const char* kSystemConfig = "/etc/berth/berthd.yaml";
// EX_CONFIG: the service is not started again after it (systemd/berthd.service), since that would not help.
constexpr int kWrongConfiguration = 78;

using berth::Code;
using berth::Error;

// Where a mistake in the file is an Error, and not whatever else kept it from being read.
struct Misconfigured : Error {
  explicit Misconfigured(const Error& error) : Error(error) {}
};

berth::daemon::Config configuration(const std::string& file, const berth::daemon::Config& defaults) {
  try {
    return berth::daemon::load_config(file, defaults);
  } catch (const Error& error) {
    if (error.code() == Code::invalid) throw Misconfigured(error);
    throw;
  }
}

berth::daemon::Options options_from(bool user, const std::string& state, const std::string& config) {
  namespace daemon = berth::daemon;
  if (!user && ::geteuid() != 0)
    throw Error(Code::denied, "serving a whole machine needs root", "run `berthd --user` to serve only yourself");
  daemon::Options options;
  options.machine_agent = !user;
  // Where the process is started is not where it is when it reads again.
  const auto directory = state.empty() ? "" : berth::os::absolute(state);
  const auto file = config.empty() ? "" : berth::os::absolute(config);
  const auto read = [=] {
    auto found = user ? daemon::user_defaults() : daemon::system_defaults();
    if (!file.empty())
      found = configuration(file, found);
    else if (!user && berth::os::exists(kSystemConfig))
      found = configuration(kSystemConfig, found);
    if (!directory.empty()) found.state_dir = directory;
    return found;
  };
  options.config = read();
  options.reread = read;
  return options;
}

int journal_priority(berth::LogLevel level) {
  switch (level) {
    case berth::LogLevel::debug:
      return LOG_DEBUG;
    case berth::LogLevel::info:
      return LOG_INFO;
    case berth::LogLevel::warn:
      return LOG_WARNING;
    case berth::LogLevel::error:
      break;
  }
  return LOG_ERR;
}

// The job is JOB_ID, so that `journalctl JOB_ID=…` finds all about it; other fields keep their names in upper case.
std::string journal_field(std::string name) {
  if (name == "job") return "JOB_ID";
  for (auto& letter : name) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  return name;
}

void write_to_journal(berth::LogLevel level, std::string_view event, const std::vector<berth::Field>& fields) {
  berth::os::JournalFields all{{"BERTH_EVENT", std::string(event)}};
  for (const auto& field : fields) all.emplace_back(journal_field(field.key), field.value);
  berth::os::write_to_journal(journal_priority(level), berth::format_event(event, fields), all);
}

// Whether the terminal belongs to this process' group: a shell takes it from what it starts in the background, or gives
// that no input at all.
bool in_foreground() { return ::isatty(STDIN_FILENO) != 0 && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp(); }

// In the background of a terminal, where somebody types, the log is a file.
void configure_log(const berth::daemon::Options& options) {
  const auto level = options.config.log_level;
  if (berth::os::stderr_is_journal()) return berth::Log::configure(level, write_to_journal);
  if (::isatty(STDERR_FILENO) == 0) return berth::Log::configure(level, berth::LogFormat::json);
  if (options.machine_agent || in_foreground()) return berth::Log::configure(level, berth::LogFormat::logfmt);
  berth::os::make_directories(options.config.state_dir, 0700);
  berth::Log::configure(level, berth::os::join(options.config.state_dir, "berthd.log"));
}

// Whether an agent of that kind would accept the file; where it would not, the first line tells the mistake and its
// place.
int check_config(bool user, const std::string& file) {
  namespace daemon = berth::daemon;
  try {
    daemon::load_config(file, user ? daemon::user_defaults() : daemon::system_defaults());
    std::cout << file << ": ok\n";
    return 0;
  } catch (const Error& error) {
    std::cerr << "berthd: " << error.message() << '\n';
    if (!error.hint().empty()) std::cerr << "  " << error.hint() << '\n';
    return berth::exit_code(error.code());
  }
}

}  // namespace

int main(int argc, char** argv) {
  berth::os::open_standard_files();
  CLI::App app(
      "berthd: runs training jobs on this machine. It queues, prepares, supervises and records them;\n"
      "`berth` is the command line to it.");
  bool user = false;
  std::string state;
  std::string config;
  app.add_flag("--user", user, "Serve only the user who starts it (XDG paths, no privileges)");
  app.add_option("--state", state, "Where everything is kept")->type_name("DIR");
  app.add_option("--config", config, "Configuration, YAML")->type_name("FILE");
  std::string checked;
  app.add_option("--check-config", checked, "Only tell whether this configuration is right, and where it is not")
      ->type_name("FILE");
  bool describe = false;  // what berthd.yaml(5) is made from
  app.add_flag("--describe", describe)->group("");
  app.set_version_flag("--version", std::string("berthd ") + berth::daemon::kVersion);
  CLI11_PARSE(app, argc, argv);
  try {
    if (describe) {
      for (const auto& key : berth::daemon::keys_taken_at_once()) std::cout << key << '\n';
      return 0;
    }
    if (!checked.empty()) return check_config(user, checked);
    auto options = options_from(user, state, config);
    configure_log(options);
    // Jobs have the same user: they must not read the keys of their records in this process' memory.
    if (user) ::prctl(PR_SET_DUMPABLE, 0);
    berth::daemon::run_agent(std::move(options));
    return 0;
  } catch (const Misconfigured& wrong) {
    std::cerr << "berthd: " << wrong.describe() << '\n';
    berth::os::notify_manager("STATUS=" + wrong.message());
    return kWrongConfiguration;
  } catch (const Error& error) {
    std::cerr << "berthd: " << error.describe() << '\n';
    return berth::exit_code(error.code());
  }
}

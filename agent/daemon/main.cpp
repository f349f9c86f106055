// berthd: the node agent.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "agent/daemon/agent.hpp"
#include "agent/daemon/version.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace {

using berth::Code;
using berth::Error;

berth::daemon::Options options_from(bool user, const std::string& state, const std::string& config) {
  namespace daemon = berth::daemon;
  if (!user && ::geteuid() != 0)
    throw Error(Code::denied, "serving a whole machine needs root", "run `berthd --user` to serve only yourself");
  daemon::Options options;
  options.machine_agent = !user;
  options.config = user ? daemon::user_defaults() : daemon::system_defaults();
  if (!config.empty()) options.config = daemon::load_config(config, options.config);
  if (!state.empty()) options.config.state_dir = berth::os::absolute(state);
  return options;
}

// Whether an agent of that kind would accept the file; an Error tells the line where it would not.
int check_config(bool user, const std::string& file) {
  namespace daemon = berth::daemon;
  daemon::load_config(file, user ? daemon::user_defaults() : daemon::system_defaults());
  std::cout << file << ": ok\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("berthd: runs training jobs on this machine. It queues, prepares, supervises and records them;\n"
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
  app.set_version_flag("--version", std::string("berthd ") + berth::daemon::kVersion);
  CLI11_PARSE(app, argc, argv);
  try {
    if (!checked.empty()) return check_config(user, checked);
    auto options = options_from(user, state, config);
    berth::Log::configure(options.config.log_level,
                          ::isatty(STDERR_FILENO) != 0 ? berth::LogFormat::logfmt : berth::LogFormat::json);
    berth::daemon::run_agent(std::move(options));
    return 0;
  } catch (const Error& error) {
    std::cerr << "berthd: " << error.describe() << '\n';
    return berth::exit_code(error.code());
  }
}

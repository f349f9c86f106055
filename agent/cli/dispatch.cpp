#include "agent/cli/dispatch.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "agent/cli/nearest.hpp"
#include "agent/cli/output.hpp"
#include "agent/cli/verbs/verbs.hpp"
#include "runtime/base/text.hpp"
#include "runtime/http/error_json.hpp"

namespace berth::cli {
namespace {

[[noreturn]] void unknown(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& verb : verbs()) names.emplace_back(verb.name);
  const auto similar = nearest(name, names);
  throw Error(Code::invalid, "there is no verb '" + printable(name) + "'",
              similar ? "did you mean `berth " + *similar + "`?" : "`berth --help` lists the verbs");
}

// Options that every verb takes may stand before it: `berth --json ps` is `berth ps --json`.
Arguments options_before_verb(Arguments& arguments) {
  Arguments options;
  while (!arguments.empty() && (arguments.front() == "--json" || arguments.front().starts_with("--socket"))) {
    const std::size_t length = arguments.front() == "--socket" ? std::min<std::size_t>(2, arguments.size()) : 1;
    const auto end = arguments.begin() + static_cast<std::ptrdiff_t>(length);
    options.insert(options.end(), arguments.begin(), end);
    arguments.erase(arguments.begin(), end);
  }
  return options;
}

}  // namespace

int dispatch(Arguments arguments, Common& common) {
  auto options = options_before_verb(arguments);
  if (arguments.empty()) {
    print(overview());
    return options.empty() ? 0 : berth::exit_code(Code::invalid);
  }
  auto name = arguments.front();
  arguments.erase(arguments.begin());
  if (name == "--version") {
    print("berth " BERTH_VERSION "\n");
    return 0;
  }
  if (name == "help" && !arguments.empty()) {
    name = arguments.front();
    arguments = {"--help"};
  } else if (name == "help" || name == "--help" || name == "-h") {
    print(overview());
    return 0;
  }
  const auto* verb = find_verb(name);
  if (verb == nullptr) unknown(name);
  arguments.insert(arguments.begin(), options.begin(), options.end());
  return verb->run(arguments, common);
}

std::string overview() {
  std::string text =
      "Usage: berth VERB [options]\n\n"
      "Runs training jobs on this machine: a queue, an immutable copy of the code for each job,\n"
      "logs, outputs and a record of every run.\n\nVerbs:\n";
  for (const auto& verb : verbs())
    text += "  " + std::string(verb.name) + std::string(12 - verb.name.size(), ' ') + std::string(verb.summary) + "\n";
  return text +
         "\nA job is named by its id (brave-heron-7k2m), by the beginning of it, or by @last, your latest.\n"
         "`berth VERB --help` explains a verb. `berth --version` tells the version.\n\n"
         "Examples:\n"
         "  berth run train.py --epochs 10       send the current directory, run, follow the log\n"
         "  berth submit --gpus 1 -- ./train.sh  the same in the background; prints the job's id\n"
         "  berth ps -a                          all jobs\n"
         "  berth logs -f @last                  follow the latest one\n";
}

std::string failure_text(const Error& error) {
  auto text = "berth: " + printable(error.message());
  for (const auto& context : error.context()) text += ", " + printable(context);
  text += '\n';
  if (!error.hint().empty()) text += "  " + printable(error.hint()) + "\n";
  return text;
}

int report(const Error& error, const Common& common) {
  const auto text = common.json ? http::to_json(error) + "\n" : failure_text(error);
  std::fwrite(text.data(), 1, text.size(), stderr);
  return berth::exit_code(error.code());
}

}  // namespace berth::cli

#include "agent/cli/options.hpp"

#include <doctest/doctest.h>

#include "agent/cli/submission.hpp"
#include "runtime/base/error.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

struct Parsed {
  Submission submission;
  Common common;
  std::string mistake;
};

Parsed parse(const Arguments& arguments) {
  Parsed parsed;
  Options options("run", "[options] [--] COMMAND…", "Runs.");
  declare(options, parsed.submission);
  try {
    options.parse(arguments, parsed.common);
  } catch (const Error& error) {
    parsed.mistake = error.describe();
  }
  return parsed;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("the command begins at the first word that is no option, and is left as it is") {
  CHECK(parse({"train.py", "--gpus", "7", "-h", "--json"}).submission.flags.command ==
        Words{"train.py", "--gpus", "7", "-h", "--json"});
  CHECK_FALSE(parse({"train.py", "--json"}).common.json);
  const auto parsed = parse({"--gpus", "1", "-e", "A=1", "-e", "B=2", "--json", "sh", "-c", "a -- b", "--", "x"});
  CHECK(parsed.submission.flags.gpus == "1");
  CHECK(parsed.submission.flags.environment_variables == Words{"A=1", "B=2"});
  CHECK(parsed.common.json);
  CHECK(parsed.submission.flags.command == Words{"sh", "-c", "a -- b", "--", "x"});
}

TEST_CASE("after -- even an option is the command") {
  CHECK(parse({"--hold", "--", "--weird", "-x"}).submission.flags.command == Words{"--weird", "-x"});
  CHECK(parse({"--", "run", "--", "y"}).submission.flags.command == Words{"run", "--", "y"});
  CHECK(parse({"--no-code", "--"}).submission.flags.command.empty());
}

TEST_CASE("options take values of every form") {
  const auto parsed =
      parse({"--priority", "-5", "--name=a b", "--tag", "k=v", "--output", "x", "--output=y", "--name=last", "true"});
  CHECK(parsed.mistake.empty());
  CHECK(parsed.submission.flags.priority == "-5");
  CHECK(parsed.submission.flags.name == "last");
  CHECK(parsed.submission.flags.outputs == Words{"x", "y"});
  CHECK(parsed.submission.flags.tags == Words{"k=v"});
  CHECK(parsed.submission.flags.command == Words{"true"});
}

TEST_CASE("values with brackets, commas and quotes are not taken apart") {
  const auto parsed = parse({"--name", "[a,b]", "--env", "LIST=[1,2]", "--env", "Q=\"x\"", "--", "true"});
  CHECK(parsed.submission.flags.name == "[a,b]");
  CHECK(parsed.submission.flags.environment_variables == Words{"LIST=[1,2]", "Q=\"x\""});
}

TEST_CASE("an unknown option is told, with the one that was meant") {
  CHECK(parse({"--gpu", "1", "true"}).mistake == "run: does not know the option --gpu; did you mean --gpus?");
  CHECK(parse({"--frobnicate", "true"}).mistake ==
        "run: does not know the option --frobnicate; `berth run --help` lists the options");
  CHECK(parse({"--gpus"}).mistake.starts_with("run: --gpus"));
}

TEST_CASE("help names every option with its value") {
  Submission submission;
  Options options("run", "[options] [--] COMMAND…", "Runs.");
  declare(options, submission);
  options.section("Exit codes", "  0  done\n");
  const auto help = options.help();
  CHECK(help.starts_with("Usage: berth run [options] [--] COMMAND…\n\nRuns.\n\nCommand:\n"));
  CHECK(help.find("      --gpus N            GPUs (default 0)\n") != std::string::npos);
  CHECK(help.find("  -e, --env K=V           environment variable") != std::string::npos);
  CHECK(help.ends_with("Exit codes:\n  0  done\n"));
}

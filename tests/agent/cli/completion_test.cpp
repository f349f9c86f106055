#include "agent/cli/completion.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "agent/cli/verbs/verbs.hpp"

using namespace berth;
using namespace berth::cli;

namespace {

Arguments texts(const Arguments& words) {
  Arguments all;
  for (const auto& candidate : complete(words).candidates) all.push_back(candidate.text);
  return all;
}

bool offers(const Arguments& words, const std::string& text) {
  const auto all = texts(words);
  return std::find(all.begin(), all.end(), text) != all.end();
}

}  // namespace

TEST_CASE("verbs are completed, and only by their beginning") {
  CHECK(texts({"ca"}) == Arguments{"cancel"});
  CHECK(texts({""}).size() == verbs().size() + 1);
  CHECK(texts({"help", "rel"}) == Arguments{"release"});
  CHECK(texts({"--json", "ca"}) == Arguments{"cancel"});
  CHECK(texts({"--socket", "/s", "ca"}) == Arguments{"cancel"});
  CHECK(texts({"frobnicate", ""}).empty());
}

TEST_CASE("what is for programs is never offered") { CHECK(texts({"_"}).empty()); }

TEST_CASE("every option of every verb is offered, with its help") {
  for (const auto& verb : verbs()) {
    INFO(verb.name);
    CHECK(offers({std::string(verb.name), "-"}, "--json"));
    for (const auto& candidate : complete({std::string(verb.name), "--"}).candidates)
      CHECK_FALSE(candidate.remark.empty());
  }
  CHECK(texts({"run", "--gp"}) == Arguments{"--gpus", "--gpu-memory"});
}

TEST_CASE("values are completed by what they are") {
  CHECK(complete({"run", "--code", ""}).from_shell == FromShell::directories);
  CHECK(complete({"run", "--python", ""}).from_shell == FromShell::files);
  CHECK(complete({"ps", "--socket", ""}).from_shell == FromShell::files);
  CHECK(complete({"--socket", ""}).from_shell == FromShell::files);
  CHECK(complete({"run", "--gpus", ""}).from_shell == FromShell::nothing);
  CHECK(texts({"run", "--gpus", ""}).empty());
  CHECK(texts({"run", "--retry", "los"}) == Arguments{"lost="});
  CHECK(texts({"run", "--retry=los"}) == Arguments{"--retry=lost="});
  CHECK(texts({"env", "l"}) == Arguments{"ls", "log", "lock"});
  CHECK(texts({"gpu", ""}) == Arguments{"ls", "drain", "resume"});
  CHECK(texts({"submit", "--stop-signal", "U"}) == Arguments{"USR1", "USR2"});
  CHECK(complete({"download", "--into=x"}).from_shell == FromShell::directories);
}

TEST_CASE("a command is the shell's to complete") {
  CHECK(complete({"run", ""}).from_shell == FromShell::commands);
  CHECK(complete({"run", "--gpus", "1", "pyt"}).from_shell == FromShell::commands);
  CHECK(complete({"run", "--", "--x"}).from_shell == FromShell::commands);
  CHECK(complete({"run", "python", "tr"}).from_shell == FromShell::files);
  CHECK(complete({"run", "python", "--gp"}).from_shell == FromShell::files);
  CHECK(texts({"run", "python", "--gp"}).empty());
}

TEST_CASE("environments are completed where an action takes them") {
  CHECK(complete({"env", "show", ""}).environments == EnvironmentChoice::any);
  CHECK(complete({"env", "lock", "3f"}).environments == EnvironmentChoice::any);
  CHECK(complete({"env", "rm", "3fa9", ""}).environments == EnvironmentChoice::idle);
  CHECK(complete({"env", "rm", "3fa9", ""}).named == Arguments{"rm", "3fa9"});
  CHECK_FALSE(complete({"env", "ls", ""}).environments);
  CHECK_FALSE(complete({"env", "build", ""}).environments);
  CHECK_FALSE(complete({"env", ""}).environments);
  CHECK(texts({"env", "r"}) == Arguments{"rm"});
}

TEST_CASE("jobs are completed by what the verb can do with them") {
  CHECK(complete({"cancel", ""}).jobs == JobChoice::live);
  CHECK(complete({"release", ""}).jobs == JobChoice::held);
  CHECK(complete({"retry", ""}).jobs == JobChoice::ended);
  CHECK(complete({"logs", "-f", ""}).jobs == JobChoice::any);
  CHECK(complete({"logs", "--tail", "3", ""}).jobs == JobChoice::any);
  CHECK_FALSE(complete({"logs", "--tail", ""}).jobs);
  CHECK_FALSE(complete({"logs", "a-job", ""}).jobs);               // it takes one
  CHECK(complete({"wait", "a-job", ""}).jobs == JobChoice::live);  // it takes several
  CHECK(complete({"wait", "a-job", ""}).named == Arguments{"a-job"});
  CHECK(complete({"priority", ""}).jobs == JobChoice::waiting);
  CHECK_FALSE(complete({"priority", "a-job", ""}).jobs);
  CHECK_FALSE(complete({"ps", ""}).jobs);
}

TEST_CASE("the socket given on the line is the one that is asked") {
  CHECK(complete({"--socket", "/a", "cancel", ""}).socket == "/a");
  CHECK(complete({"cancel", "--socket=/b", ""}).socket == "/b");
  CHECK(complete({"cancel", ""}).socket.empty());
}

TEST_CASE("what a job may be chosen for follows from its state") {
  model::Job job;
  job.state = model::State::queued;
  CHECK(is_choice(JobChoice::live, job));
  CHECK(is_choice(JobChoice::waiting, job));
  CHECK_FALSE(is_choice(JobChoice::held, job));
  CHECK_FALSE(is_choice(JobChoice::ended, job));
  job.held = true;
  CHECK(is_choice(JobChoice::held, job));
  job.state = model::State::running;
  CHECK_FALSE(is_choice(JobChoice::waiting, job));
  job.state = model::State::failed;
  CHECK(is_choice(JobChoice::ended, job));
  CHECK(is_choice(JobChoice::any, job));
}

#pragma once

// A cache of environments with a real supervisor, and recipes that build in a moment.

#include <unistd.h>

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/async/attempt.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/async/watcher.hpp"
#include "runtime/base/error.hpp"
#include "runtime/environment/builds.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/process.hpp"

namespace berth::environment::test {

using async::Task;

inline constexpr std::chrono::seconds kPatience{120};

// Writes what a recipe's last act writes.
inline constexpr const char* kFinish = R"(
mkdir -p "$PREFIX/bin"
ln -s /bin/sh "$PREFIX/bin/python"
printf '{"interpreter":"%s/bin/python","path_prefix":"%s/bin","variables":{"MARK":"1"},"python_version":"3.11.2",' \
  "$PREFIX" "$PREFIX" > result.part
printf '"packages":["a==1"],"lock":{"kind":"toy"}}' >> result.part
mv result.part result.json
)";

inline Recipe toy(const std::string& name, const std::string& script = "") {
  Recipe recipe;
  recipe.kind = "toy";
  recipe.canonical = nlohmann::json{{"kind", "toy"}, {"name", name}}.dump();
  recipe.words = "toy environment (" + name + ")";
  recipe.script = script + kFinish;
  return recipe;
}

inline Digest digest_of(const Recipe& recipe) { return objects::sha256(recipe.canonical); }

inline std::optional<os::Identity> build_user() { return ::geteuid() == 0 ? os::identity_of(65534) : std::nullopt; }

inline BuildSettings settings_in(const std::string& directory) {
  BuildSettings settings;
  settings.directory = directory;
  settings.shim_program = BERTH_SHIM;
  settings.identity = build_user();
  settings.least_space = ByteSize(0);
  settings.stop_grace = std::chrono::milliseconds(500);
  settings.time_limit = kPatience;
  return settings;
}

// What an agent has of Builds, from its start to its end.
class Agent {
 public:
  Agent(async::Executor executor, const BuildSettings& settings)
      : watcher(executor, nullptr), builds(executor, watcher, settings), jobs(executor, nullptr) {}
  async::Watcher watcher;
  Builds builds;
  async::Nursery jobs;

  Task<> end() {
    co_await jobs.stop_and_join();
    co_await builds.stop();
    co_await watcher.stop();
  }
};

// Runs `body` with an agent that has recovered.
inline void with_agent(const BuildSettings& settings, const std::function<Task<>(Agent&)>& body) {
  const auto whole = [](const BuildSettings& with, const std::function<Task<>(Agent&)>& act) -> Task<> {
    Agent agent(co_await async::this_coro::executor, with);
    const auto work = [](Agent& of, const std::function<Task<>(Agent&)>& run) -> Task<> {
      co_await of.builds.recover();
      co_await run(of);
    };
    co_await async::with_cleanup(work(agent, act), agent.end());
  };
  async::run(whole(settings, body), kPatience);
}

inline Task<Error> failure_of(Builds& builds, Recipe recipe) {
  Waiting waiting;
  const auto result = co_await async::attempt(builds.ensure(std::move(recipe), waiting));
  if (result) throw std::runtime_error("it was built");
  co_return result.error();
}

inline Task<> until(std::string what, std::function<bool()> condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("waited in vain until " + what);
    co_await async::sleep_for(std::chrono::milliseconds(5));
  }
}

inline bool says(const Error& error, const std::string& text) {
  return error.describe().find(text) != std::string::npos;
}

inline bool alive(pid_t pid) {
  const auto status = os::read_file_if_exists("/proc/" + std::to_string(pid) + "/status");
  return status && status->find("State:\tZ") == std::string::npos;
}

inline std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  const auto text = os::read_file_if_exists(path).value_or("");
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

}  // namespace berth::environment::test

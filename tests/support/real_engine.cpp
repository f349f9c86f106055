#include "tests/support/real_engine.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stdexcept>

#include "runtime/async/tool.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::docker::test {
namespace {

constexpr int kStartMilliseconds = 60'000;

class Helper {
 public:
  Helper() : directory_("berth-engine") {
    auto orders = os::make_pipe();
    auto news = os::make_pipe();
    os::SpawnOptions options;
    options.arguments = {BERTH_PYTHON, "-B", BERTH_ENGINE, directory_ / "engine"};
    options.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
    options.standard_input = orders.read.get();
    options.standard_output = news.write.get();
    errors_ = os::open(directory_ / "errors", O_CREAT | O_RDWR | O_APPEND, 0600);
    options.standard_error = errors_.get();
    child_ = os::spawn(options);
    news.write.reset();
    orders_ = std::move(orders.write);
    news_ = std::move(news.read);
    take(answer());
  }
  ~Helper() {
    orders_.reset();
    os::reap(child_.pidfd);
  }

  void restart(const std::string& signal) {
    os::write_all(orders_, "restart " + signal + "\n");
    answer();
  }

  std::optional<RealEngine> engine;
  std::string missing;  // why there is none

 private:
  nlohmann::json answer() {
    std::string line;
    std::array<char, 4096> block;
    while (line.find('\n') == std::string::npos) {
      pollfd state{news_.get(), POLLIN, 0};
      const bool heard = ::poll(&state, 1, kStartMilliseconds) == 1;
      const auto n = heard ? os::read_some(news_, block) : 0;
      if (n == 0) throw std::runtime_error("no engine: " + os::read_file(directory_ / "errors"));
      line.append(block.data(), n);
    }
    return nlohmann::json::parse(line);
  }

  void take(const nlohmann::json& facts) {
    if (facts.contains("missing")) {
      missing = facts["missing"];
      return;
    }
    engine = RealEngine{facts["socket"],      facts["namespace"],  facts["user"],   facts["password"],
                        facts["certificate"], facts["registries"], facts["digests"]};
  }

  os::TempDir directory_;
  os::Fd orders_;
  os::Fd news_;
  os::Fd errors_;
  os::Child child_;
};

std::unique_ptr<Helper>& helper() {
  static std::unique_ptr<Helper> only;
  return only;
}

// Takes the engine down when all tests have run, before leaks are looked for.
struct TakeDown : doctest::IReporter {
  explicit TakeDown(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override { helper().reset(); }
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("real_engine", 1, TakeDown);

}  // namespace

const RealEngine* real_engine() {
  if (!helper()) helper() = std::make_unique<Helper>();
  return helper()->engine ? &*helper()->engine : nullptr;
}

std::string what_engine_lacks() {
  return "a container engine (" + (helper() ? helper()->missing : std::string("none was asked for")) + ")";
}

std::vector<std::string> labelled(const Engine& engine, const std::string& kind, const std::string& label) {
  os::SpawnOptions options;
  options.arguments = {"/usr/bin/env", "docker",        "-H", "unix://" + engine.socket(), kind, "ls", "-q",
                       "--filter",     "label=" + label};
  if (kind != "volume") options.arguments.emplace_back("--no-trunc");
  if (kind == "container") options.arguments.emplace_back("-a");
  options.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  const auto done = async::run_tool_here(std::move(options), {std::chrono::seconds(60)});
  if (done.exit.status != 0) throw std::runtime_error("docker " + kind + " ls: " + done.errors);
  std::vector<std::string> found;
  std::istringstream lines(done.output);
  for (std::string line; std::getline(lines, line);)
    if (std::ranges::find(found, line) == found.end()) found.push_back(line);  // once for each tag
  return found;
}

void restart_daemon(const std::string& signal) { helper()->restart(signal); }

InsideNetwork::InsideNetwork(const RealEngine& engine) : outside_(os::open("/proc/thread-self/ns/net", O_RDONLY)) {
  const auto inside = os::open(engine.network_namespace, O_RDONLY);
  if (::setns(inside.get(), CLONE_NEWNET) != 0) throw_errno("enter", engine.network_namespace);
}

InsideNetwork::~InsideNetwork() {
  if (::setns(outside_.get(), CLONE_NEWNET) != 0) std::abort();
}

}  // namespace berth::docker::test

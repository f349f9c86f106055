// doctest's main. Beyond doctest it checks that a run leaves no descriptor open and no child process behind:
// a leak is a failure of the whole program, told by name. It tells what could not be tried (skip.hpp).

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "tests/support/skip.hpp"

namespace {

std::set<std::string> open_descriptors() {
  std::set<std::string> open;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the iterator's own descriptor
    const auto target = std::filesystem::read_symlink(entry.path(), gone);
    const auto directory = "/proc/" + std::to_string(::getpid()) + "/fd";
    if (!gone && target != directory) open.insert(entry.path().filename().string() + " " + target.string());
  }
  return open;
}

bool children_left() {
  const pid_t child = ::waitpid(-1, nullptr, WNOHANG);
  return child >= 0;
}

// What could not be tried of the cases that were run.
struct Skips {
  std::mutex mutex;  // a case may say it from a thread of its own
  std::map<std::string, int> cases;  // by reason
  std::set<std::string> of_this_case;
  int run = 0;
  int untried = 0;  // nothing was asserted in them

  void tell(const std::string& program) const {
    for (const auto& [reason, count] : cases)
      std::fprintf(stderr, "SKIPPED: %s: %d of %d cases need %s\n", program.c_str(), count, run, reason.c_str());
  }
};

Skips& skips() {
  static Skips all;
  return all;
}

struct CountSkips : doctest::IReporter {
  explicit CountSkips(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData&) override {
    ++skips().run;
    skips().of_this_case.clear();
  }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats& stats) override {
    for (const auto& reason : skips().of_this_case) ++skips().cases[reason];
    if (!skips().of_this_case.empty() && stats.numAssertsCurrentTest == 0) ++skips().untried;
  }
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("skips", 1, CountSkips);

}  // namespace

void berth::test::skip_case(const std::string& reason) {
  const std::lock_guard lock(skips().mutex);
  skips().of_this_case.insert(reason);
}

int main(int argc, char** argv) {
  ::setenv("TZ", "UTC", 1);
  const auto before = open_descriptors();
  int result = doctest::Context(argc, argv).run();
  for (const auto& descriptor : open_descriptors()) {
    if (before.contains(descriptor)) continue;
    std::fprintf(stderr, "leaked descriptor: %s\n", descriptor.c_str());
    result = result != 0 ? result : 1;
  }
  if (children_left()) {
    std::fprintf(stderr, "a child process was left behind\n");
    result = result != 0 ? result : 1;
  }
  skips().tell(std::filesystem::path(argv[0]).filename());
  if (result == 0 && skips().run > 0 && skips().untried == skips().run) return berth::test::kAllSkipped;
  return result;
}

#include "runtime/os/process_use.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <vector>

using namespace berth;

namespace {

// Keeps a CPU busy for so long.
void burn(std::chrono::milliseconds duration) {
  const auto end = std::chrono::steady_clock::now() + duration;
  while (std::chrono::steady_clock::now() < end) {
  }
}

}  // namespace

TEST_CASE("a process' CPU time and memory are told") {
  const auto before = os::use_of(::getpid());
  REQUIRE(before);
  burn(std::chrono::milliseconds(100));
  std::vector<char> memory(32U << 20, 'x');
  const auto after = os::use_of(::getpid());
  REQUIRE(after);
  CHECK(after->cpu > before->cpu);
  CHECK(after->resident >= before->resident + (30U << 20));
  CHECK(after->peak_resident >= after->resident);
  CHECK(memory[1000] == 'x');
}

TEST_CASE("a child's CPU time goes to its parent when that has waited for it") {
  const auto before = os::use_of(::getpid());
  const pid_t child = ::fork();
  if (child == 0) {
    burn(std::chrono::milliseconds(100));
    ::_exit(0);
  }
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK(!os::use_of(child));  // a zombie
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  const auto after = os::use_of(::getpid());
  CHECK(after->children_cpu > before->children_cpu);
}

TEST_CASE("what is no process uses nothing") { CHECK(!os::use_of(0)); }

TEST_CASE("the machine has memory, and its CPUs have worked") {
  const auto before = os::machine_use();
  CHECK(before.memory_total > (64U << 20));
  CHECK(before.memory_available <= before.memory_total);
  burn(std::chrono::milliseconds(100));
  CHECK(os::machine_use().busy_cpu > before.busy_cpu);
}

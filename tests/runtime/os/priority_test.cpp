#include "runtime/os/priority.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "program.hpp"
#include "tests/support/skip.hpp"

using namespace berth;

namespace {

int niceness() { return ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid())); }

std::string niceness_of_a_program() {
  os::SpawnOptions options;
  options.arguments = {"/usr/bin/nice"};
  return os::test::run(std::move(options)).output;
}

}  // namespace

TEST_CASE("a thread is prompt alone: programs that it starts, and threads that say so, are as usual") {
  SKIP_UNLESS(::geteuid() == 0, "root");
  const int usual = niceness();
  std::thread([&] {
    os::be_prompt();
    CHECK(niceness() == usual - 10);
    CHECK(niceness_of_a_program() == std::to_string(usual) + "\n");
    std::thread([&] {
      CHECK(niceness() == usual - 10);
      os::be_usual();
      CHECK(niceness() == usual);
    }).join();
  }).join();
  CHECK(niceness() == usual);
}

TEST_CASE("a thread may be less urgent than the others") {
  const int usual = niceness();
  std::thread([&] {
    os::be_nice(3);
    CHECK(niceness() == usual + 3);
  }).join();
  CHECK(niceness() == usual);
}

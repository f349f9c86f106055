#include "runtime/environment/build_failure.hpp"

#include <doctest/doctest.h>

namespace environment = berth::environment;
namespace shim = berth::shim;
using berth::Code;

namespace {

shim::Ended exited(int status) {
  shim::Ended ended;
  ended.outcome = berth::os::Exit{false, status};
  return ended;
}

bool says(const berth::Error& error, const std::string& text) {
  return error.describe().find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("the last complaint of a tool is told, without what came before and how it was painted") {
  CHECK(environment::error_summary("Collecting a\n\x1b[31mERROR: no a\x1b[0m\n\nERROR: No matching distribution\n") ==
        "ERROR: no a; ERROR: No matching distribution");
  CHECK(environment::error_summary(
            "Using CPython 3.11\n  × No solution found when resolving dependencies:\n  ╰─▶ Because a "
            "was not found\n      we cannot\n") ==
        "× No solution found when resolving dependencies: ╰─▶ Because a was not found we cannot");
  CHECK(environment::error_summary("10%\r50%\r100% done\nbye\n") == "100% done bye");
  CHECK(environment::error_summary("").empty());
  CHECK(environment::error_summary("a\nb\nc\nd\n") == "b c d");
  CHECK(environment::error_summary("error: " + std::string(5000, 'x')).size() < 400);
}

TEST_CASE("a python3 that makes no virtual environments is told with what it lacks") {
  const auto error = environment::build_failure(
      "Python environment", exited(1),
      "The virtual environment was not created successfully because ensurepip is not\navailable.  On Debian/Ubuntu "
      "systems, you need to install the python3-venv\npackage using the following command.\n\n    apt install "
      "python3.11-venv\n",
      false);
  CHECK(says(error, "cannot make virtual environments"));
  CHECK(error.hint().find("sudo apt install python3-venv") != std::string::npos);
}

TEST_CASE("failures are told apart") {
  const auto failure = [](const shim::Ended& ended, const std::string& log, bool full = false) {
    return environment::build_failure("toy", ended, log, full);
  };
  CHECK(failure(exited(1), "ERROR: no\n").code() == Code::invalid);
  CHECK(failure(exited(1), "OSError: [Errno 28] No space left on device\nbye\n").code() == Code::no_space);
  CHECK(failure(exited(1), "", true).code() == Code::no_space);
  for (const std::string broken : {"error: dns error: failed to lookup address", "error: operation timed out",
                                   "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by "
                                   "'ReadTimeoutError(\"HTTPConnectionPool(host='h'): "
                                   "Read timed out.\")': /simple/x/\nERROR: No matching distribution found for x",
                                   "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by "
                                   "'ProtocolError('Connection aborted.', "
                                   "RemoteDisconnected('Remote end closed connection without response'))': "
                                   "/simple/x/\nERROR: No matching distribution found for x",
                                   "error    libmamba Download error (28) Timeout was reached",
                                   "critical libmamba Download error (6) Couldn't resolve host name"}) {
    CHECK(failure(exited(1), broken + "\n").code() == Code::unavailable);
    CHECK(failure(exited(1), broken + "\n").lack() == berth::Lack::index);
  }
  CHECK(failure(exited(1), "ERROR: No matching distribution found for x\n").lack() == berth::Lack::nothing);
  auto late = exited(0);
  late.stopped_because = shim::kStoppedTimedOut;
  CHECK(failure(late, "still solving\n").code() == Code::timeout);
  CHECK(says(failure(late, "still solving\n"), "still solving"));
  auto large = exited(1);
  large.out_of_memory_kills = 1;
  CHECK(says(failure(large, ""), "ran out of memory"));
  shim::Ended killed;
  killed.outcome = berth::os::Exit{true, 9};
  CHECK(says(failure(killed, ""), "was killed (SIGKILL)"));
  shim::Ended never;
  never.outcome = shim::NotStarted{126, "cannot enter /x: Permission denied"};
  CHECK(says(failure(never, ""), "cannot enter /x"));
}

#include "agent/model/ending.hpp"

#include <doctest/doctest.h>

using namespace berth;
using namespace berth::model;
using namespace std::chrono_literals;

TEST_CASE("endings have words, an exit code and a cause to retry") {
  struct Row {
    Ending ending;
    std::string kind;
    std::string words;
    int exit_code;
    std::string cause;
  };
  const Row rows[] = {
      {Exited{0}, "exited", "exited with code 0", 0, ""},
      {Exited{3}, "exited", "exited with code 3", 3, "failed"},
      {Signalled{9}, "signalled", "was killed by SIGKILL", 137, "failed"},
      {Signalled{40}, "signalled", "was killed by signal 40", 168, "failed"},
      {TimedOut{90s}, "timed_out", "ran longer than its limit of 1 minute 30 seconds", 124, "timed_out"},
      {Canceled{"ann"}, "canceled", "was canceled by ann", 130, ""},
      {Canceled{}, "canceled", "was canceled", 130, ""},
      {StartFailed{126, "x is not executable"}, "start_failed", "could not be started: x is not executable", 126,
       "start_failed"},
      {EnvironmentFailed{"no python"}, "environment_failed", "its environment could not be made: no python", 125,
       "environment_failed"},
      {ImageFailed{"no such image"}, "image_failed", "its image could not be made ready: no such image", 125,
       "image_failed"},
      {SnapshotFailed{}, "snapshot_failed", "its code could not be restored", 125, "snapshot_failed"},
      {DiskFull{"/var"}, "disk_full", "the disk was full: /var", 125, "disk_full"},
      {OutOfMemory{2_GiB, 1_GiB}, "out_of_memory",
       "was killed because it used all of its memory limit of 2.0 GiB (peak 1.0 GiB)", 137, "out_of_memory"},
      {OutOfMemory{}, "out_of_memory", "was killed because the machine's memory ran out", 137, "out_of_memory"},
      {GpuError{"GPU 3", "GPU-3", 79, "Xid 79 (the GPU has fallen off the bus)"}, "gpu_error",
       "GPU 3 failed: Xid 79 (the GPU has fallen off the bus)", 125, "gpu_error"},
      {Preempted{Preempted::Cause::drain}, "preempted", "was stopped because the node was drained", 125, "preempted"},
      {Preempted{Preempted::Cause::shutdown}, "preempted", "was stopped because the machine shut down", 125,
       "preempted"},
      {Lost{Lost::Cause::reboot}, "lost", "lost: the machine restarted while it ran", 125, "lost"},
      {Lost{Lost::Cause::engine_stopped}, "lost", "lost: the container engine stopped, and its container with it", 125,
       "lost"},
      {Lost{Lost::Cause::shim_killed}, "lost", "lost: its supervisor was killed, so nobody saw it end", 125, "lost"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.words);
    CHECK(kind(row.ending) == row.kind);
    CHECK(to_words(row.ending) == row.words);
    CHECK(exit_code(row.ending) == row.exit_code);
    CHECK(retry_cause(row.ending) == row.cause);
    CHECK(succeeded(row.ending) == (row.exit_code == 0));
  }
}

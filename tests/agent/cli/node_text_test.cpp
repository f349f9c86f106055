#include "agent/cli/node_text.hpp"

#include <doctest/doctest.h>

using namespace berth::cli;

TEST_CASE("status tells the node in words") {
  CHECK(status_page(R"({"name":"gpu1","version":"0.1.0","mode":"user","pid":42,"state_dir":"/var/lib/berth",
                        "uptime_ms":90000,"drained":true,"health":"degraded","remarks":["no cgroup2"],
                        "capacity":{"cpu_milli":8000,"memory_bytes":68719476736,"gpus":0,"slots":8},
                        "in_use":{"cpu_milli":1500,"memory_bytes":0,"gpus":0,"slots":2},
                        "jobs":{"preparing":0,"queued":3,"running":2,"finalizing":0},
                        "disk":{"free_bytes":1073741824,"total_bytes":10737418240}})",
                    {}) == R"(gpu1
  Agent        berthd 0.1.0 (user), pid 42
  Up for       1 minute 30 seconds
  State in     /var/lib/berth
  Health       degraded
               no cgroup2

Queue
  Jobs         2 running, 3 queued
  Drained      no job starts before `berth resume`

Resources
  CPUs         1.5 of 8 in use
  Memory       0 B of 64 GiB in use
  GPUs         0 of 0 in use
  Slots        2 of 8 in use
  Disk         1.0 GiB of 10 GiB free
)");
}

TEST_CASE("status of another version is told as far as it goes") {
  CHECK(status_page("{}", {}) == "Node\n\nQueue\n\nResources\n");
  CHECK(status_page(R"({"jobs":7,"capacity":[],"remarks":{},"drained":"yes"})", {}) ==
        "Node\n\nQueue\n\nResources\n");
}

TEST_CASE("gc tells what goes, and why") {
  CHECK(garbage_page(R"({"items":[{"what":"job a","why":"ended long ago","bytes":2048}],"bytes":2048})", true,
                     {}) == "WHAT   SIZE     WHY\njob a  2.0 KiB  ended long ago\nwould give back 2.0 KiB\n");
  CHECK(garbage_page(R"({"items":[],"bytes":0})", false, {}) == "nothing to give back\n");
}

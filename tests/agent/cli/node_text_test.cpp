#include "agent/cli/node_text.hpp"

#include <doctest/doctest.h>

using namespace berth::cli;

TEST_CASE("status tells the node in words") {
  CHECK(status_page(R"({"name":"gpu1","version":"0.1.0","mode":"user","pid":42,"state_dir":"/var/lib/berth",
                        "uptime_ms":90000,"drained":true,"health":"degraded","remarks":["no cgroup2"],
                        "capacity":{"cpu_milli":8000,"memory_bytes":68719476736,"gpus":0,"slots":8},
                        "in_use":{"cpu_milli":1500,"memory_bytes":0,"gpus":0,"slots":2},
                        "jobs":{"preparing":0,"queued":3,"running":2,"finalizing":0},
                        "disk":{"free_bytes":1073741824,"total_bytes":10737418240,"kept_bytes":3145728,
                                "budget_bytes":1073741824,
                                "kept":{"stored":2097152,"checkouts":0,"logs":1048576,"records":0}}})",
                    "/home/ada/berth.sock (your own agent)", {}) == R"(gpu1
  Agent        berthd 0.1.0 (user), pid 42
  Up for       1 minute 30 seconds
  State in     /var/lib/berth
  Health       degraded
               no cgroup2
  Asked on     /home/ada/berth.sock (your own agent)

Queue
  Jobs         2 running, 3 queued
  Drained      no job starts before `berth resume`

Resources
  CPUs         1.5 of 8 in use
  Memory       0 B of 64 GiB in use
  GPUs         0 of 0 in use
  Slots        2 of 8 in use
  Disk         1.0 GiB of 10 GiB free
  Kept         3.0 MiB of 1.0 GiB: stored 2.0 MiB, logs 1.0 MiB
)");
}

TEST_CASE("status tells who has each GPU, how busy it is and why it is withheld") {
  CHECK(status_page(R"({"gpus":[{"label":"GPU 0","name":"NVIDIA H100","memory_bytes":85899345920,
                          "used_bytes":1073741824,"utilisation":91,"jobs":["a-1","b-2"],"withheld":null},
                         {"label":"GPU 1","name":"NVIDIA H100","memory_bytes":85899345920,"used_bytes":null,
                          "utilisation":null,"jobs":[],"withheld":"Xid 79"},
                         {"label":"GPU 2","memory_bytes":1073741824}],
                        "nvidia":{"driver":"550.54.14","cuda":"12.4","notes":["GPU 3 does not answer"]}})",
                    "", {}) == R"(Node

Queue

Resources

GPUs
  GPU 0        NVIDIA H100
               91% busy, 1.0 GiB of 80 GiB, a-1 and b-2
  GPU 1        NVIDIA H100
               80 GiB, withheld: Xid 79
  GPU 2        NVIDIA
               1.0 GiB, free
  Driver       550.54.14 (CUDA 12.4)
               GPU 3 does not answer
)");
  CHECK(status_page(R"({"gpus":[],"nvidia":{"notes":["no library"]}})", "", {}) ==
        "Node\n\nQueue\n\nResources\n  No GPUs      no library\n");
}

TEST_CASE("status of another version is told as far as it goes") {
  CHECK(status_page("{}", "", {}) == "Node\n\nQueue\n\nResources\n");
  CHECK(status_page(R"({"jobs":null,"capacity":{},"added":[]})", "", {}) == "Node\n\nQueue\n\nResources\n");
}

TEST_CASE("gc tells what goes, what stays, and why") {
  const auto report = R"({"bytes":2048,"remarks":["disk 93 % full, and cleaning starts at 90 %"],
    "kinds":[{"kind":"uploads","words":"code that no job uses","held":{"count":0,"bytes":0}},
             {"kind":"logs","words":"logs of jobs","held":{"count":3,"bytes":6144},"going":{"count":1,"bytes":2048},
              "staying":[{"count":2,"bytes":4096,"why":"their jobs are live"}]}],
    "items":[{"kind":"logs","what":"log of brave-heron-7k2m","why":"to make room","bytes":2048}]})";
  CHECK(garbage_page(report, true, {}) == R"(Disk
               disk 93 % full, and cleaning starts at 90 %

logs of jobs: 3, 6.0 KiB
  Would go     1, 2.0 KiB
               2.0 KiB  log of brave-heron-7k2m: to make room
  Would stay   2, 4.0 KiB: their jobs are live

would give back 2.0 KiB
)");
  CHECK(garbage_page(report, false, {}).find("  Went         1, 2.0 KiB\n") != std::string::npos);
  CHECK(garbage_page(R"({"items":[],"bytes":0})", false, {}) == "Disk\n\nnothing to give back\n");
  CHECK(garbage_page("{}", true, {}) == "Disk\n\nnothing to give back\n");
}

TEST_CASE("of many things that go the first are told one by one") {
  std::string items;
  for (int i = 0; i < 12; ++i) items += std::string(i > 0 ? "," : "") + R"({"kind":"logs","what":"log","bytes":1})";
  const auto page = garbage_page(R"({"kinds":[{"kind":"logs","words":"logs","held":{"count":12,"bytes":12},
      "going":{"count":12,"bytes":12}}],"items":[)" +
                                     items + "]}",
                                 true, {});
  CHECK(page.find("and 2 more (--json tells all)") != std::string::npos);
}

#include "agent/daemon/config.hpp"

#include <doctest/doctest.h>

#include "runtime/base/error.hpp"

using namespace berth;
using daemon::Config;

namespace {

Config parse(const std::string& text) { return daemon::parse_config(text, "berthd.yaml", daemon::system_defaults()); }

std::string refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& error) {
    CHECK(error.code() == Code::invalid);
    return error.describe();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("every key sets its value") {
  const auto config = parse(R"(
state_dir: /srv/berth
socket: /srv/berth.sock
group: ml
cpus: 3.5
memory: 60GiB
max_parallel: 3
log_cap: 512MiB
backfill_patience: 90s
outage_patience: 10m
stop_grace: 1m
max_upload: 2g
reserved_space: 1g
disk_budget: 200GiB
disk_high: 95%
disk_low: 85 %
keep_at_least: 2h
keep_logs: 30d
keep_outputs: 60d
keep_jobs: 90d
jobs_per_user: 1000
storage_per_user: 25%
cgroup: /sys/fs/cgroup/jobs
path: /opt/bin:/usr/bin
others_may_read: true
max_connections: 500
max_connections_per_user: 50
log_level: debug
)");
  CHECK(config.state_dir == "/srv/berth");
  CHECK(config.socket == "/srv/berth.sock");
  CHECK(config.group == "ml");
  CHECK(config.cpu_milli == 3500);
  CHECK(config.memory == 60_GiB);
  CHECK(config.max_parallel == 3);
  CHECK(config.log_cap == 512_MiB);
  CHECK(config.backfill_patience == std::chrono::seconds(90));
  CHECK(config.stop_grace == std::chrono::minutes(1));
  CHECK(config.users.jobs == 1000);
  CHECK(config.users.storage->of(1000) == 250);
  CHECK(config.outage_patience == std::chrono::minutes(10));
  CHECK(config.max_upload == 2_GiB);
  CHECK(config.reserved_space == 1_GiB);
  CHECK(config.disk.budget->of(1) == (200_GiB).bytes());
  CHECK(config.disk.high == 95);
  CHECK(config.disk.low == 85);
  CHECK(config.disk.keep_at_least == std::chrono::hours(2));
  CHECK(config.disk.keep_logs == std::chrono::hours(24 * 30));
  CHECK(config.disk.keep_outputs == std::chrono::hours(24 * 60));
  CHECK(config.disk.keep_jobs == std::chrono::hours(24 * 90));
  CHECK(config.cgroup == "/sys/fs/cgroup/jobs");
  CHECK(config.path == "/opt/bin:/usr/bin");
  CHECK(config.others_may_read);
  CHECK(config.max_connections == 500);
  CHECK(config.max_connections_per_user == 50);
  CHECK(config.log_level == LogLevel::debug);
}

TEST_CASE("an empty file keeps the defaults") {
  CHECK(parse("").state_dir == "/var/lib/berth");
  CHECK(parse("# nothing but a comment\n").log_cap == 1_GiB);
  CHECK_FALSE(parse("").disk.budget);
  CHECK_FALSE(parse("").disk.keep_jobs);
  CHECK(parse("").disk.high == 90);
}

TEST_CASE("the budget may be a share of the disk") { CHECK(parse("disk_budget: 50%").disk.budget->of(1000) == 500); }

TEST_CASE("GPUs are all offered, none, or those that are named") {
  CHECK(parse("").gpus.managed);
  CHECK_FALSE(parse("gpus: none").gpus.managed);
  CHECK_FALSE(parse("gpus: auto").gpus.offered.has_value());
  CHECK(parse("gpus: [0, GPU-5a1]").gpus.offered == std::vector<std::string>{"0", "GPU-5a1"});
  CHECK(parse("nvml: /opt/nvml.so").gpus.library == "/opt/nvml.so");
  CHECK(parse("gpu_sample: 2s").gpus.sample == std::chrono::seconds(2));
  CHECK(refusal("gpus: some").find("none, auto, or a list") != std::string::npos);
  CHECK(refusal("gpu_sample: 0s").find("at least 100ms") != std::string::npos);
}

TEST_CASE("an unknown key is an error with file and line, and names the known ones") {
  const auto text = refusal("max_parallel: 2\nmax_paralel: 3\n");
  CHECK(text.find("berthd.yaml:2: unknown key 'max_paralel'") == 0);
  CHECK(text.find("max_parallel") != std::string::npos);
}

TEST_CASE("a wrong value names file, line, key and what it must be") {
  CHECK(refusal("\nmemory: lots\n") == "berthd.yaml:2: 'memory' must be a size such as 512MiB or 2g, not 'lots'");
  CHECK(refusal("max_parallel: 0") == "berthd.yaml:1: 'max_parallel' must be a whole number from 1 to 65535, not '0'");
  CHECK(refusal("max_parallel: 1.5").find("whole number") != std::string::npos);
  CHECK(refusal("cpus: -1").find("above 0") != std::string::npos);
  CHECK(refusal("state_dir: here").find("an absolute path") != std::string::npos);
  CHECK(refusal("stop_grace: [1]").find("'stop_grace' must be text") != std::string::npos);
  CHECK(refusal("others_may_read: perhaps").find("true or false") != std::string::npos);
  CHECK(refusal("disk_high: 90").find("a share of the disk from 1% to 100%") != std::string::npos);
  CHECK(refusal("disk_high: 0%").find("a share of the disk") != std::string::npos);
  CHECK(refusal("disk_budget: much").find("such as 200GiB, or a share") != std::string::npos);
  CHECK(refusal("jobs_per_user: 0").find("a whole number from 1") != std::string::npos);
  CHECK(refusal("storage_per_user: much").find("such as 200GiB, or a share") != std::string::npos);
  CHECK(refusal("disk_low: 95%").find(":1: disk_low (95%) must not be above disk_high (90%)") != std::string::npos);
  CHECK(refusal("shm_size: 1").find("at least 64KiB") != std::string::npos);
  CHECK(refusal("log_level: loud").find("one of debug, info, warn, error") != std::string::npos);
}

TEST_CASE("malformed YAML, a list, and a key set twice are errors with a line") {
  CHECK(refusal("a: [1\nb: 2").find("berthd.yaml:") == 0);
  CHECK(refusal("- one\n- two\n").find("berthd.yaml:1:") == 0);
  CHECK(refusal("cpus: 1\ncpus: 2\n") == "berthd.yaml:2: 'cpus' is set twice");
}

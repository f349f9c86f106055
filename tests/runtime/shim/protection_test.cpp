// What a job shares with others and cannot change.

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "runtime/os/protection.hpp"
#include "tests/runtime/shim/shim_job.hpp"
#include "tests/support/skip.hpp"

using namespace berth;
using namespace berth::shim;
using namespace berth::shim::test;

namespace {

os::Identity nobody() { return {65534, 65534, {}, "nobody", "/nonexistent", "/usr/sbin/nologin"}; }

// `state` holds an environment, and what else is shared.
struct Node {
  ShimJob job;
  std::string state = job.scratch("state");
  std::string environment = state + "/environment";
  os::Protections possible = os::possible_protections(job.scratch(""), job.scratch(""));

  explicit Node(const std::string& script) : job(shell(script)) {
    ::chmod(job.scratch("").c_str(), 0755);
    for (const auto& path : {environment, state + "/tmp"}) os::make_directories(path);
    for (const auto& file : {state + "/shared", environment + "/built"})
      os::write_file(file, "built\n", 0644, os::Durable::no);
    job.launch.protection = Protection{{state}, {state + "/tmp"}, std::nullopt, false};
    job.launch.working_directory = state;
  }
  void add_layer(std::optional<os::Identity> owner) {
    const auto layer = job.file("environment");
    for (const auto* name : {"/upper", "/work"}) os::make_directories(layer + name);
    job.launch.identity = owner;
    if (owner) REQUIRE(::chown((layer + "/upper").c_str(), owner->uid, owner->gid) == 0);
    job.launch.protection->environment = os::Overlay{{environment}, layer + "/upper", layer + "/work", environment};
    job.launch.protection->environment_owned = owner.has_value();
  }
};

const auto* const kWrite =
    "for file in shared environment/built new; do (echo mine >> $file) 2>/dev/null && echo $file; done; "
    "echo mine > tmp/own; cat shared environment/built";

}  // namespace

TEST_CASE("a job writes only what is its own, and is not kept from running") {
  Node node(kWrite);
  SKIP_UNLESS(node.possible.read_only, "mounts of this kind");
  CHECK(std::get<os::Exit>(node.job.run().outcome).status == 0);
  CHECK(node.job.log() == "built\nbuilt\n");
  CHECK(os::read_file(node.state + "/tmp/own") == "mine\n");
}

TEST_CASE("what a job changes of its environment is in its layer") {
  Node node(kWrite);
  SKIP_UNLESS(node.possible.layers && node.possible.read_only, "mounts of this kind");
  node.add_layer(std::nullopt);
  node.job.run();
  CHECK(node.job.log() == "environment/built\nbuilt\nbuilt\nmine\n");
  CHECK(os::read_file(node.environment + "/built") == "built\n");
  CHECK(os::read_file(node.job.file("environment/upper/built")) == "built\nmine\n");
}

TEST_CASE("a user's job changes what root has built, in a layer, with one process as its limit") {
  SKIP_UNLESS(is_root(), "root");
  Node node("echo mine >> environment/built && read line < environment/built && echo $line");
  SKIP_UNLESS(node.possible.owned, "mounts of this kind");
  node.add_layer(nobody());
  if (cgroup_base()) {
    node.job.use_cgroup();
    node.job.launch.limits.pids = 1;
  }
  node.job.run();
  CHECK(node.job.log() == "built\n");
  CHECK(os::read_file(node.environment + "/built") == "built\n");
  CHECK(os::read_file(node.job.file("environment/upper/built")) == "built\nmine\n");
}

TEST_CASE("a layer that cannot be mounted is told, and the job does not run") {
  Node node("true");
  SKIP_UNLESS(node.possible.layers, "mounts of this kind");
  node.add_layer(std::nullopt);
  node.job.launch.protection->environment->lower = {"/no/such/layer"};
  const auto reason = std::get<NotStarted>(node.job.run().outcome);
  CHECK(reason.exit_code == 126);
  CHECK(reason.reason.starts_with("cannot mount an overlay on " + node.environment));
}

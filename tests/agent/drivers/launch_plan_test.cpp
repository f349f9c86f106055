#include "agent/drivers/launch_plan.hpp"

#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>

#include "runtime/base/error.hpp"
#include "tests/agent/model/ids.hpp"

using namespace berth;

namespace {

const os::Identity kAda{1000, 1000, {27}, "ada", "/home/ada", "/bin/bash"};

model::Job job() {
  model::Job job;
  job.id = "brave-heron-7k2m"_job;
  job.request.command = {"python3", "train.py"};
  job.request.experiment = "digits";
  return job;
}

shim::Launch plan(const model::Job& job, const drivers::Site& site, const environment::Ready& ready = {},
                  bool switch_user = false) {
  drivers::NodeDefaults defaults;
  defaults.path = "/usr/bin:/bin";
  defaults.log_cap = 5_MiB;
  return drivers::plan_launch(job, 2, site, ready, kAda, switch_user, defaults);
}

std::string variable(const shim::Launch& launch, const std::string& name) {
  for (const auto& entry : launch.environment)
    if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
  return "(unset)";
}

}  // namespace

TEST_CASE("a job gets a clean environment: its user's, Berth's names, and what it asked for") {
  auto asked = job();
  asked.request.environment_variables = {{"LR", "0.1"}, {"LANG", "de_DE.UTF-8"}};
  const auto launch = plan(asked, {});
  CHECK(variable(launch, "HOME") == "/home/ada");
  CHECK(variable(launch, "USER") == "ada");
  CHECK(variable(launch, "SHELL") == "/bin/bash");
  CHECK(variable(launch, "PATH") == "/usr/bin:/bin");
  CHECK(variable(launch, "BERTH_JOB_ID") == "brave-heron-7k2m");
  CHECK(variable(launch, "BERTH_ATTEMPT") == "2");
  CHECK(variable(launch, "AZUREML_RUN_ID") == "brave-heron-7k2m");
  CHECK(variable(launch, "AZUREML_EXPERIMENT_NAME") == "digits");
  CHECK(variable(launch, "LR") == "0.1");
  CHECK(variable(launch, "LANG") == "de_DE.UTF-8");
  CHECK(variable(launch, "CUDA_VISIBLE_DEVICES") == "");
  CHECK(variable(launch, "AZUREML_RUN_TOKEN") == "(unset)");
  CHECK(variable(launch, "AZUREML_SERVICE_ENDPOINT") == "(unset)");
}

TEST_CASE("the environment's directories come before the PATH, the user's own PATH included") {
  environment::Ready ready;
  ready.path_prefix = "/venv/bin";
  ready.variables = {{"VIRTUAL_ENV", "/venv"}};
  auto asked = job();
  CHECK(variable(plan(asked, {}, ready), "PATH") == "/venv/bin:/usr/bin:/bin");
  CHECK(variable(plan(asked, {}, ready), "VIRTUAL_ENV") == "/venv");
  asked.request.environment_variables = {{"PATH", "/mine"}};
  CHECK(variable(plan(asked, {}, ready), "PATH") == "/venv/bin:/mine");
}

TEST_CASE("a job sees its GPUs, whatever it asked for itself, and no job sees others'") {
  drivers::Site site;
  auto asked = job();
  CHECK(variable(plan(asked, site), "NVIDIA_VISIBLE_DEVICES") == "void");
  asked.request.environment_variables = {{"CUDA_VISIBLE_DEVICES", "0"}};
  site.gpus = {"GPU-a", "GPU-b"};
  site.devices = {{195, {3}}};
  const auto launch = plan(asked, site);
  CHECK(variable(launch, "CUDA_VISIBLE_DEVICES") == "GPU-a,GPU-b");
  CHECK(variable(launch, "NVIDIA_VISIBLE_DEVICES") == "GPU-a,GPU-b");
  CHECK(launch.devices == site.devices);
}

TEST_CASE("the working directory is within the tree, or the absolute one of a job without code") {
  auto asked = job();
  CHECK(plan(asked, {.tree = "/j/tree", .overlay = {}, .cgroup = {}, .stop_reason = {}, .tmp = {}}).working_directory ==
        "/j/tree");
  asked.request.working_directory = "src/a";
  CHECK(plan(asked, {.tree = "/j/tree", .overlay = {}, .cgroup = {}, .stop_reason = {}, .tmp = {}}).working_directory ==
        "/j/tree/src/a");
  asked.request.working_directory = "/home/ada/x";
  CHECK(plan(asked, {}).working_directory == "/home/ada/x");
}

TEST_CASE("in a container without code it is the one asked for, the image's, or the job's own") {
  auto asked = job();
  drivers::Site site;
  site.container = true;
  site.scratch = "/j/scratch";
  CHECK(plan(asked, site).working_directory == "/j/scratch");
  site.image_directory = "/opt/app";
  CHECK(plan(asked, site).working_directory == "/opt/app");
  asked.request.outputs = {"models"};  // they are collected from its own
  CHECK(plan(asked, site).working_directory == "/j/scratch");
  asked.request.outputs.clear();
  asked.request.working_directory = "/srv";
  CHECK(plan(asked, site).working_directory == "/srv");
}

TEST_CASE("docker_args' variables count more than the image's and less than the job's own") {
  auto asked = job();
  asked.request.environment_variables = {{"B", "job"}};
  drivers::Site site;
  site.container = true;
  site.image_environment = {"A=image", "B=image", "C=image"};
  site.docker_args = {"-e A=args --env 'B=args'", "--init"};
  const auto launch = plan(asked, site);
  CHECK(variable(launch, "A") == "args");
  CHECK(variable(launch, "B") == "job");
  CHECK(variable(launch, "C") == "image");
}

TEST_CASE("the user is switched only by an agent that serves several") {
  CHECK_FALSE(plan(job(), {}).identity.has_value());
  CHECK(plan(job(), {}, {}, true).identity->uid == 1000);
}

TEST_CASE("limits come from the job, else from the node") {
  auto asked = job();
  CHECK(plan(asked, {}).log_cap == 5_MiB);
  CHECK_FALSE(plan(asked, {}).timeout.has_value());
  asked.request.log_cap = 1_MiB;
  asked.request.timeout = std::chrono::seconds(9);
  asked.request.stop = {2, std::chrono::seconds(3)};
  const auto launch = plan(asked, {});
  CHECK(launch.log_cap == 1_MiB);
  CHECK(launch.timeout == std::chrono::seconds(9));
  CHECK(launch.stop_signal == 2);
  CHECK(launch.stop_grace == std::chrono::seconds(3));
}

TEST_CASE("limits of the control group are what was asked for") {
  auto asked = job();
  auto launch = plan(asked, {});
  CHECK_FALSE(launch.limits.memory.has_value());
  CHECK(launch.goes_first);
  CHECK_FALSE(launch.limits.cpu_milli.has_value());
  CHECK(launch.limits.cpu_weight == 100);
  CHECK_FALSE(launch.tmp.has_value());
  CHECK(launch.network);
  asked.request.resources.memory = 2_GiB;
  asked.request.resources.cpu_milli = 2500;
  asked.request.limits = {true, 300, 64_MiB, false};
  drivers::Site site;
  site.tmp = "/j/tmp";
  launch = plan(asked, site);
  CHECK(launch.limits.memory == (2_GiB).bytes());
  CHECK_FALSE(launch.goes_first);
  CHECK(launch.limits.cpu_milli == 2500U);
  CHECK(launch.limits.cpu_weight == 250);
  CHECK(launch.limits.pids == 300U);
  CHECK(launch.tmp->path == "/j/tmp");
  CHECK(launch.tmp->size == 64_MiB);
  CHECK_FALSE(launch.network);
  CHECK(variable(launch, "TMPDIR") == "/j/tmp");
  asked.request.resources.cpu_milli = 1;
  CHECK(plan(asked, {}).limits.cpu_weight == 1);
}

TEST_CASE("what a request leaves out is the node's, what it says stays") {
  drivers::NodeDefaults defaults;
  defaults.memory = 3_GiB;
  defaults.pids = 400;
  defaults.tmp = 5_MiB;
  defaults.stop_grace = std::chrono::seconds(7);
  auto request = job().request;
  drivers::fill_in(request, defaults);
  CHECK(request.resources.memory == 3_GiB);
  CHECK(request.limits == model::LimitRequest{false, 400, 5_MiB, true});
  CHECK(request.stop.grace == std::chrono::seconds(7));
  const auto once = request;
  defaults = {};
  defaults.pids = 1;
  drivers::fill_in(request, defaults);
  CHECK(request == once);
}

TEST_CASE("a container's shared memory is the job's, else the node's, and docker_args count most") {
  drivers::NodeDefaults defaults;
  defaults.shm_size = 3_GiB;
  auto request = job().request;
  drivers::fill_in(request, defaults);
  CHECK_FALSE(request.container.shm_size.has_value());
  request.environment.kind = model::EnvironmentRequest::Kind::image;
  const auto with = [&](std::optional<ByteSize> size, const std::string& args) {
    auto asked = request;
    asked.container.shm_size = size;
    asked.container.docker_args = args;
    drivers::fill_in(asked, defaults);
    return *asked.container.shm_size;
  };
  CHECK(with({}, "") == 3_GiB);
  CHECK(with(1_GiB, "") == 1_GiB);
  CHECK(with(1_GiB, "--shm-size=5g") == 5_GiB);
  request.container.docker_args = "--privileged";
  CHECK_THROWS_AS(drivers::fill_in(request, defaults), Error);
}

TEST_CASE("an end for want of memory is told as such, unless it succeeded or was stopped") {
  auto asked = job();
  asked.request.resources.memory = 2_GiB;
  shim::Ended ended;
  ended.outcome = os::Exit{true, SIGKILL};
  ended.peak_memory = 1_GiB;
  CHECK(drivers::ending_of(ended, asked.request, asked.canceled_by) == model::Ending(model::Signalled{SIGKILL}));
  ended.out_of_memory_kills = 1;
  CHECK(drivers::ending_of(ended, asked.request, asked.canceled_by) == model::Ending(model::OutOfMemory{2_GiB, 1_GiB}));
  ended.outcome = os::Exit{false, 1};
  CHECK(drivers::ending_of(ended, asked.request, asked.canceled_by) == model::Ending(model::OutOfMemory{2_GiB, 1_GiB}));
  ended.outcome = os::Exit{false, 0};
  CHECK(drivers::ending_of(ended, asked.request, asked.canceled_by) == model::Ending(model::Exited{0}));
  ended.outcome = os::Exit{true, SIGKILL};
  ended.stopped_because = shim::kStoppedShutdown;
  CHECK(drivers::ending_of(ended, asked.request, asked.canceled_by) ==
        model::Ending(model::Preempted{model::Preempted::Cause::shutdown}));
}

TEST_CASE("endings: a stop by Berth wins over the signal it was done with") {
  auto asked = job();
  asked.canceled_by = "ada";
  asked.request.timeout = std::chrono::seconds(9);
  shim::Ended ended;
  ended.outcome = os::Exit{true, 15};
  CHECK(drivers::ending_of(ended, asked.request, asked.canceled_by) == model::Ending(model::Signalled{15}));
  ended.stopped_because = "canceled";
  CHECK(drivers::ending_of(ended, asked.request, asked.canceled_by) == model::Ending(model::Canceled{"ada"}));
  ended.stopped_because = "timed_out";
  CHECK(drivers::ending_of(ended, asked.request, asked.canceled_by) ==
        model::Ending(model::TimedOut{std::chrono::seconds(9)}));
  ended.stopped_because.clear();
  ended.outcome = os::Exit{false, 3};
  CHECK(drivers::ending_of(ended, asked.request, asked.canceled_by) == model::Ending(model::Exited{3}));
  ended.outcome = shim::NotStarted{127, "no such command"};
  CHECK(drivers::ending_of(ended, asked.request, asked.canceled_by) ==
        model::Ending(model::StartFailed{127, "no such command"}));
}

TEST_CASE("what is secret of a launch is apart from it") {
  auto asked = job();
  asked.request.environment_variables = {{"LR", "0.1"}};
  asked.request.secrets = {{"HF_TOKEN", {false, true}}, {"CERT", {true, false}}, {"BOTH", {true, true}}};
  asked.request.hidden = {"/command/2", "/resources/docker_args"};
  model::JobSecrets secrets;
  secrets.values = {{"HF_TOKEN", "hf_4711"}, {"CERT", "cert\n"}, {"BOTH", "both\n"}};
  const auto shown = asked.request.command;
  asked.request.command = {"curl", "https://me:pw@host"};
  drivers::Site site;
  site.secrets = "/j/secrets";
  site.docker_args = {"-e WANDB_API_KEY=wb_1 -e SEED=7"};
  auto launch = plan(asked, site);
  drivers::set_secrets_apart(launch, asked.request, shown, site, secrets);
  CHECK(launch.command == shown);
  CHECK(launch.secrets.command == asked.request.command);
  CHECK(launch.secrets.environment == std::vector<std::string>{"WANDB_API_KEY=wb_1", "BOTH=both", "HF_TOKEN=hf_4711"});
  CHECK(launch.secrets.files == std::map<std::string, std::string>{{"BOTH", "both\n"}, {"CERT", "cert\n"}});
  CHECK(variable(launch, "SEED") == "7");
  CHECK(variable(launch, "LR") == "0.1");
  CHECK(variable(launch, "WANDB_API_KEY") == "(unset)");
  CHECK(variable(launch, "BERTH_SECRETS") == "/j/secrets");
  REQUIRE(launch.secret_place);
  CHECK(launch.secret_place->directory == "/j/secrets");
  const auto text = to_text(launch);
  for (const auto* secret : {"hf_4711", "cert", "both", "wb_1", "me:pw"}) CHECK(text.find(secret) == std::string::npos);
  secrets.values.erase("CERT");
  CHECK_THROWS_AS(drivers::set_secrets_apart(launch, asked.request, shown, site, secrets), Error);
}

TEST_CASE("no secret says which GPUs a job has") {
  auto asked = job();
  asked.request.secrets = {{"CUDA_VISIBLE_DEVICES", {false, true}}};
  model::JobSecrets secrets;
  secrets.values = {{"CUDA_VISIBLE_DEVICES", "0"}};
  drivers::Site site;
  site.gpus = {"GPU-a"};
  auto launch = plan(asked, site);
  drivers::set_secrets_apart(launch, asked.request, asked.request.command, site, secrets);
  CHECK(variable(launch, "CUDA_VISIBLE_DEVICES") == "GPU-a");
  CHECK(launch.secrets.empty());
  CHECK_FALSE(launch.secret_place);
}

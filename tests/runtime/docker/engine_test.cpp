#include "runtime/docker/engine.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "runtime/os/file.hpp"
#include "tests/runtime/docker/failure.hpp"
#include "tests/support/real_engine.hpp"
#include "tests/support/skip.hpp"

namespace berth::docker {
namespace {

using namespace std::chrono_literals;
using test::code_of;
using test::failure_of;

constexpr const char* kBase = "berth-test/base:1";
const Labels kLabels = {{"io.berth.state", "/tests"}, {"io.berth.job", "job-1"}};

ContainerSpec shell(const std::string& script) {
  ContainerSpec spec;
  spec.image = kBase;
  spec.entrypoint = {"/bin/sh", "-c", script};
  spec.labels = kLabels;
  return spec;
}

// A container that goes with this object.
class Running {
 public:
  Running(const Engine& engine, const ContainerSpec& spec) : engine_(engine), id(engine.create_container(spec)) {}
  ~Running() { engine_.remove_container(id); }

  Container ended() const {
    engine_.start(id);
    for (int i = 0; i < 1500; ++i) {
      auto container = engine_.container(id);
      if (!container.running) return container;
      std::this_thread::sleep_for(10ms);
    }
    FAIL("the container does not end");
    return {};
  }

 private:
  const Engine& engine_;

 public:
  std::string id;
};

// What a command in a container writes to a file of the host.
std::string output_of(const Engine& engine, ContainerSpec spec, const std::string& script) {
  os::TempDir directory;
  spec.entrypoint = {"/bin/sh", "-c", "{ " + script + "; } > /out/text 2>&1"};
  spec.image = kBase;
  spec.binds.push_back({directory.path(), "/out", false});
  Running container(engine, spec);
  CHECK(container.ended().exit_code == 0);
  return os::read_file(directory / "text");
}

}  // namespace

TEST_CASE("an engine that is not there, or not ours to use, is told with the remedy") {
  const os::TempDir directory;
  const auto absent = failure_of([&] { Engine(directory / "none.sock").version(); });
  CHECK(absent.code() == Code::unavailable);
  CHECK(absent.message().find("no container engine listens on " + directory.path()) == 0);
  CHECK(absent.hint().find("apt install docker.io") != std::string::npos);
}

TEST_CASE("an engine that hangs is given up when we are told to stop") {
  const os::TempDir directory;
  const auto path = directory / "hanging.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const os::Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(listener.get(), 4) == 0);
  // The version is answered, everything after it is not.
  std::stop_source stop;
  std::thread server([&] {
    os::Fd first(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char request[1024];
    static_cast<void>(::recv(first.get(), request, sizeof request, 0));
    os::write_all(first, "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"ApiVersion\":\"1.41\"}");
    first.reset();
    const os::Fd second(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    static_cast<void>(::recv(second.get(), request, sizeof request, 0));
    stop.request_stop();
    while (::recv(second.get(), request, sizeof request, 0) > 0) continue;  // until the client has gone
  });
  const auto began = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(Engine(path).pull(
                      parse_reference("x"), {}, [](std::string_view) {}, stop.get_token()),
                  Cancelled);
  CHECK(std::chrono::steady_clock::now() - began < 2s);
  server.join();
}

TEST_CASE("the engine tells its version") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto version = real->engine().version();
  CHECK(!version.name.empty());
  CHECK(version.api.starts_with("1."));
  CHECK(!version.architecture.empty());
  const auto info = real->engine().info();
  CHECK(os::exists(info.root_directory + "/overlay2"));
  CHECK(std::ranges::find(info.runtimes, "runc") != info.runtimes.end());
  CHECK(!info.rootless);
}

TEST_CASE("an image is looked at, tagged, listed by label and removed") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto engine = real->engine();
  const auto layers = engine.image("berth-test/layers:1");
  CHECK(layers.id.starts_with("sha256:"));
  CHECK(layers.architecture == "amd64");
  CHECK(layers.size > 20_MiB);
  CHECK(layers.variable("NVIDIA_REQUIRE_CUDA") == "cuda>=12.4");
  CHECK(layers.variable("CUDA_VERSION") == "12.4.1");
  CHECK(layers.variable("CUDA") == "");
  CHECK(!engine.find_image("berth-test/none:1"));
  CHECK(code_of([&] { engine.image("berth-test/none:1"); }) == Code::not_found);

  engine.tag(layers.id, parse_reference("berth-test/other:2"));
  CHECK(engine.image("berth-test/other:2").id == layers.id);
  CHECK(engine.remove_image("berth-test/other:2"));
  CHECK(!engine.remove_image("berth-test/other:2"));
  CHECK(engine.find_image(layers.id));
  CHECK(code_of([&] { engine.tag("berth-test/none:1", parse_reference("x:1")); }) == Code::not_found);
}

TEST_CASE("a container runs, ends with its code, and carries its labels") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto engine = real->engine();
  auto spec = shell("exit 7");
  spec.name = "berth-test-one";
  Running container(engine, spec);
  CHECK(code_of([&] { engine.create_container(spec); }) == Code::conflict);
  CHECK(test::labelled(engine, "container", "io.berth.job=job-1") == std::vector{container.id});
  const auto made = engine.container(container.id);
  CHECK(made.name == "berth-test-one");
  CHECK(made.status == "created");
  CHECK(made.labels.at("io.berth.state") == "/tests");
  const auto ended = container.ended();
  CHECK(ended.exit_code == 7);
  CHECK(ended.status == "exited");
  CHECK(!ended.out_of_memory);
  CHECK(engine.remove_container(container.id));
  CHECK(!engine.remove_container(container.id));
  CHECK(!engine.find_container(container.id));
}

TEST_CASE("a running container has a process of this machine, and can be killed") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto engine = real->engine();
  Running container(engine, shell("exec sleep 1000"));
  CHECK(!engine.kill(container.id));
  engine.start(container.id);
  engine.start(container.id);  // again does no harm
  const auto running = engine.container(container.id);
  REQUIRE(running.running);
  CHECK(os::read_file("/proc/" + std::to_string(running.pid) + "/cmdline").find("sleep") != std::string::npos);
  CHECK(engine.kill(container.id));
  for (int i = 0; i < 500 && engine.container(container.id).running; ++i) std::this_thread::sleep_for(10ms);
  CHECK(engine.container(container.id).exit_code == 137);
}

TEST_CASE("a container over its memory is killed and the engine says so") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto engine = real->engine();
  auto spec = shell("exec dd if=/dev/zero of=/dev/null bs=200M count=1");
  spec.memory = 32_MiB;
  Running container(engine, spec);
  const auto ended = container.ended();
  CHECK(ended.exit_code == 137);
  CHECK(ended.out_of_memory);
}

TEST_CASE("what the spec asks for is what the container sees") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto engine = real->engine();
  ContainerSpec spec;
  spec.environment = {"GREETING=hello there"};
  spec.user = "1234:2345";
  spec.working_directory = "/tmp";
  spec.network = "none";
  spec.hostname = "node1";
  spec.ulimits = {{"nofile", 77, 88}};
  os::TempDir data;
  ::chmod(data.path().c_str(), 0777);
  os::write_file(data / "in", "input", 0644, os::Durable::no);
  spec.binds = {{data.path(), "/data", true}};
  os::TempDir out;
  ::chmod(out.path().c_str(), 0777);
  spec.binds.push_back({out.path(), "/out", false});
  spec.image = kBase;
  spec.entrypoint = {
      "/bin/sh", "-c",
      "{ echo $GREETING; id -u; id -g; pwd; cat /data/in; echo; echo x 2>&1 > /data/new || echo read-only; "
      "cat /etc/hostname; ulimit -n; df -k /dev/shm | grep -o ' 2097152 '; cat /proc/self/status | "
      "grep -E 'NoNewPrivs|CapEff'; ls /sys/class/net; } > /out/text 2>&1"};
  Running container(engine, spec);
  container.ended();
  const auto text = os::read_file(out / "text");
  INFO(text);
  for (const std::string words : {"hello there", "1234\n2345\n/tmp\ninput", "read-only", "node1", "\n77\n", " 2097152 ",
                                  "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "lo\n"})
    CHECK_MESSAGE(text.find(words) != std::string::npos, words);
  CHECK(text.find("eth0") == std::string::npos);
}

TEST_CASE("a mount of what is not there, an image that is not here, and a GPU without a driver are told") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto engine = real->engine();
  auto absent = shell("true");
  absent.binds = {{"/nowhere/at/all", "/x", false}};
  const auto failure = failure_of([&] { engine.create_container(absent); });
  CHECK(failure.code() == Code::invalid);
  CHECK(failure.message().find("/nowhere/at/all") != std::string::npos);
  auto imageless = shell("true");
  imageless.image = "berth-test/none:1";
  CHECK(code_of([&] { engine.create_container(imageless); }) == Code::not_found);
  auto gpu = shell("true");
  gpu.gpus = {"GPU-1"};
  Running container(engine, gpu);
  const auto driverless = failure_of([&] { engine.start(container.id); });
  CHECK(driverless.code() == Code::unsupported);
  CHECK(driverless.hint().find("NVIDIA container toolkit") != std::string::npos);
}

TEST_CASE("an overlay volume shows its layers, keeps them, and goes by its label") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto engine = real->engine();
  const os::TempDir place;
  for (const char* name : {"lower", "upper", "work"}) os::make_directories(place / name);
  os::write_file(place / "lower/code", "code", 0644, os::Durable::no);
  engine.create_overlay_volume("berth-test-tree", {place / "lower"}, place / "upper", place / "work", kLabels);
  CHECK(test::labelled(engine, "volume", "io.berth.job=job-1") == std::vector<std::string>{"berth-test-tree"});
  {
    ContainerSpec spec;
    spec.volumes = {{"berth-test-tree", "/tree", false}};
    CHECK(output_of(engine, spec, "cat /tree/code; echo new > /tree/result") == "code");
    spec.labels = kLabels;
    Running user(engine, [&] {
      auto copy = shell("true");
      copy.volumes = spec.volumes;
      return copy;
    }());
    CHECK(code_of([&] { engine.remove_volume("berth-test-tree"); }) == Code::conflict);
  }
  CHECK(os::read_file(place / "upper/result") == "new\n");
  CHECK(!os::exists(place / "lower/result"));
  CHECK(engine.remove_volume("berth-test-tree"));
  CHECK(!engine.remove_volume("berth-test-tree"));
  CHECK(test::labelled(engine, "volume", "io.berth.job=job-1").empty());
  CHECK(code_of([&] { engine.create_overlay_volume("x", {"/a:b"}, "/u", "/w", {}); }) == Code::invalid);
}

}  // namespace berth::docker

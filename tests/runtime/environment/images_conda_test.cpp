// A conda tool within a real engine's builds.

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "conda_builds.hpp"
#include "images_site.hpp"
#include "runtime/async/tool.hpp"
#include "runtime/os/spawn.hpp"
#include "tests/support/skip.hpp"

namespace environment = berth::environment;
namespace docker = berth::docker;
namespace gpu = berth::gpu;
namespace os = berth::os;
namespace async = berth::async;
using berth::Code;
using environment::DockerBuild;
using environment::Image;
using environment::Images;
using environment::ImageUse;
using environment::Leased;
using environment::Spec;
using environment::Waiting;
using namespace berth::environment::test;
using nlohmann::json;

namespace {

environment::Conda file(const std::string& text) { return {"environment.yml", {{"environment.yml", text}}}; }

// This machine's Python as an image, with a conda tool or without.
std::string import(const docker::test::RealEngine& real, const std::string& name, bool with_tool) {
  os::SpawnOptions options;
  options.arguments = {"/bin/sh",         "-c",        "exec \"$@\" 2>&1",    "sh", BERTH_PYTHON, "-B",
                       BERTH_CONDA_IMAGE, real.socket, environment::kFixture, name};
  if (!with_tool) options.arguments.emplace_back("--without-tool");
  options.environment = {"PATH=/usr/bin:/bin"};
  const auto done = async::run_tool_here(std::move(options), {std::chrono::seconds(120)});
  INFO(done.output);
  REQUIRE(!done.exit.signalled);
  REQUIRE(done.exit.status == 0);
  return name;
}

environment::ImageSettings with_channel(environment::ImageSettings settings) {
  settings.conda = environment::test_node("");
  return settings;
}

std::string command_in(const docker::test::RealEngine& real, const Leased& leased, const std::string& command) {
  std::string said;
  docker::BuildOptions options;
  const auto dockerfile =
      "FROM " + leased.ready.image + "\nRUN PATH=" + leased.ready.path_prefix + ":$PATH; " + command + "\n";
  real.engine().build(docker::BuildContext::of_files({{"Dockerfile", dockerfile}}), options,
                      [&](std::string_view line) { (said += line) += '\n'; });
  return said;
}

}  // namespace

TEST_CASE("a conda environment is built within an image, once, and can be used there") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  const auto base = import(*real, "berth-test/conda:1", true);
  const auto spec = file(
      "channels: [test]\ndependencies:\n- world\n- hello>=1,<2\n- activated\n- pip:\n  - berth_wheel<1.1\n"
      "variables:\n  OF_FILE: \"it's $HOME\"\n");
  berth::Digest digest;
  std::string lock;
  with_images(with_channel(site.settings), [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto leased = co_await images.ensure(image_spec(base, spec), ImageUse(), waiting);
    digest = leased.ready.digest;
    lock = leased.ready.lock;
    REQUIRE(waiting.build());
    INFO(os::read_file(waiting.build()->log));
    CHECK(os::read_file(waiting.build()->log).find("berth-result") == std::string::npos);
    CHECK(leased.lease);
    CHECK(leased.ready.image == real->engine().image(environment::environment_tag(digest)).id);
    CHECK(leased.ready.interpreter == "/opt/berth/env/bin/python");
    CHECK(leased.ready.path_prefix == "/opt/berth/env/opt/tools/bin:/opt/berth/env/bin");
    const std::map<std::string, std::string> variables(leased.ready.variables.begin(), leased.ready.variables.end());
    CHECK(variables.at("GREETING") == "hello from /opt/berth/env");
    CHECK(variables.at("OF_FILE") == "it's $HOME");
    const auto record = json::parse(leased.ready.record);
    CHECK(record.at("kind") == "image");
    CHECK(record.at("packages").size() > 4);
    const auto said =
        command_in(*real, leased,
                   "python -c 'import world, hello, berth_wheel; print(hello.__version__, berth_wheel.__version__)'");
    CHECK(said.find("1.1.0 1.0\n") != std::string::npos);
    // Nothing of the build is left in it.
    CHECK(command_in(*real, leased, "ls /opt/berth").find("\nenv\n") != std::string::npos);
    CHECK(command_in(*real, leased, "ls /opt/berth").find("build") == std::string::npos);
    Waiting again;
    const auto begin = std::chrono::steady_clock::now();
    const auto second = co_await images.ensure(image_spec(base, spec), ImageUse(), again);
    const auto took = std::chrono::steady_clock::now() - begin;
    MESSAGE("second time: " << std::chrono::duration_cast<std::chrono::microseconds>(took).count() << " us");
    CHECK(second.ready.image == leased.ready.image);
    CHECK(second.ready.variables == leased.ready.variables);
    CHECK(!again.build());
    const auto made_of = json::parse(lock);
    CHECK(made_of.at("image") == real->engine().image(base).id);
    CHECK(made_of.at("conda").at("explicit").size() == 5);
    // Exactly the same, from its lock.
    const auto exact = co_await images.ensure(locked_spec(lock), ImageUse(), again);
    CHECK(exact.ready.digest != digest);
    CHECK(json::parse(exact.ready.lock).at("conda").at("explicit") == made_of.at("conda").at("explicit"));
  });
}

TEST_CASE("an image whose build had credentials keeps nothing but the environment") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  const auto base = import(*real, "berth-test/conda:1", true);
  auto settings = with_channel(site.settings);
  settings.conda.extra_index_urls = {"https://user:word@index.example/simple"};
  with_images(settings, [&](Images& images) -> Task<> {
    Waiting waiting;
    const auto spec = file("channels: [test]\ndependencies: [hello=1.1]\n");
    const auto leased = co_await images.ensure(image_spec(base, spec), ImageUse(), waiting);
    CHECK(os::read_file(waiting.build()->log).find("word") == std::string::npos);
    const auto all =
        docker::test::labelled(real->engine(), "image", std::string(environment::kStateLabel) + "=" + settings.state);
    CHECK(all.size() == 1);
    CHECK(command_in(*real, leased, "hello-cli").find("hello 1.1.0\n") != std::string::npos);
    CHECK(command_in(*real, leased, "ls /opt/berth").find("build") == std::string::npos);
    CHECK(leased.ready.lock.find("word") == std::string::npos);
    CHECK(leased.ready.record.find("word\"") == std::string::npos);
  });
}

TEST_CASE("a conda environment that cannot be had within an image tells the solver's own words") {
  const auto* real = docker::test::real_engine();
  SKIP_UNLESS(real != nullptr, docker::test::what_engine_lacks());
  Site site(*real);
  const auto base = import(*real, "berth-test/conda:1", true);
  const auto bare = import(*real, "berth-test/bare:1", false);
  with_images(with_channel(site.settings), [&](Images& images) -> Task<> {
    auto error = co_await failure(images, image_spec(base, file("channels: [test]\ndependencies: [nosuchpackage]\n")));
    CHECK(error.code() == Code::invalid);
    CHECK(says(error, "No candidates were found for nosuchpackage"));
    error = co_await failure(images, image_spec(bare, file("channels: [test]\ndependencies: [hello]\n")));
    CHECK(says(error, "the image has no micromamba, mamba or conda"));
    error = co_await failure(images, image_spec(base, file("dependencies: 5\n")));
    CHECK(error.code() == Code::invalid);
    CHECK((co_await images.list()).empty());
  });
  auto settings = with_channel(site.settings);
  if (os::exists("/bin/busybox")) {
    // Static, and no micromamba: it is lent, and says so itself.
    settings.micromamba = "/bin/busybox";
    with_images(settings, [&](Images& images) -> Task<> {
      const auto error = co_await failure(images, image_spec(bare, file("channels: [test]\ndependencies: [hello]\n")));
      CHECK(says(error, "applet not found"));
    });
  }
  settings.micromamba = "/bin/sh";
  with_images(settings, [&](Images& images) -> Task<> {
    const auto error = co_await failure(images, image_spec(bare, file("channels: [test]\ndependencies: [hello]\n")));
    CHECK(says(error, "/bin/sh is no static program"));
  });
}

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "runtime/docker/engine.hpp"
#include "runtime/os/file.hpp"
#include "tests/runtime/docker/failure.hpp"
#include "tests/support/real_engine.hpp"
#include "tests/support/skip.hpp"

namespace berth::docker {
namespace {

using namespace std::chrono_literals;
using test::failure_of;

struct Build {
  explicit Build(const test::RealEngine& real) : engine(real.engine()) {
    options.labels = {{"io.berth.state", "/tests"}};
    options.tags = {"berth-test/built:1"};
    file(".dockerignore", "secret\n");
  }
  ~Build() {
    for (const auto& image : test::labelled(engine, "image", "io.berth.state=/tests")) engine.remove_image(image, true);
  }
  void file(const std::string& name, const std::string& content, unsigned mode = 0644) {
    os::write_file(directory / name, content, mode, os::Durable::no);
  }
  std::string run(std::stop_token stop = {}) {
    return engine.build(
        BuildContext::of_directory(directory.path(), options.dockerfile), options,
        [this](std::string_view line) {
          lines.emplace_back(line);
          if (on_line) on_line(line);
        },
        std::move(stop));
  }
  bool told(const std::string& words) const {
    return std::ranges::any_of(lines, [&](const auto& line) { return line.find(words) != std::string::npos; });
  }

  Engine engine;
  BuildOptions options;
  os::TempDir directory;
  std::vector<std::string> lines;
  std::function<void(std::string_view)> on_line;
};

}  // namespace

TEST_CASE("a directory is built, labelled and tagged, and what it ignores is not in the image") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  Build build(*real);
  build.file("secret", "s");
  build.file("run.sh", "#!/bin/sh\necho ran", 0755);
  build.file("gpu.Dockerfile",
             "FROM berth-test/base:1\nARG WHO\nCOPY . /app\nRUN ls -la /app; echo for $WHO; test ! -e "
             "/app/secret && /app/run.sh\n"
             "ENV A=1\n");
  build.options.dockerfile = "gpu.Dockerfile";
  build.options.arguments = {{"WHO", "you and me"}};
  const auto id = build.run();
  const auto image = build.engine.image("berth-test/built:1");
  CHECK(image.id == id);
  CHECK(image.labels.at("io.berth.state") == "/tests");
  CHECK(image.variable("A") == "1");
  CHECK(build.told(" : FROM berth-test/base:1"));
  CHECK(build.told("for you and me"));
  CHECK(build.told("ran"));
}

TEST_CASE("a base image and generated files make an image too, and the second time at once") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  Build build(*real);
  const std::map<std::string, std::string> files = {
      {"Dockerfile", "FROM berth-test/base:1\nCOPY environment.yml /\nRUN cat /environment.yml\n"},
      {"environment.yml", "name: generated\n"}};
  const auto run = [&] {
    return build.engine.build(BuildContext::of_files(files), build.options,
                              [&](std::string_view line) { build.lines.emplace_back(line); });
  };
  const auto id = run();
  CHECK(build.told("name: generated"));
  build.lines.clear();
  CHECK(run() == id);
  CHECK(build.told("Using cache"));
}

TEST_CASE(
    "a step that fails, a file that is no Dockerfile and a base that is not there are told in the engine's "
    "words") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  Build build(*real);
  build.file("Dockerfile", "FROM berth-test/base:1\nRUN echo the last words >&2; exit 3\n");
  const auto step = failure_of([&] { build.run(); });
  CHECK(step.code() == Code::invalid);
  CHECK(step.message().find("non-zero code: 3") != std::string::npos);
  CHECK(build.told("the last words"));
  build.file("Dockerfile", "FROM berth-test/base:1\nRUNN x\n");
  const auto parse = failure_of([&] { build.run(); });
  CHECK(parse.code() == Code::invalid);
  CHECK(parse.message().find("RUNN") != std::string::npos);
  build.file("Dockerfile", "FROM " + real->image("plain", "absent:1").text() + "\n");
  CHECK(failure_of([&] { build.run(); }).code() == Code::not_found);
  CHECK(!build.engine.find_image("berth-test/built:1"));
}

TEST_CASE("a build's base image may be a private one") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  Build build(*real);
  const auto base = real->image("basic", "base:1");
  build.file("Dockerfile", "FROM " + base.text() + "\nRUN echo built\n");
  CHECK(failure_of([&] { build.run(); }).code() == Code::denied);
  build.options.credentials = {{base.registry, real->credentials()}};
  CHECK(!build.run().empty());
  build.engine.remove_image("berth-test/built:1", true);
  build.engine.remove_image(base.text(), true);
}

TEST_CASE("a build that is stopped stops its step") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  Build build(*real);
  build.file("Dockerfile", "FROM berth-test/base:1\nRUN echo begun; sleep 1000\n");
  std::stop_source stop;
  build.on_line = [&](std::string_view line) {
    if (line == "begun" || line == "begun\n") stop.request_stop();
  };
  CHECK_THROWS_AS(build.run(stop.get_token()), Cancelled);
  CHECK(build.told("begun"));
  // Its containers carry the build's labels; with forcerm the engine removes them.
  bool gone = false;
  for (int i = 0; i < 500 && !gone; ++i) {
    gone = test::labelled(build.engine, "container", "io.berth.state=/tests").empty();
    if (!gone) std::this_thread::sleep_for(10ms);
  }
  CHECK(gone);
  CHECK(!build.engine.find_image("berth-test/built:1"));
}

}  // namespace berth::docker

#include "runtime/environment/image_conda.hpp"

#include <doctest/doctest.h>

#include "runtime/os/file.hpp"

namespace environment = berth::environment;
using environment::image_conda;

namespace {

environment::Conda file(const std::string& text) { return {"environment.yml", {{"environment.yml", text}}}; }

const auto kSpec = file("channels: [conda-forge]\ndependencies: [python=3.11]\n");

}  // namespace

TEST_CASE("an image with conda is built from the image by a recipe for whichever tool is in it") {
  const auto made = image_conda(kSpec, "sha256:base", "12.4.1", "", {});
  CHECK(made.files.at("Dockerfile").find("FROM sha256:base\n") == 0);
  for (const auto* tool : {"micromamba", "mamba", "conda"}) {
    CHECK(made.files.at(std::string(tool) + "/arguments").find("python") != std::string::npos);
    CHECK(made.files.at(std::string(tool) + "/script.sh").find("2.0.0") == std::string::npos);
  }
  CHECK(made.files.at("variables.sh") == "export CONDA_OVERRIDE_CUDA='12.4'\n");
  CHECK(made.files.count("micromamba-static") == 0);
  CHECK(!made.secret);
  CHECK(environment::final_dockerfile("base", "made", false) == "FROM made\n");
  // What is lent does not make another environment.
  const auto lent = image_conda(kSpec, "sha256:base", "", "program", {});
  CHECK(lent.files.at("micromamba-static") == "program");
  CHECK(lent.canonical == made.canonical);
}

TEST_CASE("credentials of channels and indexes stay in no layer of the image that is kept") {
  environment::NodeConda node;
  node.channels = {"https://user:word@conda.example/channel"};
  CHECK(image_conda(kSpec, "base", "", "", node).secret);
  node.channels = {"https://conda.example/t/token/channel"};
  CHECK(image_conda(kSpec, "base", "", "", node).secret);
  node.channels = {"https://conda.example/channel"};
  CHECK(!image_conda(kSpec, "base", "", "", node).secret);
  node.extra_index_urls = {"https://pypi.example/simple", "https://user:word@pypi.example/simple"};
  const auto secret = image_conda(kSpec, "base", "", "", node);
  CHECK(secret.secret);
  const auto kept = environment::final_dockerfile("base", "made", secret.secret);
  CHECK(kept.find("FROM base\n") == 0);
  CHECK(kept.find("COPY --from=made /opt/berth/env /opt/berth/env\n") != std::string::npos);
  CHECK(secret.canonical.find("word") == std::string::npos);
}

TEST_CASE("a build's result comes out between its lines") {
  std::string log;
  const berth::docker::LineSink sink = [&](std::string_view line) { (log += line) += '\n'; };
  environment::ImageCondaOutput output(sink);
  for (const auto* line : {"one", "\033[0mberth-result: {\"a\":", "two", "berth-result: 1}"}) output.take(line);
  CHECK(log == "one\ntwo\n");
  CHECK(output.result() == "{\"a\":1}");
}

TEST_CASE("only a static program is lent to images") {
  namespace os = berth::os;
  CHECK(!environment::is_static_program(os::read_file("/bin/sh")));
  CHECK(!environment::is_static_program("#!/bin/sh\n"));
  CHECK(!environment::is_static_program(std::string("\177ELF", 4)));
  if (os::exists("/bin/busybox")) CHECK(environment::is_static_program(os::read_file("/bin/busybox")));
}

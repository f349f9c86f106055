#include "runtime/docker/registry.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <thread>

#include "runtime/docker/engine.hpp"
#include "tests/runtime/docker/failure.hpp"
#include "tests/support/real_engine.hpp"
#include "tests/support/skip.hpp"

namespace berth::docker {
namespace {

using namespace std::chrono_literals;
using test::code_of;
using test::failure_of;

RemoteImage ask(const test::RealEngine& real, const Reference& image, const Credentials& credentials = {},
                const RegistryOptions& options = {}) {
  const test::InsideNetwork inside(real);
  return resolve(image, credentials, options);
}

}  // namespace

TEST_CASE("a registry tells an image's digest, variables and size without a pull") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto image = ask(*real, real->image("plain", "layers:1"));
  CHECK(image.digest == real->digests.at("amd64"));
  CHECK(image.index_digest == image.digest);
  CHECK(image.pinned.text() == real->image("plain", "layers:1").text() + "@" + image.digest);
  CHECK(image.variable("NVIDIA_REQUIRE_CUDA") == "cuda>=12.4");
  CHECK(image.variable("CUDA_VERSION") == "12.4.1");
  CHECK(image.architecture == "amd64");
  CHECK(image.layers > 24_MiB);
  CHECK(image.layers < 40_MiB);
}

TEST_CASE("of a list the image for this machine is chosen") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto multi = real->image("plain", "layers:multi");
  const auto image = ask(*real, multi);
  CHECK(image.digest == real->digests.at("amd64"));
  CHECK(image.index_digest == real->digests.at("multi"));
  RegistryOptions arm;
  arm.platform = {"linux", "arm64"};
  CHECK(ask(*real, multi, {}, arm).architecture == "arm64");
  CHECK(ask(*real, multi.with_digest(real->digests.at("multi"))).digest == image.digest);
  const auto none = failure_of([&] { ask(*real, real->image("plain", "layers:only-arm")); });
  CHECK(none.code() == Code::unsupported);
  CHECK(none.hint().find("linux/arm64") != std::string::npos);
  CHECK(code_of([&] { ask(*real, real->image("plain", "layers:arm64")); }) == Code::unsupported);
}

TEST_CASE("what the registry says is the image that a pull fetches") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto remote = ask(*real, real->image("plain", "base:1"));
  const auto engine = real->engine();
  const auto image = engine.pull(remote.pinned, {}, [](std::string_view) {});
  CHECK(image.id == remote.config_digest);
  CHECK(image.environment == remote.environment);
  engine.remove_image(remote.pinned.name() + "@" + remote.digest);
}

TEST_CASE("an image that is not there is told") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  CHECK(code_of([&] { ask(*real, real->image("plain", "layers:none")); }) == Code::not_found);
  CHECK(code_of([&] { ask(*real, real->image("plain", "none:1")); }) == Code::not_found);
  CHECK(code_of([&] { ask(*real, parse_reference("127.0.0.1:1/x:1")); }) == Code::unavailable);
  const auto nowhere = failure_of([&] { ask(*real, parse_reference("no-such-host.invalid/x:1")); });
  CHECK(nowhere.code() == Code::unavailable);
  CHECK(nowhere.message().find("no-such-host.invalid") != std::string::npos);
}

TEST_CASE("a registry with a password, or with a token server, wants the right ones") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  for (const std::string registry : {"basic", "token"}) {
    INFO(registry);
    const auto image = real->image(registry, "layers:1");
    CHECK(ask(*real, image, real->credentials()).digest == real->digests.at("amd64"));
    const auto wrong = failure_of([&] { ask(*real, image, {real->user, "very-wrong", {}}); });
    CHECK(wrong.code() == Code::denied);
    CHECK(wrong.describe().find("very-wrong") == std::string::npos);
    CHECK(code_of([&] { ask(*real, image); }) == Code::denied);
  }
  CHECK(ask(*real, real->image("token", "layers:1"), {{}, {}, "again"}).digest == real->digests.at("amd64"));
  CHECK(code_of([&] { ask(*real, real->image("token", "layers:1"), {{}, {}, "old"}); }) == Code::denied);
}

TEST_CASE("a redirect to another server is followed without the credentials") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto image = ask(*real, real->image("redirecting", "layers:1"), real->credentials());
  CHECK(image.variable("CUDA_VERSION") == "12.4.1");
}

TEST_CASE("over TLS the certificate must be good, and for this name") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  const auto image = real->image("tls", "layers:1");
  ::unsetenv("SSL_CERT_FILE");
  const auto unknown = failure_of([&] { ask(*real, image); });
  CHECK(unknown.code() == Code::denied);
  CHECK(unknown.message().find("self-signed") != std::string::npos);
  ::setenv("SSL_CERT_FILE", real->certificate.c_str(), 1);
  CHECK(ask(*real, image).digest == real->digests.at("amd64"));
  auto other = image;
  other.registry = "localhost" + image.registry.substr(image.registry.find(':'));
  const auto mismatch = failure_of([&] { ask(*real, other); });
  ::unsetenv("SSL_CERT_FILE");
  CHECK(mismatch.code() == Code::denied);
  CHECK_MESSAGE(mismatch.message().find("hostname mismatch") != std::string::npos, mismatch.message());
}

TEST_CASE("asking is given up when we are told to stop") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  RegistryOptions options;
  std::stop_source stop;
  stop.request_stop();
  options.stop = stop.get_token();
  CHECK_THROWS_AS(ask(*real, real->image("plain", "layers:1"), {}, options), Cancelled);
}

}  // namespace berth::docker

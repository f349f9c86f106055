#include <doctest/doctest.h>

#include <algorithm>
#include <thread>

#include "runtime/docker/engine.hpp"
#include "tests/runtime/docker/failure.hpp"
#include "tests/support/real_engine.hpp"
#include "tests/support/skip.hpp"

namespace berth::docker {
namespace {

using namespace std::chrono_literals;
using test::failure_of;
using Lines = std::vector<std::string>;

// Pulls anew: what is here goes first, so that layers travel.
struct Pull {
  explicit Pull(const test::RealEngine& real_engine) : engine(real_engine.engine()) {
    engine.remove_image("berth-test/layers:1", true);
  }
  Image run(const Reference& image, const Credentials& credentials = {}) {
    return engine.pull(image, credentials, sink());
  }
  LineSink sink() {
    return [this](std::string_view line) { lines.emplace_back(line); };
  }
  bool told(const std::string& words) const {
    return std::ranges::any_of(lines, [&](const auto& line) { return line.find(words) != std::string::npos; });
  }
  std::string log() const {
    std::string all;
    for (const auto& line : lines) all += line + "\n";
    return all;
  }

  Engine engine;
  Lines lines;
};

}  // namespace

TEST_CASE("an image comes from a registry, and its log can be read") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  Pull pull(*real);
  const auto reference = real->image("plain", "layers:1");
  const auto image = pull.run(reference);
  INFO(pull.log());
  CHECK(image.variable("CUDA_VERSION") == "12.4.1");
  CHECK(pull.lines.front() == "pulling " + reference.text());
  CHECK(pull.told(": downloading 12"));
  CHECK(pull.told(": ready"));
  CHECK(pull.told("layers fetched, 24."));
  CHECK(pull.lines.size() < 20);

  Pull again(*real);
  again.run(reference);
  CHECK(again.told("no layer was fetched"));
  CHECK(pull.engine.remove_image(reference.text(), true));
}

TEST_CASE("an image comes by its digest, exactly") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  Pull pull(*real);
  const auto reference = real->image("plain", "layers:1").with_digest(real->digests.at("amd64"));
  const auto image = pull.run(reference);
  CHECK(std::ranges::any_of(image.digests,
                            [&](const auto& digest) { return digest.ends_with(real->digests.at("amd64")); }));
  const auto pinned = reference.name() + "@" + reference.digest;
  CHECK(pull.engine.image(pinned).id == image.id);
  CHECK(pull.engine.remove_image(pinned, true));
  const auto list = pull.run(real->image("plain", "layers:multi"));
  CHECK(list.id == image.id);
  pull.engine.remove_image(list.id, true);
}

TEST_CASE("an image that is not there, or for another machine, is told") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  Pull pull(*real);
  const auto missing = failure_of([&] { pull.run(real->image("plain", "layers:none")); });
  CHECK(missing.code() == Code::not_found);
  CHECK(missing.message().find("berth-test/layers:none") != std::string::npos);
  CHECK(failure_of([&] { pull.run(real->image("plain", "nothing:1")); }).code() == Code::not_found);
  const auto listed = failure_of([&] { pull.run(real->image("plain", "layers:only-arm")); });
  CHECK(listed.code() == Code::unsupported);
  const auto single = failure_of([&] { pull.run(real->image("plain", "layers:arm64")); });
  CHECK(single.code() == Code::unsupported);
  CHECK(single.message().find("arm64") != std::string::npos);
  pull.engine.remove_image(real->image("plain", "layers:arm64").text(), true);
}

TEST_CASE("a private image needs the right credentials") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  for (const std::string registry : {"basic", "token"}) {
    Pull pull(*real);
    const auto image = real->image(registry, "base:1");
    INFO(registry);
    const auto refused = failure_of([&] { pull.run(image); });
    CHECK_MESSAGE(refused.code() == Code::denied, refused.message());
    CHECK(failure_of([&] { pull.run(image, {real->user, "wrong", {}}); }).code() == Code::denied);
    CHECK(!pull.run(image, real->credentials()).id.empty());
    CHECK(pull.engine.remove_image(image.text()));
  }
}

TEST_CASE("a registry that is not there, or dies in the middle, is told as such") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  Pull pull(*real);
  const auto absent = failure_of([&] { pull.run(parse_reference("127.0.0.1:1/x:1")); });
  CHECK(absent.code() == Code::unavailable);
  CHECK(absent.message().find("cannot be reached") != std::string::npos);
  const auto dying = failure_of([&] { pull.run(real->image("dying", "layers:1")); });
  CHECK(dying.code() == Code::unavailable);
  CHECK_MESSAGE(dying.message().find("broke off") != std::string::npos, dying.message());
  CHECK(!pull.engine.find_image(real->image("dying", "layers:1").text()));
}

TEST_CASE("a pull that is stopped leaves no image") {
  const auto* real = test::real_engine();
  SKIP_UNLESS(real != nullptr, test::what_engine_lacks());
  Pull pull(*real);
  const auto reference = real->image("plain", "layers:1");
  std::stop_source stop;
  const auto stop_soon = [&](std::string_view line) {
    if (line.find("downloading") != std::string_view::npos) stop.request_stop();
  };
  CHECK_THROWS_AS(pull.engine.pull(reference, {}, stop_soon, stop.get_token()), Cancelled);
  std::this_thread::sleep_for(300ms);  // in which it might go on: that it does not has no other sign
  CHECK(!pull.engine.find_image(reference.text()));
}

}  // namespace berth::docker

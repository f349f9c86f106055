#include "runtime/docker/progress.hpp"

#include <doctest/doctest.h>

#include "tests/runtime/docker/failure.hpp"

namespace berth::docker {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

struct Pull {
  PullProgress::Clock::time_point now{};
  Lines lines;
  PullProgress progress{[this](std::string_view line) { lines.emplace_back(line); }, now};
  MessageStream stream{[this](const Message& message) { progress.take(message, now); }};

  void say(const std::string& status, const std::string& id, std::uint64_t current = 0, std::uint64_t total = 0) {
    stream.feed("{\"status\":\"" + status + "\",\"progressDetail\":{\"current\":" + std::to_string(current) +
                ",\"total\":" + std::to_string(total) + "},\"id\":\"" + id + "\"}\r\n");
  }
};

const std::string kOne = "0123456789ab";
const std::string kTwo = "ba9876543210";

}  // namespace

TEST_CASE("a pull tells one line per state of a layer, however often the engine speaks") {
  Pull pull;
  pull.say("Pulling from berth-test/layers", "1");
  pull.say("Already exists", kTwo);
  pull.say("Pulling fs layer", kOne);
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    pull.now += 3ms;
    pull.say("Downloading", kOne, i << 20, 1000 << 20);
  }
  pull.say("Verifying Checksum", kOne);
  pull.say("Download complete", kOne);
  for (std::uint64_t i = 1; i <= 100; ++i) pull.say("Extracting", kOne, i << 20, 1000 << 20);
  pull.say("Pull complete", kOne);
  pull.stream.feed("{\"status\":\"Digest: sha256:abc\"}\n{\"status\":\"Status: Downloaded newer image\"}\n");
  pull.progress.finish(pull.now);
  CAPTURE(pull.lines.back());
  CHECK(pull.lines == Lines{"layer " + kTwo + ": already here", "layer " + kOne + ": downloading 1000 MiB",
                            "layer " + kOne + ": downloaded", "layer " + kOne + ": ready",
                            "1 of 2 layers fetched, 1000.0 MiB in 3.0 seconds, 333.3 MiB/s"});
  CHECK(pull.progress.digest() == "sha256:abc");
}

TEST_CASE("a long pull tells its totals every five seconds") {
  Pull pull;
  for (std::uint64_t i = 1; i <= 120; ++i) {
    pull.now += 100ms;
    pull.say("Downloading", kOne, i << 20, 200 << 20);
  }
  REQUIRE(pull.lines.size() == 3);
  CHECK(pull.lines[1] == "0 of 1 layers ready, 50.0 MiB of 200.0 MiB downloaded, 10.0 MiB/s");
}

TEST_CASE("a pull that finds all there says so") {
  Pull pull;
  pull.progress.finish(pull.now);
  CHECK(pull.lines == Lines{"the image is up to date: no layer was fetched"});
}

TEST_CASE("messages are found however the stream is cut") {
  const std::string text =
      "{\"stream\":\"Step 1\\n\"}\n\r\n{\"errorDetail\":{\"message\":\"it "
      "broke\"},\"error\":\"x\"}\n{\"aux\":{\"ID\":\"sha256:1\"}}";
  for (std::size_t size = 1; size < text.size(); size += 7) {
    std::vector<Message> messages;
    MessageStream stream([&](const Message& message) { messages.push_back(message); });
    for (std::size_t at = 0; at < text.size(); at += size) stream.feed(std::string_view(text).substr(at, size));
    stream.finish();
    REQUIRE(messages.size() == 3);
    CHECK(messages[0].stream == "Step 1\n");
    CHECK(messages[1].error == "it broke");
    CHECK(messages[2].image_id == "sha256:1");
  }
}

TEST_CASE("what is no message is an error, and so is an endless one") {
  const auto feed = [](const std::string& text) {
    return test::code_of([&] {
      MessageStream stream([](const Message&) {});
      stream.feed(text);
      stream.finish();
    });
  };
  CHECK(feed("[1]\n") == Code::invalid);
  CHECK(feed("{\"a\":") == Code::invalid);
  CHECK(feed(std::string((1U << 20) + 1, ' ')) == Code::invalid);
}

TEST_CASE("a build's output comes in lines") {
  Lines lines;
  BuildProgress build([&](std::string_view line) { lines.emplace_back(line); }, {});
  const auto say = [&](const std::string& text) {
    Message message;
    message.stream = text;
    build.take(message, {});
  };
  say("Step 1/2 : FROM x\n");
  say("a");
  say("b\nc\r\n\n");
  say("last");
  say(std::string(100'000, 'z'));
  build.finish();
  CHECK(lines == Lines{"Step 1/2 : FROM x", "ab", "c", "last" + std::string(100'000, 'z')});
}

}  // namespace berth::docker

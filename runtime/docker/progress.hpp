#pragma once

// What the engine says while it pulls or builds, as lines for a build log: one per state of a layer, and
// totals now and then. The engine says it as JSON objects, one per line.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/base/error.hpp"

namespace berth::docker {

// Gets one line at a time, without its end.
using LineSink = std::function<void(std::string_view line)>;

// One message of a stream, as far as anybody here cares.
struct Message {
  std::string status;         // "Downloading"
  std::string id;             // a layer's, or a tag
  std::uint64_t current = 0;  // bytes
  std::uint64_t total = 0;
  std::string stream;    // of a build: its output
  std::string error;     // the stream's end, when it failed
  std::string image_id;  // of a build: "sha256:…"
};

// Cuts a stream into messages; lines longer than a megabyte, and what is no JSON object, are
// Error(Code::invalid).
class MessageStream {
 public:
  explicit MessageStream(std::function<void(const Message&)> sink) : sink_(std::move(sink)) {}
  void feed(std::string_view bytes);
  // What stands there without a line end.
  void finish();

 private:
  void line(std::string_view text);
  std::function<void(const Message&)> sink_;
  std::string partial_;
};

class PullProgress {
 public:
  using Clock = std::chrono::steady_clock;

  PullProgress(LineSink sink, Clock::time_point now) : sink_(std::move(sink)), began_(now), told_(now) {}
  void take(const Message& message, Clock::time_point now);
  // The last line: how much, how long.
  void finish(Clock::time_point now);
  // "sha256:…", when the engine said so.
  const std::string& digest() const { return digest_; }

 private:
  enum class State { known, downloading, downloaded, done };
  struct Layer {
    State state = State::known;
    std::uint64_t current = 0;
    std::uint64_t total = 0;
    bool was_here = false;
  };
  void layer(Layer& layer, const Message& message);
  void totals(Clock::time_point now);
  std::uint64_t bytes() const;

  LineSink sink_;
  Clock::time_point began_;
  Clock::time_point told_;  // when totals were last told
  std::map<std::string, Layer> layers_;
  std::string digest_;
};

// A build's output, cut into lines; progress of the pulls it makes is told like a pull's own.
class BuildProgress {
 public:
  BuildProgress(LineSink sink, PullProgress::Clock::time_point now) : sink_(sink), pull_(std::move(sink), now) {}
  void take(const Message& message, PullProgress::Clock::time_point now);
  void finish();
  const std::string& image_id() const { return image_id_; }

 private:
  LineSink sink_;
  PullProgress pull_;
  std::string partial_;
  std::string image_id_;
};

}  // namespace berth::docker

#include "runtime/docker/progress.hpp"

#include <array>
#include <cstdio>

#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"
#include "runtime/docker/json.hpp"

namespace berth::docker {
namespace {

constexpr std::size_t kLongestLine = 1U << 20;
constexpr std::size_t kLongestOutput = 64U << 10;  // of a build's line; more is told in pieces
constexpr std::chrono::seconds kTotalsEvery{5};

std::uint64_t count_of(const Json& object, const char* name) {
  const auto found = member(object, name);
  return found.is_number_unsigned() ? found.get<std::uint64_t>() : 0;
}

std::string mebibytes(double bytes) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.1f MiB", bytes / (1 << 20));
  return text.data();
}

std::string rate(std::uint64_t bytes, std::chrono::duration<double> time) {
  return mebibytes(static_cast<double>(bytes) / std::max(time.count(), 0.001)) + "/s";
}

// Layers go by twelve hexadecimal digits; a tag or a digest is no layer.
bool is_layer(const std::string& id) {
  return id.size() == 12 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

void MessageStream::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto end = bytes.find('\n');
    partial_ += bytes.substr(0, end);
    if (partial_.size() > kLongestLine) throw Error(Code::invalid, "the engine sent an endless line");
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    line(std::exchange(partial_, {}));
  }
}

void MessageStream::finish() { line(std::exchange(partial_, {})); }

void MessageStream::line(std::string_view text) {
  if (text.find_first_not_of(" \t\r") == std::string_view::npos) return;
  const auto json = json_or_null(text, kAnswerBounds);
  if (!json.is_object())
    throw Error(Code::invalid, "the engine sent what is no message: " + printable(text.substr(0, 200)));
  Message message;
  message.status = text_of(json, "status");
  message.id = text_of(json, "id");
  message.stream = text_of(json, "stream");
  message.error = text_of(member(json, "errorDetail"), "message");
  if (message.error.empty()) message.error = text_of(json, "error");
  message.image_id = text_of(member(json, "aux"), "ID");
  const auto detail = member(json, "progressDetail");
  message.current = count_of(detail, "current");
  message.total = count_of(detail, "total");
  sink_(message);
}

void PullProgress::take(const Message& message, Clock::time_point now) {
  constexpr std::string_view kDigest = "Digest: ";
  if (is_layer(message.id)) {
    layer(layers_[message.id], message);
    if (now - told_ >= kTotalsEvery) totals(now);
    return;
  }
  if (message.status.starts_with(kDigest)) digest_ = message.status.substr(kDigest.size());
}

// Says when a layer comes to a new state.
void PullProgress::layer(Layer& layer, const Message& message) {
  const auto& status = message.status;
  const auto say = [&](const std::string& what) { sink_("layer " + message.id + ": " + what); };
  const auto reach = [&](State state, const std::string& what) {
    if (layer.state < state) say(what);
    layer.state = std::max(layer.state, state);
  };
  if (status == "Downloading") {
    layer.current = message.current;
    layer.total = std::max(layer.total, message.total);
    if (message.total != 0) reach(State::downloading, "downloading " + to_text(ByteSize(message.total)));
  } else if (status == "Download complete") {
    layer.current = layer.total;
    reach(State::downloaded, "downloaded");
  } else if (status == "Extracting") {
    layer.current = layer.total = std::max(layer.total, message.total);
    reach(State::downloaded, "downloaded");
  } else if (status == "Pull complete") {
    reach(State::done, "ready");
  } else if (status == "Already exists") {
    layer.was_here = true;
    reach(State::done, "already here");
  } else if (status.starts_with("Retrying")) {
    say(printable(status));
  }
}

std::uint64_t PullProgress::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [id, layer] : layers_) sum += layer.current;
  return sum;
}

void PullProgress::totals(Clock::time_point now) {
  told_ = now;
  std::size_t done = 0;
  std::uint64_t total = 0;
  for (const auto& [id, layer] : layers_) {
    done += layer.state == State::done ? 1U : 0U;
    total += layer.total;
  }
  sink_(std::to_string(done) + " of " + std::to_string(layers_.size()) + " layers ready, " +
        mebibytes(static_cast<double>(bytes())) + " of " + mebibytes(static_cast<double>(total)) + " downloaded, " +
        rate(bytes(), now - began_));
}

void PullProgress::finish(Clock::time_point now) {
  std::size_t fetched = 0;
  for (const auto& [id, layer] : layers_) fetched += layer.was_here ? 0U : 1U;
  const auto time = std::chrono::duration_cast<std::chrono::microseconds>(now - began_);
  if (fetched == 0) return sink_("the image is up to date: no layer was fetched");
  sink_(std::to_string(fetched) + " of " + std::to_string(layers_.size()) + " layers fetched, " +
        mebibytes(static_cast<double>(bytes())) + " in " + to_words(time) + ", " + rate(bytes(), now - began_));
}

void BuildProgress::take(const Message& message, PullProgress::Clock::time_point now) {
  if (!message.image_id.empty()) image_id_ = message.image_id;
  if (!message.status.empty()) pull_.take(message, now);
  std::string_view text = message.stream;
  while (!text.empty()) {
    const auto end = text.find_first_of("\r\n");
    partial_ += text.substr(0, end);
    if (end == std::string_view::npos && partial_.size() < kLongestOutput) return;
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!partial_.empty()) sink_(std::exchange(partial_, {}));
  }
}

void BuildProgress::finish() {
  if (!partial_.empty()) sink_(std::exchange(partial_, {}));
}

}  // namespace berth::docker

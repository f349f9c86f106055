// The body of a log in frames, as an agent might send it. The first byte chooses how the input is cut into pieces; what
// is decoded must not depend on that, and is what was sent: encoded again it gives the same bytes.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/model/log_frame.hpp"
#include "runtime/base/error.hpp"

namespace {

using namespace berth;
using namespace berth::model;

struct Outcome {
  std::string frames;  // encoded again
  bool refused = false;
  bool operator==(const Outcome&) const = default;
};

Outcome decoded(std::string_view body, std::size_t piece) {
  Outcome outcome;
  LogFrameDecoder decoder;
  try {
    for (; !body.empty(); body.remove_prefix(std::min(piece, body.size())))
      decoder.feed(body.substr(0, piece), [&](const LogFrame& frame) {
        outcome.frames += encode(frame);
        return true;
      });
    decoder.finish();
  } catch (const Error& error) {
    if (error.code() != Code::corrupt) std::abort();
    outcome.refused = true;
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = decoded(body, size);
  if (!body.starts_with(whole.frames) || (!whole.refused && whole.frames.size() != body.size())) std::abort();
  if (!(decoded(body, data[0] + std::size_t{1}) == whole)) std::abort();
  return 0;
}

// The bytes that strangers send: a request's header and chunked body, its target, an answer, an error's JSON.
// The first byte chooses how the input is cut into pieces. Besides crashes, the result must not depend on the
// cutting.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "runtime/base/error.hpp"
#include "runtime/base/percent.hpp"
#include "runtime/http/error_json.hpp"
#include "runtime/http/request_parser.hpp"
#include "runtime/http/response_reader.hpp"
#include "runtime/http/target.hpp"

namespace {

using namespace berth;
using namespace berth::http;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Outcome {
  std::string method;
  std::string target;
  std::string body;
  std::size_t fields = 0;
  bool complete = false;
  bool refused = false;
};

Outcome request(std::string_view bytes, std::size_t step) {
  constexpr std::size_t kMostFields = 20;
  Outcome outcome;
  RequestParser parser(ByteSize(2048), kMostFields);
  std::string pending;
  std::string out(step + 3, '\0');
  try {
    while (!outcome.complete) {
      std::size_t taken = 0;
      if (!parser.head_done() && !pending.empty()) {
        taken = parser.feed_head(pending);
        require(taken <= pending.size());
      } else if (parser.head_done() && parser.head().chunked) {
        const auto progress = parser.feed_chunked(pending, out);
        require(progress.taken <= pending.size() && progress.produced <= out.size());
        outcome.body.append(out, 0, progress.produced);
        taken = progress.taken;
      }
      pending.erase(0, taken);
      outcome.complete = parser.head_done() && (!parser.head().chunked || parser.body_done());
      if (taken > 0 || outcome.complete) continue;
      if (bytes.empty()) break;
      pending += bytes.substr(0, step);
      bytes.remove_prefix(std::min(step, bytes.size()));
    }
  } catch (const Error&) {
    outcome.refused = true;
  }
  outcome.method = parser.head().method;
  outcome.target = parser.head().target;
  outcome.fields = parser.head().headers.size();
  require(outcome.fields <= kMostFields);
  return outcome;
}

void target(std::string_view text) {
  try {
    const auto parsed = parse_target(text);
    for (const auto& segment : parsed.segments) {
      require(!segment.empty() && segment != "." && segment != ".." && segment.size() <= kLongestSegment);
      require(percent_decode(percent_encoded(segment)) == segment);
    }
  } catch (const Error&) {
  }
}

std::string answer(std::string_view bytes, std::size_t step) {
  std::string body;
  ResponseReader reader(false, [&](std::string_view piece) { body += piece; });
  try {
    while (!bytes.empty() && !reader.done()) {
      const auto taken = reader.feed(bytes.substr(0, step));
      require(taken > 0 && taken <= bytes.size());
      bytes.remove_prefix(taken);
    }
    reader.end_of_input();
    if (reader.status() >= 400) static_cast<void>(error_from_response(reader.status(), body).describe());
  } catch (const Error&) {
    return "refused";
  }
  return body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t step = 1 + data[0] % 32;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto cut = request(text, step);
  const auto whole = request(text, text.size() + 1);
  if (cut.complete && whole.complete) require(cut.target == whole.target && cut.body == whole.body);
  target(text);
  target(cut.target);
  require(answer(text, step) == answer(text, text.size() + 1));
  static_cast<void>(error_from_response(404, text));
  return 0;
}

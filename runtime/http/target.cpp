#include "runtime/http/target.hpp"

#include <algorithm>
#include <utility>

#include "runtime/base/error.hpp"
#include "runtime/base/percent.hpp"
#include "runtime/base/text.hpp"

namespace berth::http {
namespace {

[[noreturn]] void malformed(std::string_view what) {
  throw Error(Code::invalid, "malformed request target: " + std::string(what));
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string decode_bounded(std::string_view text) {
  auto decoded = percent_decode(text);
  if (decoded.size() > kLongestSegment) malformed("a part is too long");
  if (std::ranges::any_of(decoded, is_control)) malformed("a control character");
  if (!is_utf8(decoded)) malformed("not UTF-8");
  return decoded;
}

// Calls part(text) for what stands between the separators.
template <class Part>
void split(std::string_view text, char separator, Part part) {
  while (true) {
    const auto end = text.find(separator);
    part(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string> parse_segments(std::string_view path) {
  std::vector<std::string> segments;
  if (path == "/") return segments;
  split(path.substr(1), '/', [&](std::string_view part) {
    auto segment = decode_bounded(part);
    if (segment.empty() || segment == "." || segment == "..") malformed("an empty or dot segment");
    segments.push_back(std::move(segment));
  });
  return segments;
}

Query parse_query(std::string_view text) {
  Query query;
  if (text.empty()) return query;
  split(text, '&', [&](std::string_view pair) {
    if (pair.empty()) return;
    const auto equals = pair.find('=');
    auto decode = [](std::string_view part) {
      std::string spaced(part);
      std::ranges::replace(spaced, '+', ' ');
      return decode_bounded(spaced);
    };
    auto name = decode(pair.substr(0, equals));
    query[std::move(name)] = equals == std::string_view::npos ? std::string() : decode(pair.substr(equals + 1));
  });
  return query;
}

}  // namespace

std::string percent_decode(std::string_view text) {
  if (has_broken_escape(text)) malformed("a bad percent escape");
  return percent_decoded(text);
}

Target parse_target(std::string_view text) {
  if (!text.starts_with('/')) malformed("it must begin with /");
  if (text.find('#') != std::string_view::npos) malformed("a fragment");
  const auto question = text.find('?');
  Target target;
  target.path = text.substr(0, question);
  target.segments = parse_segments(target.path);
  if (question != std::string_view::npos) target.query = parse_query(text.substr(question + 1));
  return target;
}

}  // namespace berth::http

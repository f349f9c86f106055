#include "agent/model/log_frame.hpp"

#include <limits>
#include <optional>

#include "runtime/base/error.hpp"

namespace berth::model {
namespace {

constexpr std::size_t kHeader = 28;
constexpr std::uint64_t kMostAttempts = std::numeric_limits<int>::max();

void put(std::string& to, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) to += static_cast<char>(value >> (8 * i) & 0xff);
}

// Takes a number off the front.
std::uint64_t take(std::string_view& from, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i)
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  from.remove_prefix(bytes);
  return value;
}

struct Header {
  std::uint64_t kind = 0;
  std::uint64_t attempt = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t length = 0;  // of the text
};

Header header_of(const LogFrame& frame) {
  Header header;
  header.kind = static_cast<std::uint64_t>(frame.kind);
  header.attempt = static_cast<std::uint64_t>(frame.attempt);
  header.begin = frame.begin;
  header.end = frame.end;
  header.length = frame.text.size();
  return header;
}

Header header_of(std::string_view bytes) {
  Header header;
  header.kind = take(bytes, 4);
  header.attempt = take(bytes, 4);
  header.begin = take(bytes, 8);
  header.end = take(bytes, 8);
  header.length = take(bytes, 4);
  return header;
}

// nullptr for none.
const char* mistake_in(const Header& header) {
  if (header.kind > static_cast<std::uint64_t>(LogFrame::Kind::left_out)) return "it is of an unknown kind";
  if (header.attempt > kMostAttempts) return "its attempt is no number of one";
  if (header.end <= header.begin) return "it does not end behind its beginning";
  if (header.length == 0 || header.length > LogFrame::kLongestText)
    return "its text is not of a length that it may have";
  const bool is_text = header.kind == static_cast<std::uint64_t>(LogFrame::Kind::text);
  if (is_text && header.length != header.end - header.begin) return "its text is not as long as it says";
  return nullptr;
}

Error malformed(const std::string& why) {
  return Error(Code::corrupt, "the agent's answer is not a log in frames: " + why,
               "berth and berthd are of different versions: use those of one package");
}

// The frame that the bytes begin with; nothing while it is not whole.
std::optional<LogFrame> first_frame(std::string_view bytes) {
  if (bytes.size() < kHeader) return std::nullopt;
  const auto header = header_of(bytes);
  if (const auto* mistake = mistake_in(header)) throw malformed(std::string("of a frame, ") + mistake);
  bytes.remove_prefix(kHeader);
  if (bytes.size() < header.length) return std::nullopt;
  LogFrame frame;
  frame.kind = static_cast<LogFrame::Kind>(header.kind);
  frame.attempt = static_cast<int>(header.attempt);
  frame.begin = header.begin;
  frame.end = header.end;
  frame.text = bytes.substr(0, static_cast<std::size_t>(header.length));
  return frame;
}

}  // namespace

std::string encode(const LogFrame& frame) {
  const auto header = header_of(frame);
  if (const auto* mistake = mistake_in(header))
    throw Error(Code::internal, std::string("a frame of a log cannot be sent: ") + mistake);
  std::string bytes;
  bytes.reserve(kHeader + frame.text.size());
  put(bytes, header.kind, 4);
  put(bytes, header.attempt, 4);
  put(bytes, header.begin, 8);
  put(bytes, header.end, 8);
  put(bytes, header.length, 4);
  return bytes += frame.text;
}

bool LogFrameDecoder::feed(std::string_view bytes, const OnFrame& on_frame) {
  unread_ += bytes;
  std::string_view rest = unread_;
  bool wanted = true;
  while (wanted) {
    const auto frame = first_frame(rest);
    if (!frame) break;
    rest.remove_prefix(kHeader + frame->text.size());
    wanted = on_frame(*frame);
  }
  unread_.erase(0, unread_.size() - rest.size());
  return wanted;
}

void LogFrameDecoder::finish() const {
  if (!unread_.empty()) throw malformed("it ends within a frame");
}

}  // namespace berth::model

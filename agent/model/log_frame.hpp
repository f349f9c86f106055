#pragma once

// A log on its way through the API with its offsets beside the text: a reader whose connection breaks goes on at the
// end of the last whole frame, whatever the log says. Agent and command line both use this.
//
// The body of an answer of the media type kLogFrames is frames, one after the other, each a header of 28 bytes,
// little-endian, and its text:
//   u32 kind     0  text of the log itself: as many bytes as there are between begin and end
//                1  a line in place of bytes that the log has no more, or never had
//   u32 attempt  whose log it is; 0 for a log that is no attempt's. An attempt has one log: a launch after which it was
//                launched again has written nothing.
//   u64 begin    the place in that log, in bytes, that the frame begins at
//   u64 end      the place to go on at, beyond begin
//   u32 length   of the text in bytes, 1 to kLongestText
// A format that differs has another media type, so that each side knows what it reads.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace berth::model {

inline constexpr std::string_view kLogFrames = "application/x-berth-log";

struct LogFrame {
  enum class Kind : std::uint32_t { text = 0, left_out = 1 };
  static constexpr std::size_t kLongestText = 128U << 10;

  Kind kind = Kind::text;
  int attempt = 0;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::string_view text;  // somebody else's
};

// The frame as it is sent. Code::internal for one that a reader would refuse.
std::string encode(const LogFrame& frame);

// Takes the body in pieces that end anywhere, and hands on each frame once it is whole. Of a frame that was cut off
// nothing is ever seen. Keeps no more than a frame and a piece.
class LogFrameDecoder {
 public:
  // The frame's text lives until it returns; false to take no more.
  using OnFrame = std::function<bool(const LogFrame& frame)>;

  // False once on_frame wants no more. Code::corrupt for what is no frame; nothing can be fed after that.
  bool feed(std::string_view bytes, const OnFrame& on_frame);
  // To be called at the body's proper end: Code::corrupt within a frame.
  void finish() const;

 private:
  std::string unread_;  // the beginning of a frame
};

}  // namespace berth::model

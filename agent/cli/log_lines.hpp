#pragma once

// A log on its way to the user: where in it we are, and when its lines were written. Pure.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "agent/cli/agent.hpp"
#include "runtime/base/clock.hpp"

namespace berth::cli {

// Counts the bytes of a log as they pass. A line that stands for a hole (runtime/logs: "[… 3 MiB left out
// (bytes 10–20) …]") moves the offset to the hole's end.
class LogPosition {
 public:
  explicit LogPosition(std::uint64_t offset = 0) : offset_(offset), line_start_(offset) {}
  void take(std::string_view bytes);
  std::uint64_t offset() const { return offset_; }

 private:
  void end_line();
  std::uint64_t offset_;
  std::uint64_t line_start_;
  std::string line_;  // the beginning of the current line, as long as it may be a hole's
};

// Tells when a byte was written: by the index where it reaches, else by `later`.
class LogTimes {
 public:
  using Later = std::function<Instant()>;
  LogTimes(LogIndex index, Later later) : index_(std::move(index)), later_(std::move(later)) {}
  Instant at(std::uint64_t offset) const;

 private:
  LogIndex index_;
  Later later_;
};

// Cuts a log into lines and hands each on with its time. A line is handed on when its end has come, or when
// it has grown to 64 KiB, or at finish().
class TimedLines {
 public:
  // `text` is without its line end; `complete` is false where a long line goes on in the next call.
  using OnLine =
      std::function<void(std::uint64_t offset, Instant time, std::string_view text, bool complete)>;
  TimedLines(LogTimes times, std::uint64_t offset, OnLine on_line);
  void take(std::string_view bytes);
  void finish();

 private:
  void hand_on(bool complete);
  LogTimes times_;
  LogPosition position_;
  OnLine on_line_;
  std::string line_;
  std::uint64_t line_offset_ = 0;
  Instant line_time_{};
};

// "2026-03-14 16:09:26.535  " in the zone of TZ.
std::string time_prefix(Instant time);
// {"offset":0,"time":"2026-03-14T15:09:26.535897Z","text":"epoch 1"} and a line end; bytes that are not UTF-8
// become U+FFFD.
std::string json_line(std::uint64_t offset, Instant time, std::string_view text);

}  // namespace berth::cli

#pragma once

// A log on its way to the user: where its lines begin, and when they were written. Pure.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "agent/cli/agent.hpp"
#include "runtime/base/clock.hpp"

namespace berth::cli {

// Tells when a byte was written: by the index where it reaches, else by `later`.
class LogTimes {
 public:
  using Later = std::function<Instant()>;
  LogTimes(LogIndex index, Later later) : index_(std::move(index)), later_(std::move(later)) {}
  Instant at(std::uint64_t offset) const;
  // From here on it is asked about another log, of which there is no index.
  void leave_index() { index_.clear(); }

 private:
  LogIndex index_;
  Later later_;
};

// Cuts a log into lines and hands each on with its time. A line is handed on when its end has come, or when
// it has grown to 64 KiB, or when another attempt's log begins, or at finish().
class TimedLines {
 public:
  // `text` is without its line end; `complete` is false where a long line goes on in the next call. `offset` is that of
  // the line's first byte in the log of its attempt; of a line for a hole, the hole's beginning.
  using OnLine = std::function<void(std::uint64_t offset, Instant time, std::string_view text, bool complete)>;
  // `times` are those of the log that comes first.
  TimedLines(LogTimes times, OnLine on_line);
  void take(const model::LogFrame& frame);
  void finish();

 private:
  void hand_on(bool complete);
  LogTimes times_;
  OnLine on_line_;
  std::optional<int> attempt_;  // whose log it is in
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

#pragma once

// Reads a log by offset while it grows. Where bytes were left out, the text of the hole stands in for them:
// one line that says how much is missing. So it is where the job itself made a long hole in its log (it has the
// file open, and may make it as long as it likes): what was never written is not sent. Offsets are those of the
// whole log, so a reader resumes at any of them. No call takes longer for a longer log.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "runtime/base/clock.hpp"
#include "runtime/logs/index.hpp"
#include "runtime/os/fd.hpp"

namespace berth::logs {

class LogReader {
 public:
  // Throws Code::not_found while there is no log. The index may be missing.
  LogReader(const std::string& log_path, const std::string& index_path);

  // The log's size, holes included; one system call.
  std::uint64_t size() const;

  struct Piece {
    std::size_t length = 0;  // bytes put into the buffer; 0 at the end of the log
    std::uint64_t next = 0;  // the offset to go on at
    bool left_out = false;   // the buffer holds the line for a hole
  };
  // `buffer` has room for at least kLeastBuffer bytes.
  static constexpr std::size_t kLeastBuffer = 128;
  Piece read(std::uint64_t offset, std::span<char> buffer);

  // Where the last `lines` lines begin; a hole counts as a line, and nothing before the last one is looked
  // at.
  std::uint64_t tail(std::uint64_t lines);
  // Where the line begins in which the first byte written at `time` or later may lie.
  std::uint64_t since(Instant time);
  // Both go back from where they begin by no more than this, and end there otherwise: gave_up() tells so of the last
  // one. They read a file: for another thread than a loop's.
  static constexpr std::uint64_t kFarthestBack = 64U << 20;
  bool gave_up() const { return gave_up_; }

  // When the byte at `offset` was written; nothing while no mark covers it.
  std::optional<Instant> time_at(std::uint64_t offset) { return index_.time_at(offset); }
  // As of the last read.
  const std::vector<Hole>& holes() const { return index_.holes(); }
  const std::optional<ByteSize>& limit_not_kept() const { return index_.limit_not_kept(); }

 private:
  Piece notice(std::uint64_t offset, Hole hole, std::span<char> buffer) const;
  // The last hole that the index knows to begin before `offset`, as far as there.
  Hole last_hole(std::uint64_t offset) const;
  // A long hole that begins in [begin, end), or holds `begin`.
  std::optional<Hole> hole_within(std::uint64_t begin, std::uint64_t end) const;
  // The one that the bytes before `end` are part of.
  std::optional<Hole> hole_before(std::uint64_t end) const;
  std::uint64_t first_data(std::uint64_t offset) const;
  // A line's beginning, or what came first: a hole (empty where it is the log's beginning, or too far).
  struct LineStart {
    std::optional<std::uint64_t> offset;
    Hole hole;
  };
  LineStart line_start(std::uint64_t offset, std::uint64_t newlines);
  os::Fd log_;
  bool gave_up_ = false;
  IndexReader index_;
};

}  // namespace berth::logs

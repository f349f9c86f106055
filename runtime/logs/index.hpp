#pragma once

// The index beside a log file: when the log had which size, and which bytes of it were left out.
//
// On disk: a header and records of 16 bytes each, little-endian, only ever appended.
//   header  "BERTHLOG", u16 major, u16 minor, u32 zero
//   record  u64 = kind << 56 | a, u64 = b
//     kind 1  at the time b (microseconds since the epoch) the log had a bytes; a and b never decrease
//     kind 2  the bytes [a, b) were left out; later holes may contain earlier ones
//     kind 3  the size limit a cannot be kept here, since the file system cannot punch holes
// A reader skips kinds it does not know and ignores an incomplete last record; a writer writes over it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/clock.hpp"
#include "runtime/base/units.hpp"
#include "runtime/os/fd.hpp"

namespace berth::logs {

struct Mark {
  std::uint64_t size = 0;
  Instant time{};
  friend bool operator==(const Mark&, const Mark&) = default;
};

struct Hole {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t size() const { return end - begin; }
  friend bool operator==(const Hole&, const Hole&) = default;
};

// Appends to an index, made with its first record when missing and continued when not; one writer at a time. Space for
// some holes is kept in reserve, because punching one is what helps when the disk is full. Nothing here throws for a
// full disk.
class IndexWriter {
 public:
  explicit IndexWriter(std::string path);

  // False when there was no room.
  bool mark(Mark mark);
  bool hole(Hole hole);
  bool limit_not_kept(ByteSize limit);
  std::uint64_t records() const;
  // What an earlier writer left.
  const std::optional<Mark>& last_mark() const { return last_mark_; }
  const std::optional<Hole>& last_hole() const { return last_hole_; }

 private:
  bool append(std::uint64_t kind, std::uint64_t a, std::uint64_t b, std::uint64_t spare);
  bool reserve(std::uint64_t end);
  void begin();
  void resume();
  std::string path_;
  os::Fd file_;  // none before the first record
  std::uint64_t end_ = 0;       // of the last complete record, or of the header; 0 before that is written
  std::uint64_t reserved_ = 0;  // the file has disk space up to here
  std::optional<Mark> last_mark_;
  std::optional<Hole> last_hole_;
};

// Reads an index that may be growing, or not be there yet.
class IndexReader {
 public:
  explicit IndexReader(std::string path);

  // Takes notice of what was appended since. Cheap when nothing was.
  void refresh();
  // Disjoint and in order, as of the last refresh.
  const std::vector<Hole>& holes() const { return holes_; }
  // Told when the log's size limit cannot be kept.
  const std::optional<ByteSize>& limit_not_kept() const { return limit_not_kept_; }

  // When the byte at `offset` was written, no earlier than said; nothing when no mark covers it yet.
  std::optional<Instant> time_at(std::uint64_t offset);
  // In order: at most one for each 50 ms in which something was written, and where they are more than some hundred
  // thousand, evenly fewer, but the last one. Reads the whole index: for another thread than a loop's.
  std::vector<Mark> marks();
  // Everything written at `time` or later lies at or after this offset.
  std::uint64_t offset_at(Instant time);

 private:
  bool open();
  void add_hole(Hole hole);
  std::string path_;
  os::Fd file_;
  std::uint64_t seen_ = 0;
  std::vector<Hole> holes_;
  std::optional<ByteSize> limit_not_kept_;
};

}  // namespace berth::logs

#pragma once

// Keeps the index and the size limit of one growing log. Whoever writes the log, or is woken when it grows,
// calls observe(); nothing here stands between the writer and its file, and nothing here throws for a full
// disk.
//
// The limit keeps head and tail: once more than limit + slack (an eighth of it, at most 64 MiB) is stored, a
// hole is punched so that half the limit stays at each end. Between two looks at a fast writer the file may
// be larger.
//
// The index grows with the time during which there is output, not with its amount: at most one mark per 50 ms
// for the first 65,536 marks (1 MiB), and each further 65,536 take twice as long as those before, up to 3.2 s
// a mark. A month of uninterrupted output makes some 11 MiB.

#include <chrono>
#include <cstdint>
#include <string>

#include "runtime/base/clock.hpp"
#include "runtime/base/units.hpp"
#include "runtime/logs/index.hpp"
#include "runtime/os/fd.hpp"

namespace berth::logs {

// How long to wait between two looks at a log that grows.
inline constexpr std::chrono::milliseconds kLookInterval{50};

class LogCap {
 public:
  // `log` is open for writing and outlives this, as the clock does.
  LogCap(const os::Fd& log, const std::string& index_path, ByteSize limit, const Clock& clock = system_clock());

  // True when it should be called again after kLookInterval: the log has grown, or has bytes no mark covers
  // yet.
  bool observe();
  // The last mark.
  void finish();
  // The log's size, holes included.
  std::uint64_t size() const;

 private:
  void keep_limit(std::uint64_t size);
  bool can_punch(std::uint64_t size);
  std::chrono::milliseconds mark_interval() const;

  const os::Fd& log_;
  const Clock& clock_;
  IndexWriter index_;
  std::uint64_t limit_;
  std::uint64_t seen_ = 0;
  Hole hole_;
  Steady marked_{};
  enum class Punching { unknown, works, refused } punching_ = Punching::unknown;
};

}  // namespace berth::logs

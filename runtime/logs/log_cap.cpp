#include "runtime/logs/log_cap.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/base/error.hpp"

namespace berth::logs {
namespace {

constexpr std::uint64_t kBlock = 4096;  // file systems with larger blocks zero the odd ends of a hole
constexpr std::uint64_t kLargestSlack = 64U << 20;
constexpr std::uint64_t kMarksPerInterval = 65536;
constexpr std::uint64_t kMostDoublings = 6;

constexpr std::uint64_t round_down(std::uint64_t value) { return value / kBlock * kBlock; }
constexpr std::uint64_t round_up(std::uint64_t value) { return round_down(value + kBlock - 1); }

bool punch(const os::Fd& file, std::uint64_t begin, std::uint64_t end) {
  return ::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                     static_cast<off_t>(end - begin)) == 0;
}

}  // namespace

LogCap::LogCap(const os::Fd& log, const std::string& index_path, ByteSize limit, const Clock& clock)
    : log_(log), clock_(clock), index_(index_path), limit_(limit.bytes()) {
  if (index_.last_mark()) seen_ = index_.last_mark()->size;
  if (index_.last_hole()) hole_ = *index_.last_hole();
}

std::uint64_t LogCap::size() const {
  struct stat info {};
  if (::fstat(log_.get(), &info) < 0) throw_errno("ask the size of", "a log");
  return static_cast<std::uint64_t>(info.st_size);
}

bool LogCap::observe() {
  const auto size = this->size();
  const bool grown = size != seen_;
  seen_ = size;
  if (grown) keep_limit(size);
  const auto marked = index_.last_mark() ? index_.last_mark()->size : 0;
  if (size <= marked) return grown;
  const auto now = clock_.steady();
  if (!index_.last_mark() || now - marked_ >= mark_interval()) {
    index_.mark({size, clock_.now()});
    marked_ = now;  // after a failure too: a full disk is not asked more often
    return grown;
  }
  return true;
}

void LogCap::finish() {
  observe();
  if (const auto size = this->size(); size > (index_.last_mark() ? index_.last_mark()->size : 0))
    index_.mark({size, clock_.now()});
}

std::chrono::milliseconds LogCap::mark_interval() const {
  return kLookInterval * (1 << std::min(index_.records() / kMarksPerInterval, kMostDoublings));
}

void LogCap::keep_limit(std::uint64_t size) {
  const auto slack = std::min(limit_ / 8, kLargestSlack);
  if (limit_ == 0 || size < hole_.size() || size - hole_.size() <= limit_ + slack || !can_punch(size)) return;
  // Whole blocks only, and never less than half the limit at either end.
  const Hole wanted{hole_.size() > 0 ? hole_.begin : round_up(limit_ / 2), round_down(size - limit_ / 2)};
  const auto begin = std::max(wanted.begin, hole_.end);
  if (begin >= wanted.end) return;
  // The record comes first: a reader that meets the zeros of a hole must find it in the index.
  if (!index_.hole(wanted)) return;
  if (!punch(log_, begin, wanted.end)) return;
  hole_ = wanted;
}

bool LogCap::can_punch(std::uint64_t size) {
  if (punching_ == Punching::unknown) {
    const auto behind = round_up(size) + (std::uint64_t{1} << 40);  // where there is nothing to lose
    punching_ = punch(log_, behind, behind + kBlock) ? Punching::works : Punching::refused;
    if (punching_ == Punching::refused) index_.limit_not_kept(ByteSize(limit_));
  }
  return punching_ == Punching::works;
}

}  // namespace berth::logs

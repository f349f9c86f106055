#include "runtime/logs/index.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/beneath.hpp"

namespace berth::logs {
namespace {

constexpr std::string_view kMagic = "BERTHLOG";
constexpr std::uint16_t kMajor = 1;
constexpr std::uint16_t kMinor = 0;
constexpr std::uint64_t kRecord = 16;  // the header's size too
constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kSpareForHoles = 32 * kRecord;
constexpr std::uint64_t kValueMask = (std::uint64_t{1} << 56) - 1;

constexpr std::size_t kMostMarks = 1U << 17;  // in one answer

enum Kind : std::uint64_t { kMark = 1, kHole = 2, kLimitNotKept = 3 };

void put(char* to, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) to[i] = static_cast<char>(value >> (8 * i));
}

std::uint64_t get(const char* from, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i)
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  return value;
}

std::array<char, kRecord> header() {
  std::array<char, kRecord> bytes{};
  std::copy(kMagic.begin(), kMagic.end(), bytes.begin());
  put(bytes.data() + 8, kMajor, 2);
  put(bytes.data() + 10, kMinor, 2);
  return bytes;
}

void check_header(const os::Fd& file, const std::string& path) {
  std::array<char, kRecord> bytes{};
  if (os::read_at(file, bytes, 0) != bytes.size() || !std::string_view(bytes.data(), bytes.size()).starts_with(kMagic))
    throw Error(Code::corrupt, printable(path) + " is not the index of a log");
  if (const auto major = get(bytes.data() + 8, 2); major > kMajor)
    throw Error(Code::unsupported,
                printable(path) + " has format version " + std::to_string(major) + ", newer than this program knows",
                "upgrade Berth");
}

std::uint64_t size_of(const os::Fd& file) {
  struct stat info {};
  if (::fstat(file.get(), &info) < 0) throw_errno("ask the size of", "a log's index");
  return static_cast<std::uint64_t>(info.st_size);
}

// Calls visit(kind, a, b) for each complete record from `from` on until it returns false; where it ended.
template <class Visit>
std::uint64_t each_record(const os::Fd& file, std::uint64_t from, Visit visit) {
  std::array<char, 1024 * kRecord> buffer;
  for (;;) {
    const auto length = os::read_at(file, buffer, from) / kRecord * kRecord;
    if (length == 0) return from;
    for (std::size_t at = 0; at < length; at += kRecord, from += kRecord) {
      const auto first = get(buffer.data() + at, 8);
      if (!visit(first >> 56, first & kValueMask, get(buffer.data() + at + 8, 8))) return from;
    }
  }
}

std::uint64_t time_bits(Instant time) { return static_cast<std::uint64_t>(to_unix_micros(time)); }
Instant time_from(std::uint64_t bits) { return from_unix_micros(static_cast<std::int64_t>(bits)); }

}  // namespace

IndexWriter::IndexWriter(std::string path) : path_(std::move(path)) {
  file_.reset(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  if (!file_ && errno != ENOENT) throw_errno("open", printable(path_));
  if (!file_ || size_of(file_) < kRecord) return;
  check_header(file_, path_);
  resume();
}

void IndexWriter::begin() {
  if (end_ != 0) return;
  if (!file_) file_ = os::open(path_, O_RDWR | O_CREAT, 0600);
  const auto bytes = header();
  os::write_all_at(file_, std::string_view(bytes.data(), bytes.size()), 0);
  end_ = kRecord;
}

void IndexWriter::resume() {
  end_ = each_record(file_, kRecord, [this](std::uint64_t kind, std::uint64_t a, std::uint64_t b) {
    if (kind == kMark) last_mark_ = Mark{a, time_from(b)};
    if (kind == kHole) last_hole_ = Hole{a, b};
    return true;
  });
  reserved_ = end_;
}

std::uint64_t IndexWriter::records() const { return end_ == 0 ? 0 : end_ / kRecord - 1; }

bool IndexWriter::mark(Mark mark) {
  if (last_mark_) mark = {std::max(mark.size, last_mark_->size), std::max(mark.time, last_mark_->time)};
  if (!append(kMark, mark.size, time_bits(mark.time), kSpareForHoles)) return false;
  last_mark_ = mark;
  return true;
}

bool IndexWriter::hole(Hole hole) {
  if (!append(kHole, hole.begin, hole.end, 0)) return false;
  last_hole_ = hole;
  return true;
}

bool IndexWriter::limit_not_kept(ByteSize limit) { return append(kLimitNotKept, limit.bytes(), 0, 0); }

bool IndexWriter::append(std::uint64_t kind, std::uint64_t a, std::uint64_t b, std::uint64_t spare) {
  std::array<char, kRecord> bytes{};
  put(bytes.data(), kind << 56 | (a & kValueMask), 8);
  put(bytes.data() + 8, b, 8);
  try {
    begin();
    if (!reserve(end_ + kRecord + spare)) return false;
    os::write_all_at(file_, std::string_view(bytes.data(), bytes.size()), end_);
  } catch (const Error&) {
    return false;  // what got written is overwritten by the next record
  }
  end_ += kRecord;
  return true;
}

bool IndexWriter::reserve(std::uint64_t end) {
  if (end <= reserved_) return true;
  const auto target = (end + kBlock - 1) / kBlock * kBlock;
  if (::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(target)) == 0) {
    reserved_ = target;
    return true;
  }
  if (errno == ENOSPC || errno == EDQUOT) return false;
  reserved_ = std::numeric_limits<std::uint64_t>::max();  // this file system reserves nothing: writing will tell
  return true;
}

IndexReader::IndexReader(std::string path) : path_(std::move(path)) { refresh(); }

bool IndexReader::open() {
  if (file_) return true;
  std::optional<os::Fd> found;
  try {
    found = os::open_plain(path_, O_RDONLY);
  } catch (const Error& error) {
    if (error.code() == Code::not_found) return false;
    throw;
  }
  auto file = std::move(*found);
  if (size_of(file) < kRecord) return false;  // just being made
  check_header(file, path_);
  file_ = std::move(file);
  seen_ = kRecord;
  return true;
}

void IndexReader::refresh() {
  if (!open() || size_of(file_) < seen_ + kRecord) return;
  seen_ = each_record(file_, seen_, [this](std::uint64_t kind, std::uint64_t a, std::uint64_t b) {
    if (kind == kHole && a < b) add_hole({a, b});
    if (kind == kLimitNotKept) limit_not_kept_ = ByteSize(a);
    return true;
  });
}

void IndexReader::add_hole(Hole hole) {
  std::vector<Hole> merged;
  for (const auto& old : holes_) {
    if (old.end < hole.begin || hole.end < old.begin)
      merged.push_back(old);
    else
      hole = {std::min(hole.begin, old.begin), std::max(hole.end, old.end)};
  }
  merged.push_back(hole);
  std::sort(merged.begin(), merged.end(), [](const Hole& a, const Hole& b) { return a.begin < b.begin; });
  holes_ = std::move(merged);
}

std::optional<Instant> IndexReader::time_at(std::uint64_t offset) {
  std::optional<Instant> found;
  if (!open()) return found;
  each_record(file_, kRecord, [&](std::uint64_t kind, std::uint64_t size, std::uint64_t time) {
    if (kind == kMark && size > offset) found = time_from(time);
    return !found;
  });
  return found;
}

std::vector<Mark> IndexReader::marks() {
  std::vector<Mark> found;
  std::optional<Mark> last;
  std::uint64_t number = 0;
  std::uint64_t stride = 1;
  if (!open()) return found;
  each_record(file_, kRecord, [&](std::uint64_t kind, std::uint64_t size, std::uint64_t time) {
    if (kind != kMark) return true;
    if (number++ % stride == 0) found.push_back({size, time_from(time)});
    last = Mark{size, time_from(time)};
    if (found.size() < kMostMarks) return true;
    for (std::size_t i = 0; 2 * i < found.size(); ++i) found[i] = found[2 * i];
    found.resize(found.size() / 2);
    stride *= 2;
    return true;
  });
  if (last && found.back() != *last) found.push_back(*last);  // it tells how long the log is
  return found;
}

std::uint64_t IndexReader::offset_at(Instant time) {
  std::uint64_t offset = 0;
  if (!open()) return offset;
  each_record(file_, kRecord, [&](std::uint64_t kind, std::uint64_t size, std::uint64_t marked) {
    if (kind != kMark) return true;
    if (time_from(marked) >= time) return false;
    offset = size;
    return true;
  });
  return offset;
}

}  // namespace berth::logs

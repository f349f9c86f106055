#include "runtime/logs/reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "runtime/base/error.hpp"
#include "runtime/base/units.hpp"
#include "runtime/os/beneath.hpp"

namespace berth::logs {
namespace {

constexpr std::uint64_t kFarthest = std::uint64_t{1} << 62;  // no file is longer
constexpr std::uint64_t kLongHole = 1U << 20;  // a shorter one is read as what it is: zeros

}  // namespace

LogReader::LogReader(const std::string& log_path, const std::string& index_path)
    : log_(os::open_plain(log_path, O_RDONLY)), index_(index_path) {}

std::uint64_t LogReader::size() const {
  struct stat info {};
  if (::fstat(log_.get(), &info) < 0) throw_errno("ask the size of", "a log");
  return static_cast<std::uint64_t>(info.st_size);
}

LogReader::Piece LogReader::read(std::uint64_t offset, std::span<char> buffer) {
  if (buffer.size() < kLeastBuffer) throw Error(Code::internal, "a log is read into too small a buffer");
  if (offset > kFarthest) return {0, offset, false};
  // The index after the bytes: a hole is recorded before it is punched, so its zeros cannot be taken for
  // text.
  const auto length = os::read_at(log_, buffer, offset);
  index_.refresh();
  auto end = offset + length;
  for (const auto& hole : index_.holes()) {
    if (hole.begin <= offset && offset < hole.end) return notice(offset, hole, buffer);
    if (offset < hole.begin) end = std::min(end, hole.begin);
  }
  if (end > offset && buffer[static_cast<std::size_t>(end - offset) - 1] == '\0') {
    // A long hole reaches beyond this piece, which then ends in a zero.
    if (auto hole = hole_within(offset, end)) {
      for (const auto& known : index_.holes())
        if (hole->begin < known.begin) hole->end = std::min(hole->end, known.begin);
      if (hole->begin == offset) return notice(offset, *hole, buffer);
      end = hole->begin;
    }
  }
  return {static_cast<std::size_t>(end - offset), end, false};
}

LogReader::Piece LogReader::notice(std::uint64_t offset, Hole hole, std::span<char> buffer) const {
  std::array<char, 1> before{'\n'};
  if (hole.begin > 0) os::read_at(log_, before, hole.begin - 1);
  std::string text = before[0] == '\n' ? "" : "\n";
  text += "[… " + to_text(ByteSize(hole.end - offset)) + " left out (bytes " + std::to_string(offset) + "–" +
          std::to_string(hole.end) + ") …]\n";
  std::copy(text.begin(), text.end(), buffer.begin());
  return {text.size(), hole.end, true};
}

Hole LogReader::last_hole(std::uint64_t offset) const {
  Hole last;
  for (const auto& hole : index_.holes())
    if (hole.begin < offset) last = {hole.begin, std::min(hole.end, offset)};
  return last;
}

// Where the next byte lies that was written; the log's end when none was.
std::uint64_t LogReader::first_data(std::uint64_t offset) const {
  const auto data = ::lseek(log_.get(), static_cast<off_t>(offset), SEEK_DATA);
  if (data >= 0) return static_cast<std::uint64_t>(data);
  return errno == ENXIO ? std::max(offset, size()) : offset;  // a file system that does not know has no holes
}

std::optional<Hole> LogReader::hole_within(std::uint64_t begin, std::uint64_t end) const {
  while (begin < end) {
    const auto found = ::lseek(log_.get(), static_cast<off_t>(begin), SEEK_HOLE);
    if (found < 0 || static_cast<std::uint64_t>(found) >= end) return std::nullopt;
    const Hole hole{static_cast<std::uint64_t>(found), first_data(static_cast<std::uint64_t>(found))};
    if (hole.size() >= kLongHole) return hole;
    if (hole.end <= begin) return std::nullopt;
    begin = hole.end;
  }
  return std::nullopt;
}

// Whether something was written in [x, end) is true up to the last written byte and false from there on, so halving
// finds that in a hole of any length.
std::optional<Hole> LogReader::hole_before(std::uint64_t end) const {
  if (end < kLongHole || first_data(end - kLongHole) < end) return std::nullopt;
  std::uint64_t written = 0;  // something was in [written, end), or nothing ever
  std::uint64_t empty = end - kLongHole;
  if (first_data(0) >= end) return Hole{0, first_data(end - 1)};
  while (empty - written > 1) {
    const auto middle = written + (empty - written) / 2;
    (first_data(middle) < end ? written : empty) = middle;
  }
  return Hole{empty, first_data(end - 1)};
}

// Going back from `offset`, just behind the newline met after `newlines` others.
LogReader::LineStart LogReader::line_start(std::uint64_t offset, std::uint64_t newlines) {
  const auto known = last_hole(offset);
  gave_up_ = false;
  const auto least = std::max(known.end, offset - std::min(offset, kFarthestBack));
  std::vector<char> buffer(64U << 10);
  while (offset > least) {
    const auto begin = offset - std::min<std::uint64_t>(offset - least, buffer.size());
    auto length = os::read_at(log_, std::span(buffer).first(static_cast<std::size_t>(offset - begin)), begin);
    if (length > 0 && buffer[length - 1] == '\0')
      if (const auto hole = hole_before(offset)) return {std::nullopt, *hole};
    while (length-- > 0) {
      if (buffer[length] != '\n') continue;
      if (newlines-- == 0) return {begin + length + 1, {}};
    }
    offset = begin;
  }
  if (least == known.end) return {std::nullopt, known};
  gave_up_ = true;
  return {std::nullopt, {least, least}};
}

std::uint64_t LogReader::tail(std::uint64_t lines) {
  index_.refresh();
  const auto end = size();
  if (lines == 0 || end == 0) return end;
  std::array<char, 1> last{};
  os::read_at(log_, last, end - 1);
  // The newline that ends the last line is not the one before it.
  const auto start = line_start(end, last[0] == '\n' ? lines : lines - 1);
  return start.offset.value_or(start.hole.begin);
}

std::uint64_t LogReader::since(Instant time) {
  index_.refresh();
  const auto offset = std::min(index_.offset_at(time), size());
  if (offset == 0) return 0;
  const auto start = line_start(offset, 0);
  return start.offset.value_or(start.hole.end);
}

}  // namespace berth::logs

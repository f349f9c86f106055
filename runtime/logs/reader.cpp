#include "runtime/logs/reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <limits>

#include "runtime/base/error.hpp"
#include "runtime/base/units.hpp"
#include "runtime/os/beneath.hpp"

namespace berth::logs {
namespace {

constexpr std::uint64_t kNowhere = std::numeric_limits<std::uint64_t>::max();

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
  // The index after the bytes: a hole is recorded before it is punched, so its zeros cannot be taken for
  // text.
  const auto length = os::read_at(log_, buffer, offset);
  index_.refresh();
  auto end = offset + length;
  for (const auto& hole : index_.holes()) {
    if (hole.begin <= offset && offset < hole.end) return notice(offset, hole, buffer);
    if (offset < hole.begin) end = std::min(end, hole.begin);
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

std::uint64_t LogReader::floor(std::uint64_t offset) const {
  std::uint64_t end = 0;
  for (const auto& hole : index_.holes())
    if (hole.begin < offset) end = std::min(hole.end, offset);
  return end;
}

// Going back from `offset`, just behind the newline met after `newlines` others; kNowhere where a hole or the
// beginning comes first.
std::uint64_t LogReader::line_start(std::uint64_t offset, std::uint64_t newlines) {
  const auto least = floor(offset);
  std::array<char, 16384> buffer;
  while (offset > least) {
    const auto begin = offset - std::min<std::uint64_t>(offset - least, buffer.size());
    auto length = os::read_at(log_, std::span(buffer).first(static_cast<std::size_t>(offset - begin)), begin);
    while (length-- > 0) {
      if (buffer[length] != '\n') continue;
      if (newlines-- == 0) return begin + length + 1;
    }
    offset = begin;
  }
  return kNowhere;
}

std::uint64_t LogReader::tail(std::uint64_t lines) {
  index_.refresh();
  const auto end = size();
  if (lines == 0 || end == 0) return end;
  std::array<char, 1> last{};
  os::read_at(log_, last, end - 1);
  // The newline that ends the last line is not the one before it.
  const auto start = line_start(end, last[0] == '\n' ? lines : lines - 1);
  if (start != kNowhere) return start;
  for (auto hole = index_.holes().rbegin(); hole != index_.holes().rend(); ++hole)
    if (hole->begin < end) return hole->begin;
  return 0;
}

std::uint64_t LogReader::since(Instant time) {
  index_.refresh();
  const auto offset = std::min(index_.offset_at(time), size());
  if (offset == 0) return 0;
  const auto start = line_start(offset, 0);
  return start != kNowhere ? start : floor(offset);
}

}  // namespace berth::logs

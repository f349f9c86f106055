#include "agent/cli/progress.hpp"

#include <unistd.h>

#include <algorithm>

#include "agent/cli/output.hpp"
#include "runtime/base/units.hpp"

namespace berth::cli {
namespace {

constexpr std::uint64_t kWorthABar = 8U << 20;
constexpr std::chrono::milliseconds kBetweenDrawings{100};
constexpr std::chrono::seconds kWorthALine{2};
constexpr std::uint64_t kBarWidth = 20;

}  // namespace

Progress::Progress(std::string what) : what_(std::move(what)), terminal_(::isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (shown_) print_error("\r\x1b[K");
}

void Progress::update(std::uint64_t done, std::uint64_t total) {
  if (!terminal_ || total < kWorthABar) return;
  const auto now = Clock::now();
  if (now - drawn_ < kBetweenDrawings && done < total) return;
  drawn_ = now;
  shown_ = true;
  print_error("\r\x1b[K" + progress_bar(what_, done, total));
}

void Progress::finish(const std::string& sentence) {
  if (shown_) print_error("\r\x1b[K");
  shown_ = false;
  const auto took = Clock::now() - begin_;
  if (took > kWorthALine)
    remark(sentence + " in " + to_words(std::chrono::duration_cast<std::chrono::microseconds>(took)));
}

std::string progress_bar(const std::string& what, std::uint64_t done, std::uint64_t total) {
  done = std::min(done, total);
  const auto part = total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
  const auto filled = static_cast<std::size_t>(part * kBarWidth);
  const auto percent = std::to_string(static_cast<int>(part * 100));
  return what + "  [" + std::string(filled, '#') + std::string(kBarWidth - filled, ' ') + "] " +
         std::string(3 - std::min<std::size_t>(percent.size(), 3), ' ') + percent + "%  " + to_text(ByteSize(done)) +
         " of " + to_text(ByteSize(total));
}

}  // namespace berth::cli

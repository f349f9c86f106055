#include "runtime/environment/build_failure.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>
#include <vector>

#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"
#include "runtime/os/process.hpp"

namespace berth::environment {
namespace {

constexpr std::size_t kMostLines = 8;
constexpr std::size_t kLinesSearched = 40;
constexpr std::size_t kLinesOtherwise = 3;
constexpr std::size_t kLongestLine = 300;
constexpr std::size_t kLongest = 1200;

using Markers = std::span<const std::string_view>;
constexpr std::array<std::string_view, 9> kComplaints{
    "error", "×", "could not", "cannot", "no solution", "nothing provides", "fatal", "unsatisf", "not created"};
constexpr std::array<std::string_view, 8> kNoSpace{
    "no space left on device", "os error 28", "errno 28", "disk quota exceeded", "os error 122", "errno 122", "enospc",
    "not enough space"};
// The last of pip's tries; what uv, curl and the resolver say.
constexpr std::array<std::string_view, 16> kNoNetwork{"retry(total=0",
                                                      "newconnectionerror",
                                                      "read timed out",
                                                      "name resolution",
                                                      "name or service not known",
                                                      "connection refused",
                                                      "connection reset",
                                                      "connection timed out",
                                                      "operation timed out",
                                                      "timeout was reached",
                                                      "dns error",
                                                      "could not resolve host",
                                                      "couldn't resolve host",
                                                      "network is unreachable",
                                                      "could not connect",
                                                      "couldn't connect"};

// Debian's python3 without python3-venv.
constexpr std::array<std::string_view, 2> kNoVenv{"ensurepip is not", "no module named ensurepip"};

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

bool has_one_of(std::string_view text, Markers markers) {
  const auto searched = lower(text);
  return std::any_of(markers.begin(), markers.end(),
                     [&](std::string_view marker) { return searched.find(marker) != std::string::npos; });
}

// Terminals' control sequences: ESC [ … letter.
std::string without_colours(std::string_view line) {
  std::string plain;
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (line[at] != '\x1b') {
      plain += line[at];
      continue;
    }
    while (at + 1 < line.size() && std::isalpha(static_cast<unsigned char>(line[at + 1])) == 0) ++at;
    ++at;
  }
  return plain;
}

// What a terminal would show of the line in the end.
std::string as_shown(std::string_view line) {
  while (line.ends_with('\r')) line.remove_suffix(1);
  if (const auto back = line.rfind('\r'); back != std::string_view::npos) line.remove_prefix(back + 1);
  auto plain = without_colours(line);
  const auto first = plain.find_first_not_of(" \t");
  if (first == std::string::npos) return {};
  plain = plain.substr(first, plain.find_last_not_of(" \t") + 1 - first);
  return printable(shortened(std::move(plain), kLongestLine));
}

std::vector<std::string> lines_of(std::string_view log) {
  std::vector<std::string> lines;
  while (!log.empty()) {
    const auto end = std::min(log.find('\n'), log.size());
    auto line = as_shown(log.substr(0, end));
    if (!line.empty()) lines.push_back(std::move(line));
    log.remove_prefix(std::min(end + 1, log.size()));
  }
  return lines;
}

// The complaint nearest to the end begins at the first of the complaining lines that end the log.
std::size_t first_that_matters(const std::vector<std::string>& lines) {
  const auto from = lines.size() - std::min(lines.size(), kLinesSearched);
  for (auto at = from; at < lines.size(); ++at)
    if (has_one_of(lines[at], kComplaints)) return at;
  return lines.size() - std::min(lines.size(), kLinesOtherwise);
}

// Tools break their sentences into lines; what begins anew is told apart.
std::string between(std::string_view before, std::string_view next) {
  constexpr std::array<std::string_view, 4> kBeginnings{"error", "fatal", "warning", "critical"};
  const auto start = lower(next.substr(0, 16));
  const bool anew = std::any_of(kBeginnings.begin(), kBeginnings.end(),
                                [&](std::string_view beginning) { return start.starts_with(beginning); });
  return anew && before.find_last_of(".:;!?") != before.size() - 1 ? "; " : " ";
}

std::string how(const shim::Ended& ended) {
  if (const auto* never = std::get_if<shim::NotStarted>(&ended.outcome)) return "could not start: " + never->reason;
  const auto& exit = std::get<os::Exit>(ended.outcome);
  if (exit.signalled) return "was killed (" + os::signal_name(exit.status) + ")";
  return "failed";
}

}  // namespace

std::string error_summary(std::string_view log) {
  const auto lines = lines_of(log);
  std::string words;
  const auto first = first_that_matters(lines);
  // The end says more than the beginning where there is too much.
  const auto skipped = lines.size() - first > kMostLines ? lines.size() - kMostLines : first;
  for (auto at = skipped; at < lines.size() && words.size() < kLongest; ++at)
    words += (words.empty() ? "" : between(lines[at - 1], lines[at])) + lines[at];
  return words;
}

Error build_failure(const std::string& words, const shim::Ended& ended, std::string_view log, bool disk_full) {
  const auto said = error_summary(log);
  const auto tail = said.empty() ? std::string() : ": " + said;
  const auto what = "building the " + words;
  if (ended.stopped_because == shim::kStoppedTimedOut)
    return Error(
        Code::timeout, what + " took longer than " + to_words(ended.duration) + tail,
        "see where it hangs in the build's log, or allow builds more time: build_timeout in the agent's configuration");
  if (ended.out_of_memory_kills > 0)
    return Error(Code::too_large, what + " ran out of memory" + tail,
                 "allow builds more memory: build_memory in the agent's configuration");
  if (disk_full || has_one_of(log, kNoSpace))
    return Error(Code::no_space, what + " failed, for the disk is full" + tail,
                 "`berth gc` gives back what is not needed, `berth env ls` shows the environments");
  if (has_one_of(said, kNoNetwork))
    return Error(Code::unavailable, what + " failed, for the package index does not answer" + tail,
                 "check the network and the index or channel in the agent's configuration")
        .for_lack_of(Lack::index);
  if (has_one_of(log, kNoVenv))
    return Error(Code::invalid, what + " failed: python3 of this machine cannot make virtual environments",
                 "sudo apt install python3-venv, or install uv; then `berth retry` runs the job");
  return Error(Code::invalid, what + " " + how(ended) + tail, "`berth logs --build` shows all that it printed");
}

}  // namespace berth::environment

#include "agent/jobfile/environment_files.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>

#include "agent/jobfile/working_directory.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"

namespace berth::jobfile {
namespace {

constexpr std::size_t kMostFiles = 100;
constexpr std::size_t kMostBytes = 1U << 20;
constexpr std::array<std::string_view, 4> kIncludes{"--requirement", "--constraint", "-r", "-c"};

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// pip's and YAML's alike: it starts a line, or follows a blank.
std::string_view without_comment(std::string_view line) {
  for (auto at = line.find('#'); at != std::string_view::npos; at = line.find('#', at + 1))
    if (at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t') return line.substr(0, at);
  return line;
}

// What a line says to pip, taken out of the YAML list and the quotes that may be around it.
std::string_view statement(std::string_view line) {
  auto text = trimmed(without_comment(line));
  while (text.starts_with("- ")) text = trimmed(text.substr(2));
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front())
    text = trimmed(text.substr(1, text.size() - 2));
  return text;
}

std::optional<std::string_view> include_of(std::string_view line) {
  const auto text = statement(line);
  for (const auto option : kIncludes) {
    if (!text.starts_with(option)) continue;
    auto rest = text.substr(option.size());
    const bool is_long = option.starts_with("--");
    if (is_long && !rest.starts_with('=') && !rest.starts_with(' ') && !rest.starts_with('\t')) return std::nullopt;
    if (rest.starts_with('=')) rest.remove_prefix(1);
    const auto path = trimmed(rest);
    if (path.empty() || path.find("://") != std::string_view::npos) return std::nullopt;
    return path;
  }
  return std::nullopt;
}

// The directory that holds all of them.
std::string common_directory(const std::map<std::string, std::string>& by_path) {
  auto common = os::parent_of(by_path.begin()->first);
  for (const auto& [path, text] : by_path)
    while (!path_within(path, common)) common = os::parent_of(common);
  return common;
}

class Gatherer {
 public:
  Gatherer(const std::string& flag, const std::function<std::string(const std::string&)>& read)
      : flag_(flag), read_(read) {}

  void take(const std::string& path, const std::string& includer) {
    if (by_path_.contains(path)) return;
    auto text = read(path, includer);
    bytes_ += path.size() + text.size();
    if (by_path_.size() == kMostFiles || bytes_ > kMostBytes)
      throw Error(Code::too_large,
                  flag_ + ": '" + printable(path) + "' makes it more than 100 files, or more than 1 MiB",
                  "these files should name packages only");
    const auto& kept = by_path_.emplace(path, std::move(text)).first->second;
    for (const auto& include : included_files(kept))
      waiting_.emplace_back(absolute_path(include, os::parent_of(path)), path);
  }

  EnvironmentFiles finish(const std::string& path) {
    while (!waiting_.empty()) {
      const auto [next, includer] = waiting_.front();
      waiting_.pop_front();
      take(next, includer);
    }
    const auto root = common_directory(by_path_);
    EnvironmentFiles out;
    out.file = *path_within(path, root);
    for (auto& [name, text] : by_path_) out.files.emplace(*path_within(name, root), std::move(text));
    return out;
  }

 private:
  std::string read(const std::string& path, const std::string& includer) const {
    try {
      return read_(path);
    } catch (Error& error) {
      error.add_context(flag_ + (includer.empty() ? "" : ": '" + printable(includer) + "' includes a file"));
      throw;
    }
  }

  const std::string& flag_;
  const std::function<std::string(const std::string&)>& read_;
  std::map<std::string, std::string> by_path_;
  std::deque<std::pair<std::string, std::string>> waiting_;  // and who includes it
  std::size_t bytes_ = 0;
};

}  // namespace

std::vector<std::string> included_files(std::string_view text) {
  std::vector<std::string> found;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    if (const auto path = include_of(text.substr(0, end))) found.emplace_back(*path);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

EnvironmentFiles gather_files(const std::string& flag, const std::string& path,
                              const std::function<std::string(const std::string&)>& read) {
  Gatherer gatherer(flag, read);
  gatherer.take(path, "");
  return gatherer.finish(path);
}

}  // namespace berth::jobfile

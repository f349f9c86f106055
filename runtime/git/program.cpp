#include "runtime/git/program.hpp"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <string_view>

#include "runtime/async/tool.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/spawn.hpp"

namespace berth::git {
namespace {

constexpr std::chrono::seconds kLongestAnswer{20};
constexpr std::size_t kLongestList = 256U << 20;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string find_git() {
  return os::find_program(variable("PATH") + ":/usr/local/bin:/usr/bin:/bin", "git").value_or("");
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

class Program {
 public:
  explicit Program(std::string directory) : program_(find_git()), directory_(std::move(directory)) {
    // Each filter that is configured anywhere, since none can be switched off for all.
    const auto names = ask({"config", "--name-only", "-z", "--get-regexp", "^filter\\."}).value_or("");
    for (const auto& key : split(names, '\0')) {
      const auto dot = key.rfind('.');
      if (dot == std::string::npos || key.find('=') != std::string::npos) continue;
      const auto filter = key.substr(0, dot);
      for (const char* what : {".clean=", ".smudge=", ".process=", ".required=false"}) {
        off_.emplace_back("-c");
        off_.push_back(filter + what);
      }
    }
  }

  bool is_there() const { return !program_.empty(); }
  const std::string& complaint() const { return complaint_; }

  // What it writes; nothing where it fails, and complaint() tells why.
  std::optional<std::string> ask(const std::vector<std::string>& arguments, std::size_t limit = kLongestList,
                                 int input = -1) {
    if (program_.empty()) {
      complaint_ = "there is no git";
      return std::nullopt;
    }
    os::SpawnOptions options;
    options.arguments = {program_,
                         "-C",
                         directory_,
                         "--no-pager",
                         "--literal-pathspecs",
                         "-c",
                         "core.fsmonitor=false",
                         "-c",
                         "core.hooksPath=/dev/null",
                         "-c",
                         "core.untrackedCache=false",
                         "-c",
                         "core.sshCommand=false",
                         "-c",
                         "core.pager=cat",
                         "-c",
                         "core.quotePath=true",
                         "-c",
                         "credential.helper=",
                         "-c",
                         "diff.external=",
                         "-c",
                         "protocol.allow=never",
                         "-c",
                         "gc.auto=0",
                         "-c",
                         "maintenance.auto=false"};
    options.arguments.insert(options.arguments.end(), off_.begin(), off_.end());
    options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
    options.environment = {"PATH=" + variable("PATH"),
                           "HOME=" + variable("HOME"),
                           "LC_ALL=C",
                           "GIT_OPTIONAL_LOCKS=0",
                           "GIT_TERMINAL_PROMPT=0",
                           "GIT_NO_LAZY_FETCH=1",
                           "GIT_NO_REPLACE_OBJECTS=1",
                           "GIT_ASKPASS=/bin/false",
                           "SSH_ASKPASS=/bin/false",
                           "GIT_CONFIG_NOSYSTEM=0",
                           "GIT_PAGER=cat"};
    for (const char* name : {"XDG_CONFIG_HOME", "SUDO_UID"})
      if (!variable(name).empty()) options.environment.push_back(std::string(name) + "=" + variable(name));
    options.standard_input = input;
    try {
      auto finished = async::run_tool_here(std::move(options), {kLongestAnswer, limit});
      if (!finished.exit.signalled && finished.exit.status == 0) return std::move(finished.output);
      complaint_ = finished.errors.substr(0, finished.errors.find('\n'));
      if (complaint_.empty()) complaint_ = "git failed";
    } catch (const Error& error) {
      complaint_ = error.message();
    }
    return std::nullopt;
  }

  // The same without the line end; "" where it fails.
  std::string line(const std::vector<std::string>& arguments) {
    auto text = ask(arguments).value_or("");
    return text.substr(0, text.find('\n'));
  }

 private:
  std::string program_;
  std::string directory_;
  std::vector<std::string> off_;
  std::string complaint_;
};

// The same as libgit2 is asked for.
std::string remote_of(Program& git, const std::string& branch) {
  auto name = branch.empty() ? "" : git.line({"config", "--get", "branch." + branch + ".remote"});
  if (name.empty()) name = "origin";
  auto url = git.line({"config", "--get", "remote." + name + ".url"});
  const auto names = split(git.ask({"remote"}).value_or(""), '\n');
  if (url.empty() && names.size() == 1) url = git.line({"config", "--get", "remote." + names.front() + ".url"});
  return strip_credentials(url);
}

// "100644 blob ID\tPATH" each.
bool take_tree(Provenance& found, std::string_view listing) {
  auto& tracked = found.tracked.emplace();
  for (const auto& entry : split(listing, '\0')) {
    const auto tab = entry.find('\t');
    const auto words = split(std::string_view(entry).substr(0, tab), ' ');
    if (tab == std::string::npos || words.size() != 3) return false;
    if (words[1] == "commit") {
      found.submodules.push_back({entry.substr(tab + 1), words[2]});
      continue;
    }
    Tracked file;
    std::from_chars(words[0].data(), words[0].data() + words[0].size(), file.mode, 8);
    file.id = words[2];
    tracked.emplace(entry.substr(tab + 1), std::move(file));
  }
  return true;
}

void take_diff(Provenance& found, Program& git, std::size_t diff_limit, bool may_be_sparse) {
  std::vector<std::string> arguments{"diff",
                                     "HEAD",
                                     "--binary",
                                     "--no-ext-diff",
                                     "--no-textconv",
                                     "--no-color",
                                     "--src-prefix=a/",
                                     "--dst-prefix=b/",
                                     "--no-renames",
                                     "--ignore-submodules=dirty"};
  if (may_be_sparse) arguments.emplace_back("--diff-filter=d");
  arguments.insert(arguments.end(), {"--", "."});
  auto diff = git.ask(arguments, diff_limit + 1);
  if (!diff) {
    found.remarks.push_back("the diff is not known: " + git.complaint());
    return;
  }
  if (diff->size() > diff_limit) {
    found.diff_cut = true;
    diff = "# left out: all changes (more than " + std::to_string(diff_limit) + " bytes)\n";
  }
  found.diff = std::move(*diff);
  auto names = arguments;
  names[2] = "--name-only";
  names.insert(names.begin() + 3, "-z");
  for (auto& name : split(git.ask(names).value_or(""), '\0')) found.diffed.push_back(std::move(name));
}

bool take_not_checked_out(Provenance& found, Program& git) {
  const auto listing = git.ask({"ls-files", "-t", "-z", "--cached"});
  if (!listing) return false;
  bool any = false;
  for (const auto& entry : split(*listing, '\0')) {
    if (!entry.starts_with("S ") || !found.tracked) continue;
    any = true;
    if (const auto file = found.tracked->find(entry.substr(2)); file != found.tracked->end())
      file->second.not_checked_out = true;
  }
  found.index_read = true;
  return any;
}

}  // namespace

Asked ask_program(const std::string& directory, std::size_t diff_limit) {
  Program git(directory);
  Asked asked;
  Provenance found;
  const auto top = git.line({"rev-parse", "--show-toplevel"});
  if (top.empty() || !(directory + "/").starts_with(top == "/" ? top : top + "/")) {
    asked.why_not = git.is_there() ? "git does not read it either: " + git.complaint() : "there is no git to ask";
    return asked;
  }
  if (directory.size() > top.size()) found.path = directory.substr(top == "/" ? 1 : top.size() + 1);
  found.branch = git.line({"symbolic-ref", "-q", "HEAD"});
  if (found.branch.starts_with("refs/heads/")) found.branch.erase(0, std::string_view("refs/heads/").size());
  found.repository = remote_of(git, found.branch);
  found.commit = git.line({"rev-parse", "-q", "--verify", "HEAD^{commit}"});
  if (found.commit.empty()) {
    found.no_commit = true;
    found.dirty = true;
    found.remarks.emplace_back("the repository has no commits yet");
    asked.found = std::move(found);
    return asked;
  }
  found.describe = git.line({"describe", "--tags", "--always"});
  const auto listing = git.ask({"ls-tree", "-r", "-z", "HEAD"});  // of the current directory, by path from there
  if (!listing || !take_tree(found, *listing)) {
    found.tracked.reset();
    found.unknown = "the commit's content cannot be listed: " + git.complaint();
  }
  found.index_read = false;
  const bool sparse = take_not_checked_out(found, git);
  take_diff(found, git, diff_limit, sparse || !found.index_read);
  found.dirty = found.changed = !found.diffed.empty();
  asked.found = std::move(found);
  return asked;
}

void ask_program_for_index(Provenance& found, const std::string& directory, std::size_t diff_limit) {
  Program git(directory);
  const bool sparse = take_not_checked_out(found, git);
  if (!found.index_read) return;
  std::erase_if(found.remarks, [](const auto& remark) { return remark.starts_with("cannot read the index"); });
  if (found.no_commit) return;
  take_diff(found, git, diff_limit, sparse);
  if (!found.diffed.empty()) found.dirty = found.changed = true;
}

std::unordered_map<std::string, std::string> ids_by_program(const std::string& directory,
                                                            const std::vector<std::string>& paths) {
  std::unordered_map<std::string, std::string> ids;
  Program git(directory);
  const os::TempDir place("berth-git");
  std::string list;
  std::vector<std::string> asked;
  for (const auto& path : paths) {
    if (path.find('\n') != std::string::npos || path.starts_with('"')) continue;
    list += os::join(directory, path) + "\n";
    asked.push_back(path);
  }
  os::write_file(place / "paths", list, 0600, os::Durable::no);
  const auto input = os::open(place / "paths", O_RDONLY);
  const auto answer = git.ask({"hash-object", "--no-filters", "--stdin-paths"}, kLongestList, input.get());
  const auto lines = split(answer.value_or(""), '\n');
  if (lines.size() != asked.size()) return ids;
  for (std::size_t i = 0; i < lines.size(); ++i) ids.emplace(asked[i], lines[i]);
  return ids;
}

}  // namespace berth::git

#include "agent/cli/code.hpp"

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <future>
#include <memory>
#include <thread>

#include "agent/cli/output.hpp"
#include "agent/cli/progress.hpp"
#include "agent/cli/settings.hpp"
#include "agent/cli/upload.hpp"
#include "agent/jobfile/working_directory.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"
#include "runtime/git/properties.hpp"
#include "runtime/objects/sha256.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/sender.hpp"

namespace berth::cli {
namespace {

constexpr const char* kPackType = "application/x-berth-pack";
constexpr std::size_t kLongestProperty = 64U << 10;  // what an agent takes
constexpr int kTries = 3;

enum class Bases { known, none };

// One sender's memory per tree and agent.
std::string sender_directory(const Agent& agent, const std::string& root, snapshot::IgnoreFiles ignore_files) {
  const auto* whole = ignore_files == snapshot::IgnoreFiles::none ? "whole" : "";
  const auto key = objects::sha256(root + '\0' + agent.socket() + whole).hex().substr(0, 32);
  return os::join(os::join(cache_directory(), "trees"), key);
}

std::vector<git::Sent> sent_files(const snapshot::Scan& scan) {
  std::vector<git::Sent> files;
  files.reserve(scan.manifest.entries().size());
  std::vector<std::string> directories;  // with their paths, by index of the entry
  directories.resize(scan.manifest.entries().size());
  for (std::uint32_t i = 0; i < scan.manifest.entries().size(); ++i) {
    const auto& entry = scan.manifest[i];
    auto path = entry.parent == snapshot::Manifest::kRoot ? std::string() : directories[entry.parent];
    path += entry.name;
    if (entry.is_directory()) {
      directories[i] = path + "/";
      continue;
    }
    git::Sent file;
    file.path = std::move(path);
    file.mode = entry.kind == snapshot::Kind::symlink      ? 0120000U
                : entry.kind == snapshot::Kind::executable ? 0100755U
                                                           : 0100644U;
    file.target = entry.target;
    file.size = entry.kind == snapshot::Kind::symlink ? entry.target.size() : entry.size;
    file.inode = scan.stamps[i].inode;
    file.modified = scan.stamps[i].modified;
    file.changed = scan.stamps[i].changed;
    files.push_back(std::move(file));
  }
  return files;
}

// What git knows of the directory, found out while others work.
class GitFacts {
 public:
  explicit GitFacts(const std::string& root)
      : root_(root), thread_([this] {
          found_ = git::provenance(root_, kDiffLimit, [this]() -> const Files& { return scanned_.get(); });
        }) {}
  ~GitFacts() {
    if (scans_ == 0) files_.set_exception(std::make_exception_ptr(Cancelled()));
    if (thread_.joinable()) thread_.join();
  }
  // What is there was scanned; again, where it changed meanwhile.
  void take(const snapshot::Scan& scan) {
    if (++scans_ == 1) files_.set_value(sent_files(scan));
  }
  // With what is true of the code that is sent, the latest that was taken.
  const std::optional<git::Provenance>& about(const snapshot::Scan& scan) {
    thread_.join();
    if (scans_ > 1) found_ = git::provenance(root_, kDiffLimit);
    if (found_) git::compare(*found_, root_, scans_ > 1 ? sent_files(scan) : scanned_.get());
    return found_;
  }

 private:
  using Files = std::vector<git::Sent>;
  static constexpr std::size_t kDiffLimit = 16U << 20;
  std::string root_;
  int scans_ = 0;
  std::promise<Files> files_;
  std::shared_future<Files> scanned_ = files_.get_future();
  std::optional<git::Provenance> found_;
  std::thread thread_;
};

class CodeSender {
 public:
  // `what` is for people: "code".
  CodeSender(Agent& agent, const std::string& root, std::string what = "code",
             snapshot::IgnoreFiles ignore_files = snapshot::IgnoreFiles::honour)
      : agent_(agent),
        what_(std::move(what)),
        sender_(sender_directory(agent, root, ignore_files), root, options(ignore_files)),
        scan_(sender_.scan()) {
    for (const auto& warning : scan_.warnings) remark("warning: " + printable(warning));
  }

  const snapshot::Scan& scan() const { return scan_; }
  const Digest& id() const { return scan_.manifest.id(); }
  bool agent_has_it() const {
    for (const auto& base : sender_.bases())
      if (base == id()) return true;
    return false;
  }
  void send() {
    try {
      send(Bases::known);
    } catch (const Error& error) {
      const bool base_missing = error.code() == Code::not_found && !sender_.bases().empty();
      if (!base_missing) throw;
      send(Bases::none);
    }
  }
  void send_whole() { send(Bases::none); }

 private:
  static snapshot::Sender::Options options(snapshot::IgnoreFiles ignore_files) {
    snapshot::Sender::Options options;
    options.ignore_files = ignore_files;
    return options;
  }
  void send(Bases which) {
    Progress progress("sending " + what_);
    Upload upload(agent_.client(), "/v1/snapshots", kPackType);
    const auto bases = which == Bases::known ? sender_.bases() : std::vector<Digest>{};
    const auto report = sender_.write_pack(
        scan_, bases, [&](std::string_view bytes) { upload.take(bytes); },
        [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); });
    upload.finish();
    sender_.sent(scan_);
    progress.finish("sent " + to_text(ByteSize(report.pack_bytes)) + " of " + what_);
  }

  Agent& agent_;
  std::string what_;
  snapshot::Sender sender_;
  snapshot::Scan scan_;
};

// A file may change between the scan and its sending; a tree that never rests is told as such.
template <class F>
void while_tree_changes(const F& act) {
  for (int left = kTries;; --left) {
    try {
      return act();
    } catch (const Error& error) {
      if (error.code() != Code::conflict || left == 1) throw;
    }
  }
}

void add_facts(Agent& agent, model::JobRequest& request, const std::optional<git::Provenance>& facts) {
  request.properties = git::properties(facts, [](const char* name) { return std::getenv(name); });
  std::erase_if(request.properties, [](const auto& property) { return property.second.size() > kLongestProperty; });
  if (facts && !facts->diff.empty()) request.diff = agent.send_diff(facts->diff);
}

}  // namespace

std::string code_root(const std::optional<std::string>& code, const std::string& current_directory,
                      const std::string& home) {
  const auto asked = code ? jobfile::absolute_path(*code, current_directory) : current_directory;
  std::error_code failure;
  const auto root = std::filesystem::canonical(asked, failure).string();
  if (failure || !std::filesystem::is_directory(root))
    throw Error(Code::invalid, "--code: '" + printable(asked) + "' is " + (failure ? "not there" : "no directory"),
                "name the directory that holds the code");
  if (code) return root;
  const bool is_home = !home.empty() && std::filesystem::equivalent(root, home, failure);
  if (root == "/" || is_home)
    throw Error(Code::invalid,
                std::string("the current directory is ") + (is_home ? "your home directory" : "the root directory") +
                    "; sending all of it is surely not meant",
                "cd into the project, name it with --code DIR, or run without a copy of the code: --no-code");
  return root;
}

Digest send_context(Agent& agent, const std::string& directory) {
  std::unique_ptr<CodeSender> sender;
  while_tree_changes([&] {
    sender.reset();
    sender = std::make_unique<CodeSender>(agent, directory, "the Dockerfile's directory", snapshot::IgnoreFiles::none);
    if (!sender->agent_has_it() || !agent.has_snapshot(sender->id())) sender->send();
  });
  return sender->id();
}

Submitted submit_with_code(Agent& agent, model::JobRequest request, const model::Attachments& attachments,
                           const std::string& root, const std::function<void()>& about_to) {
  GitFacts facts(root);
  std::unique_ptr<CodeSender> sender;
  while_tree_changes([&] {
    sender.reset();
    sender = std::make_unique<CodeSender>(agent, root);
    facts.take(sender->scan());
    if (!sender->agent_has_it()) sender->send();
  });
  request.snapshot = sender->id();
  add_facts(agent, request, facts.about(sender->scan()));
  model::validate(request);
  if (about_to) about_to();
  try {
    return agent.submit(request, attachments);
  } catch (const Error& error) {
    const bool forgotten = error.code() == Code::not_found && error.message().find("snapshot") != std::string::npos;
    if (!forgotten) throw;
  }
  sender->send_whole();
  return agent.submit(request, attachments);
}

}  // namespace berth::cli

#include "runtime/environment/build_directories.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/build_failure.hpp"
#include "runtime/environment/immutable.hpp"
#include "runtime/os/attempt_count.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/fd.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/process.hpp"

namespace berth::environment {

using os::join;
using Json = nlohmann::json;

namespace {

constexpr const char* kScriptFile = "build-script";
constexpr const char* kSettlingFile = "settling";  // how often that was begun
constexpr std::uint64_t kLogTail = 64U << 10;
constexpr std::size_t kFailedLogsKept = 100;
constexpr int kNiceness = 10;  // nobody waits for a build as one does for a command
constexpr std::uint64_t kFull = 1U << 20;  // with less, not even the log may have been written

void check_name(const std::string& name) {
  const std::filesystem::path path(name);
  const bool climbs = std::find(path.begin(), path.end(), "..") != path.end();
  if (name.empty() || path.is_absolute() || climbs || name.find('\0') != std::string::npos)
    throw Error(Code::invalid, "the file name '" + printable(name) + "' leads out of the build's directory");
}

std::string end_of(const std::string& path) {
  if (!os::exists(path)) return {};
  const auto file = os::open(path, O_RDONLY);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return {};
  const auto size = static_cast<std::uint64_t>(info.st_size);
  std::string text(std::min(size, kLogTail), '\0');
  text.resize(os::read_at(file, text, size - text.size()));
  return text;
}

bool succeeded(const shim::Ended& ended) {
  const auto* exit = std::get_if<os::Exit>(&ended.outcome);
  return exit != nullptr && !exit->signalled && exit->status == 0 && ended.stopped_because.empty();
}

}  // namespace

BuildDirectories::BuildDirectories(const BuildSettings& settings, Cache& cache)
    : settings_(settings),
      cache_(cache),
      users_(settings.users, cache.tools_cache()),
      downloads_(cache.tools_cache(), settings.users.has_value()) {
  const auto path = cache_.tools_cache();
  if (!users_.any())
    hand_over(path, settings_.identity);
  else if (::lchown(path.c_str(), ::geteuid(), ::getegid()) != 0 || ::chmod(path.c_str(), 0711) != 0)
    throw_errno("protect", printable(path));
}

std::string BuildDirectories::launch_directory(const Digest& digest) const { return cache_.launch_directory(digest); }
std::string BuildDirectories::log_file(const Digest& digest) const {
  return join(launch_directory(digest), shim::kLogFile);
}
std::string BuildDirectories::work_directory(const Digest& digest) const { return cache_.work_directory(digest); }

void BuildDirectories::hand_over(const std::string& path, const Who& who) const {
  if (!who || ::geteuid() != 0) return;
  if (::lchown(path.c_str(), who->uid, who->gid) != 0) throw_errno("give to the build user", printable(path));
}

BuildDirectories::Who BuildDirectories::take_user(const Digest& digest, const Recipe& recipe) {
  if (!users_.any()) return settings_.identity;
  auto who = users_.take(digest, recipe.owner);
  who.home = work_directory(digest);
  return who;
}

shim::Launch BuildDirectories::prepare(const Digest& digest, const Recipe& recipe) {
  const auto free =
      ByteSize(os::space_of(cache_.directory(digest).substr(0, cache_.directory(digest).rfind('/'))).free);
  if (free < settings_.least_space)
    throw Error(Code::no_space,
                "the " + recipe.words + " cannot be built: only " + to_text(free) +
                    " are free on the disk, and a build begins with " + to_text(settings_.least_space),
                "`berth gc` gives back what is not needed, `berth env ls` shows the environments");
  cache_.clear(digest);
  const auto where = cache_.directory(digest);
  const auto made = os::parent_of(cache_.prefix(digest));
  const auto who = take_user(digest, recipe);
  // In a sandbox what it needs is mounted for it; in a user's own agent it is the user himself.
  const unsigned closed = settings_.sandbox || !who ? 0700 : 0711;
  os::make_directories(where, closed);
  os::make_directories(made, users_.any() ? 0700 : 0755);
  cache_.make_launch_directory(digest);
  os::write_file(log_file(digest), "", 0600, os::Durable::no);  // there before anybody is told of it
  record(digest, recipe, who);
  const auto tools_cache = make_tools_cache(digest, recipe, who);
  hand_over(made, who);
  write_files(work_directory(digest), recipe, who);

  shim::Launch launch;
  launch.job_id = "build-" + digest.brief();
  launch.command = {"/bin/sh", "-eu", join(work_directory(digest), kScriptFile)};
  launch.environment = variables(digest, recipe, tools_cache);
  launch.working_directory = work_directory(digest);
  launch.identity = who;
  if (settings_.sandbox) launch.sandbox = sandbox(digest, recipe, tools_cache);
  if (!settings_.cgroup_base.empty()) launch.cgroup = join(settings_.cgroup_base, launch.job_id);
  launch.limits = settings_.limits;
  launch.nice = kNiceness;
  launch.goes_first = true;  // a job's memory is counted before it starts, a build's is not
  launch.timeout = settings_.time_limit;
  launch.stop_grace = settings_.stop_grace;
  launch.log_cap = settings_.log_cap;
  return launch;
}

void BuildDirectories::record(const Digest& digest, const Recipe& recipe, const Who& who) const {
  Json begun{{"kind", recipe.kind},
             {"words", recipe.words},
             {"canonical", read_json(recipe.canonical)},
             {"boot_id", os::boot_id()},
             {"since", to_unix_micros(system_clock().now())}};
  if (who) begun["user"] = who->uid;
  if (recipe.owner) begun["owner"] = *recipe.owner;
  if (recipe.asker) begun["asker"] = *recipe.asker;
  os::write_file(cache_.recipe_file(digest), begun.dump(), 0600, os::Durable::no);
}

// What is for all is not made of what somebody's earlier builds have left: any of them could have put in something
// else.
std::string BuildDirectories::make_tools_cache(const Digest& digest, const Recipe& recipe, const Who& who) {
  if (!users_.any() || recipe.owner) downloads_.begin(digest, users_.any() ? recipe.owner : std::nullopt);
  if (!users_.any()) return cache_.tools_cache();
  const auto path = recipe.owner ? cache_.tools_cache_of(*recipe.owner) : cache_.own_tools_cache(digest);
  os::make_directories(path, 0700);
  hand_over(path, who);
  return path;
}

os::Sandbox BuildDirectories::sandbox(const Digest& digest, const Recipe& recipe,
                                      const std::string& tools_cache) const {
  os::Sandbox sandbox;
  const auto work = work_directory(digest);
  sandbox.writable = {work, os::parent_of(cache_.prefix(digest))};
  if (tools_cache != cache_.own_tools_cache(digest)) sandbox.writable.push_back(tools_cache);
  sandbox.readable = recipe.inputs;
  sandbox.hidden = {os::parent_of(cache_.tools_cache())};
  if (!settings_.hidden.empty()) sandbox.hidden.push_back(settings_.hidden);
  sandbox.tmp = join(work, "tmp");
  return sandbox;
}

// The directories are handed over last: until then nobody else can put something in a file's way.
void BuildDirectories::write_files(const std::string& work, const Recipe& recipe, const Who& who) const {
  std::vector<std::string> made{work, join(work, "tmp")};
  for (const auto& directory : made) os::make_directories(directory, 0700);
  auto files = recipe.files;
  files[kScriptFile] = "umask 022\n" + recipe.script;
  for (const auto& [name, content] : files) {
    check_name(name);
    for (auto at = name.find('/'); at != std::string::npos; at = name.find('/', at + 1)) {
      made.push_back(join(work, name.substr(0, at)));
      os::make_directories(made.back(), 0700);
    }
    os::write_file(join(work, name), content, 0600, os::Durable::no);
    hand_over(join(work, name), who);
  }
  std::for_each(made.rbegin(), made.rend(), [&](const auto& directory) { hand_over(directory, who); });
}

std::vector<std::string> BuildDirectories::variables(const Digest& digest, const Recipe& recipe,
                                                     const std::string& tools_cache) const {
  const auto work = work_directory(digest);
  std::map<std::string, std::string> all{{"LC_ALL", "C.UTF-8"}};
  for (const auto& [name, value] : recipe.variables) all[name] = value;
  all["PREFIX"] = cache_.prefix(digest);
  all["HOME"] = work;
  all["TMPDIR"] = join(work, "tmp");
  all["PATH"] = settings_.path;
  all["CACHE"] = tools_cache;
  // A cache that stays shares no file with what is made of it.
  if (tools_cache != cache_.own_tools_cache(digest)) {
    all["UV_LINK_MODE"] = "copy";
    all["CONDA_ALWAYS_COPY"] = all["MAMBA_ALWAYS_COPY"] = "true";
  }
  std::vector<std::string> list;
  for (const auto& [name, value] : all) list.push_back(name + "=" + value);
  return list;
}

std::optional<BuildDirectories::Begun> BuildDirectories::begun(const Digest& digest) const {
  const auto text = os::read_file_if_exists(cache_.recipe_file(digest));
  if (!text || !os::exists(launch_directory(digest))) return std::nullopt;
  try {
    const auto json = read_json(*text);
    if (json.at("boot_id") != os::boot_id()) return std::nullopt;
    Begun begun;
    json.at("kind").get_to(begun.kind);
    json.at("words").get_to(begun.words);
    begun.canonical = json.at("canonical").dump();
    begun.since = from_unix_micros(json.at("since").get<std::int64_t>());
    begun.identity = settings_.identity;  // what an agent began that had one user for all
    if (json.contains("user")) begun.identity = build_identity_of(json.at("user").get<uid_t>());
    if (json.contains("owner")) begun.owner = json.at("owner").get<uid_t>();
    if (json.contains("asker")) begun.asker = json.at("asker").get<uid_t>();
    return begun;
  } catch (const std::exception&) {  // torn by a crash
    return std::nullopt;
  }
}

void BuildDirectories::adopt(const Digest& digest, const Begun& begun) {
  if (users_.any() && begun.identity) users_.adopt(digest, begun.identity->uid);
  if (!users_.any() || begun.owner) downloads_.begin(digest, users_.any() ? begun.owner : std::nullopt);
}

void BuildDirectories::release(const Digest& digest) {
  users_.release(digest);
  downloads_.end(digest);
}

Leased BuildDirectories::settle(const Digest& digest, const shim::Condition& condition) {
  const auto what = begun(digest);
  const auto words = what ? what->words : "environment " + digest.brief();
  const os::Attempt attempt(join(cache_.directory(digest), kSettlingFile));
  if (attempt.is_one_too_many())
    throw Error(Code::timeout, "building the " + words + " failed: the agent ended " +
                                   std::to_string(os::kMostAttempts) + " times while it took over what came of it");
  if (const auto* over = std::get_if<shim::Over>(&condition)) {
    if (!succeeded(over->ended)) {
      const bool full = os::space_of(cache_.directory(digest)).free < kFull;
      throw build_failure(words, over->ended, end_of(log_file(digest)), full);
    }
    return complete(digest, over->ended);
  }
  if (std::holds_alternative<shim::Lost>(condition))
    throw Error(Code::unavailable, "building the " + words + " ended halfway: its supervisor was killed",
                "ask for it again; if it happens again, the machine may be out of memory");
  throw Error(Code::unavailable, "building the " + words + " did not begin: its supervisor could not be started",
              "the agent's log tells more");
}

Leased BuildDirectories::complete(const Digest& digest, const shim::Ended& ended) {
  const auto what = begun(digest);
  if (!what) throw Error(Code::corrupt, "the record of what was being built, " + digest.brief() + ", is gone");
  Built built;
  built.digest = digest;
  built.kind = what->kind;
  built.words = what->words;
  built.canonical = what->canonical;
  built.created = system_clock().now();
  built.build_time = std::chrono::duration_cast<std::chrono::milliseconds>(ended.duration);
  built.only_in_boot = os::boot_id();
  built.owner = what->owner;
  users_.stop(digest);
  add_result(built, result_of(digest), cache_.prefix(digest));
  os::remove_tree(cache_.own_tools_cache(digest));
  const auto made = os::parent_of(cache_.prefix(digest));
  built.bytes = make_immutable(made, what->identity ? std::optional(what->identity->uid) : std::nullopt);
  if (users_.any() && ::chmod(made.c_str(), 0755) != 0) throw_errno("open", made);
  if (!built.interpreter.empty() && ::access(built.interpreter.c_str(), X_OK) != 0)
    throw Error(Code::invalid,
                "the " + built.words + " has no interpreter: " + printable(built.interpreter) + " does not exist");
  if (users_.any()) cache_.open_to(digest, built.owner);
  cache_.publish(built);
  cache_.tidy(digest);
  release(digest);
  auto leased = cache_.lease(digest);
  if (!leased)
    throw Error(Code::unavailable, "the " + built.words + " was removed as soon as it was built", "ask for it again");
  return std::move(*leased);
}

// In a directory of the build user: neither a symlink to a file of ours nor a pipe may be read.
std::string BuildDirectories::result_of(const Digest& digest) const {
  const auto work = os::open_directory(work_directory(digest));
  const os::Fd file(::openat(work.get(), kResultFile, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file && errno == ENOENT)
    throw Error(Code::invalid, "the build ended well but told no result", "`berth logs --build` shows what it printed");
  struct stat info {};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode))
    throw Error(Code::invalid, "the build's result.json is no plain file");
  if (static_cast<std::uint64_t>(info.st_size) > kLongestResult)
    throw Error(Code::too_large, "the build's result.json is larger than " + to_text(ByteSize(kLongestResult)));
  return os::read_all(file, kLongestResult);
}

std::string BuildDirectories::abandon(const Digest& digest) {
  std::string kept;
  if (cache_.is_published(digest)) {  // an older one, in use: the build did not even begin
    release(digest);
    return kept;
  }
  if (const auto what = begun(digest)) adopt(digest, *what);  // so that what an earlier agent's has left is killed
  if (os::exists(launch_directory(digest))) {
    // With an ending there is nothing left, though the supervisor may need some milliseconds more to exit.
    if (!os::exists(join(launch_directory(digest), shim::kEndingFile))) shim::kill_leftovers(launch_directory(digest));
    std::error_code failure;
    std::filesystem::rename(log_file(digest), cache_.failed_log(digest), failure);
    if (!failure) kept = cache_.failed_log(digest);
  }
  release(digest);
  cache_.clear(digest);
  if (!kept.empty()) prune_failed_logs(kept);
  return kept;
}

void BuildDirectories::prune_failed_logs(const std::string& newest) const {
  namespace fs = std::filesystem;
  std::vector<std::pair<fs::file_time_type, fs::path>> logs;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(os::parent_of(newest), failure))
    logs.emplace_back(entry.last_write_time(failure), entry.path());
  std::sort(logs.begin(), logs.end(), std::greater<>());
  for (auto at = std::min(kFailedLogsKept, logs.size()); at < logs.size(); ++at) fs::remove(logs[at].second, failure);
}

}  // namespace berth::environment

#include "runtime/shim/client.hpp"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/cgroup.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/lock.hpp"
#include "runtime/os/message.hpp"
#include "runtime/shim/ending_file.hpp"
#include "runtime/shim/server.hpp"

namespace berth::shim {
namespace {

constexpr int kAnswerSeconds = 10;

using os::join;

constexpr const char* kShimsGroup = "shims";
constexpr const char* kStopPart = "stop.part";
constexpr std::uint64_t kLongestFile = 64U << 20;
constexpr std::chrono::seconds kLongestKill{10};
constexpr std::chrono::milliseconds kKillAgain{10};

// A file of the contract, as `parse` reads it; nothing when there is none.
template <class Parse>
auto read_contract(const std::string& path, Parse parse) -> std::optional<decltype(parse(std::string_view()))> {
  const auto text = os::read_plain_if_exists(path, os::trusted_file(), kLongestFile);
  if (!text) return std::nullopt;
  try {
    return parse(*text);
  } catch (Error& error) {
    error.add_context("reading " + printable(path));
    throw;
  }
}

std::optional<Started> read_started(const std::string& directory) {
  return read_contract(join(directory, kStartedFile), started_from_text);
}
std::optional<Ended> read_ended(const std::string& directory, const Seal& seal, const char* file = kEndingFile) {
  const auto read = [&](std::string_view text) {
    if (seal.known() && !is_genuine(text, seal)) throw Error(Code::corrupt, "it is not what the supervisor wrote");
    return ended_from_text(text);
  };
  return read_contract(join(directory, file), read);
}

// What a supervisor that is no more had written whole, and synced, before it could give it its name, or before that
// name came to the disk. Anything else there is not an ending yet.
std::optional<Ended> read_unnamed(const std::string& directory, const Seal& seal) {
  try {
    return read_ended(directory, seal, kEndingReserve);
  } catch (const Error&) {
    return std::nullopt;
  }
}

void check(const Launch& launch) {
  if (launch.command.empty()) throw Error(Code::invalid, "the command is empty");
  for (const auto* strings : {&launch.command, &launch.environment})
    for (const auto& string : *strings)
      if (string.find('\0') != std::string::npos)
        throw Error(Code::invalid, "the command or its environment holds a NUL byte: " + printable(string));
  for (const auto* strings : {&launch.secrets.command, &launch.secrets.environment})
    for (const auto& string : *strings)
      if (string.find('\0') != std::string::npos) throw Error(Code::invalid, "a secret holds a NUL byte");
}

// The shims' own group: out of the agent's, which may be stopped with all that is in it, and out of the
// job's.
std::optional<os::Cgroup> shims_group(const std::string& job_group) {
  if (job_group.empty()) return std::nullopt;
  try {
    return os::Cgroup::make(os::parent_of(job_group), kShimsGroup);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// "/a/b/../c" → "/a/c"; the mark in the job's environment is made from the same form.
std::string canonical(const std::string& directory) {
  char* path = ::realpath(directory.c_str(), nullptr);
  if (path == nullptr) throw_errno("find", printable(directory));
  std::string text(path);
  ::free(path);
  return text;
}

// What the processes of a launch have in their environment; its directory may be gone.
std::string mark_of(const std::string& directory) {
  const auto parent = os::parent_of(directory);
  char* path = ::realpath(parent.c_str(), nullptr);
  const std::string above(path != nullptr ? path : parent.c_str());
  ::free(path);
  return std::string(kLaunchVariable) + "=" + join(above, os::name_of(directory));
}

Running running(std::optional<Started> started) {
  std::optional<os::Fd> shim;
  if (started) shim = os::open_pidfd(started->shim);
  return {std::move(started), std::move(shim)};
}

// In a launch of an earlier boot nothing runs, and only the ending is sure to be on disk. The other files may
// be missing or torn.
Condition after_reboot(const std::string& directory, const Seal& seal) {
  if (auto ended = read_ended(directory, seal)) return Over{std::move(*ended)};
  if (auto ended = read_unnamed(directory, seal)) return Over{std::move(*ended)};
  try {
    return Lost{read_started(directory), true};
  } catch (const Error&) {
    return Lost{std::nullopt, true};
  }
}

std::string boot_of(const std::string& directory, const std::string& launched_in_boot) {
  if (!launched_in_boot.empty()) return launched_in_boot;
  try {
    const auto launch = read_contract(join(directory, kLaunchFile), launch_from_text);
    return launch ? launch->boot_id : std::string();
  } catch (const Error&) {
    return {};
  }
}

// Calls `kill_some` until it says that nothing is left.
template <class KillSome>
void kill_until_gone(const std::string& directory, KillSome kill_some) {
  const auto deadline = std::chrono::steady_clock::now() + kLongestKill;
  while (kill_some()) {
    if (std::chrono::steady_clock::now() > deadline)
      throw Error(Code::timeout, "processes of " + printable(directory) + " do not die though they were killed",
                  "they hang in the kernel, often on a lost network file system or a GPU");
    std::this_thread::sleep_for(kKillAgain);
  }
}

bool kill_group(const std::string& path) {
  const auto group = os::Cgroup::open(path);
  if (!group) return false;
  if (group->populated()) group->kill();
  return !group->remove();
}

bool kill_marked(const std::string& mark) {
  const auto pids = os::processes_with_environment(mark);
  bool any = false;
  for (const auto pid : pids)
    if (pid != ::getpid() && ::kill(pid, SIGKILL) == 0) any = true;
  return any;
}

}  // namespace

namespace {

Launch completed(const Launch& launch) {
  check(launch);
  auto complete = launch;
  complete.boot_id = os::boot_id();
  return complete;
}

// The claim first: where it is gone again, a supervisor that comes late finds nothing to run.
os::Fd in_memory(const std::string& directory, const Launch& launch) {
  const auto complete = completed(launch);
  const auto claim = os::join(directory, kClaimFile);
  os::Fd made(::open(claim.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!made && errno == ENOENT) {
    os::make_directories(directory, 0711);
    made = os::open(claim, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  }
  if (!made) throw_errno("make", printable(claim));
  // Its disk space, as the files of a launch would have wanted some: where there is none the launch fails here.
  if (const EndingFile ending(directory); ending.problem()) throw Error(*ending.problem());
  auto text = os::make_memory_file("launch");
  os::write_all_at(text, to_handover(complete), 0);
  return text;
}

}  // namespace

void write_launch(const std::string& directory, const Launch& launch) {
  const auto complete = completed(launch);
  os::make_directories(directory, 0711);
  if (launch.secret_place)
    os::write_file(join(directory, kSecretsFile), to_text(launch.secrets), 0600, os::Durable::no);
  os::write_file(join(directory, kLaunchFile), to_text(complete), 0600, os::Durable::no);
}

namespace {

// Born in the shims' group where there is one; `orders` becomes its standard input.
os::Child start_shim(const std::string& shim_program, const std::string& argument, const std::string& cgroup,
                     int orders) {
  os::SpawnOptions options;
  options.arguments = {shim_program, argument};
  if (const char* boot = ::getenv("BERTH_BOOT_ID")) options.environment = {std::string("BERTH_BOOT_ID=") + boot};
  options.new_session = true;
  options.standard_input = orders;
  const auto group = shims_group(cgroup);
  if (group) options.cgroup = group->directory().get();
  return os::spawn(options);
}

}  // namespace

os::Child launch(const std::string& shim_program, const std::string& directory, const Launch& launch) {
  write_launch(directory, launch);
  return start_shim(shim_program, canonical(directory), launch.cgroup, -1);
}

Launcher::~Launcher() { drop_server(); }

Supervisor Launcher::launch(const std::string& directory, const Launch& launch, Handover how, const std::string& key) {
  os::Fd handed_over;
  if (how == Handover::memory)
    handed_over = in_memory(directory, launch);
  else
    write_launch(directory, launch);
  const auto path = canonical(directory);
  const auto request = key.empty() ? path : path + '\0' + key;
  if (request.size() > kLongestRequest) throw Error(Code::invalid, "the path " + printable(path) + " is too long");
  // With a server that was killed its idle supervisors end: none of them may be given work any more.
  const bool serves =
      server_ && server_->cgroup_parent == os::parent_of(launch.cgroup) && !os::has_ended(server_->child.pidfd);
  if (!serves) start_server(launch.cgroup);
  if (!send(request, handed_over)) {  // the server was killed; nobody has heard of this launch
    start_server(launch.cgroup);
    if (!send(request, handed_over)) throw Error(Code::unavailable, "the supervisors' server does not take work");
  }
  if (auto supervisor = receive(key)) return std::move(*supervisor);
  // Whether a supervisor took it is for the directory to tell, once whoever waits sees that there is none.
  Supervisor gone{server_->child.id.pid, os::Fd(::fcntl(server_->child.pidfd.get(), F_DUPFD_CLOEXEC, 0)), key};
  drop_server();
  return gone;
}

void Launcher::prepare(const std::string& cgroup) noexcept {
  try {
    if (!server_) start_server(cgroup);
  } catch (const Error&) {  // the next launch tells why, if it still matters
  }
}

void Launcher::start_server(const std::string& cgroup) {
  drop_server();
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0) throw_errno("make", "a socket pair");
  os::Fd ours(ends[0]);
  const os::Fd theirs(ends[1]);
  const timeval limit{kAnswerSeconds, 0};
  ::setsockopt(ours.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(ours.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  auto child = start_shim(shim_program_, "--server", cgroup, theirs.get());
  server_ = Server{std::move(child), std::move(ours), os::parent_of(cgroup)};
}

bool Launcher::send(const std::string& request, const os::Fd& launch) const {
  return os::send_message(server_->socket.get(), request, launch.get());
}

std::optional<Supervisor> Launcher::receive(const std::string& key) const {
  std::array<pid_t, 2> words{};
  auto message = os::receive_message(server_->socket.get(), {reinterpret_cast<char*>(words.data()), sizeof words});
  const bool seals = message.length == sizeof words && words[1] == 1;
  if ((message.length != sizeof(pid_t) && !seals) || !message.descriptor) return std::nullopt;
  return Supervisor{words[0], std::move(message.descriptor), seals ? key : std::string()};
}

void Launcher::drop_server() {
  if (!server_) return;
  server_->socket.reset();
  os::send_signal(server_->child.pidfd, SIGKILL);
  os::reap(server_->child.pidfd);
  server_.reset();
}

std::optional<Ended> ending_in(const std::string& directory, const Seal& seal) { return read_ended(directory, seal); }

Condition inspect(const std::string& directory, const std::string& launched_in_boot, const Seal& seal) {
  if (const auto boot = boot_of(directory, launched_in_boot); !boot.empty() && boot != os::boot_id())
    return after_reboot(directory, seal);
  if (auto ended = read_ended(directory, seal)) return Over{std::move(*ended)};
  const auto claim = os::FileLock::try_acquire(join(directory, kClaimFile));
  // Once more: it may have ended before the lock was asked for.
  if (auto ended = read_ended(directory, seal)) return Over{std::move(*ended)};
  if (claim)
    if (auto ended = read_unnamed(directory, seal)) {
      // Where it was started nobody starts it again; and the claim is that record, too.
      if (!os::exists(join(directory, kStartedFile))) os::write_all_at(claim->file(), kRevoked, 0);
      return Over{std::move(*ended)};
    }
  auto started = read_started(directory);
  if (!claim) return running(std::move(started));
  if (started) {
    const bool rebooted = started->boot_id != os::boot_id();
    return Lost{std::move(started), rebooted};
  }
  os::write_all_at(claim->file(), kRevoked, 0);
  return NeverRan{};
}

bool is_supervised(const std::string& directory) { return !os::FileLock::try_acquire(join(directory, kClaimFile)); }

void request_stop(const std::string& directory, const Stop& stop) {
  // Whose the directory is, his are the contract's files (apart.hpp).
  struct stat info {};
  const bool apart = ::stat(directory.c_str(), &info) == 0 && info.st_uid == os::kNobodysOwn;
  if (!apart) return os::write_file(join(directory, kStopFile), to_text(stop), 0600, os::Durable::no);
  const auto part = join(directory, kStopPart);
  os::write_file(part, to_text(stop), 0600, os::Durable::no);
  if (::lchown(part.c_str(), os::kNobodysOwn, static_cast<gid_t>(-1)) < 0) throw_errno("set apart", part);
  if (::rename(part.c_str(), join(directory, kStopFile).c_str()) < 0) throw_errno("put in place", part);
}

void kill_leftovers(const std::string& directory) {
  const auto claim = os::FileLock::try_acquire(join(directory, kClaimFile));
  if (!claim) throw Error(Code::conflict, "the job of " + printable(directory) + " is still supervised");
  const auto launch = read_contract(join(directory, kLaunchFile), launch_from_text);
  if (launch && !launch->cgroup.empty()) kill_until_gone(directory, [&] { return kill_group(launch->cgroup); });
  const auto mark = mark_of(directory);
  kill_until_gone(directory, [&] { return kill_marked(mark); });
}

void kill_unsupervised(const std::string& directory, const std::string& group) {
  if (!group.empty()) kill_until_gone(directory, [&] { return kill_group(group); });
  const auto mark = mark_of(directory);
  kill_until_gone(directory, [&] { return kill_marked(mark); });
}

bool has_processes(const std::string& directory, const std::string& group) {
  const auto own = group.empty() ? std::nullopt : os::Cgroup::open(group);
  return (own && own->populated()) || !os::processes_with_environment(mark_of(directory)).empty();
}

}  // namespace berth::shim

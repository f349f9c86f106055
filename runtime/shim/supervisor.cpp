#include "runtime/shim/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <optional>
#include <utility>

#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/logs/log_cap.hpp"
#include "runtime/os/beneath.hpp"
#include "runtime/os/device_filter.hpp"
#include "runtime/os/file.hpp"
#include "runtime/os/inotify.hpp"
#include "runtime/os/lock.hpp"
#include "runtime/shim/apart.hpp"
#include "runtime/shim/command.hpp"
#include "runtime/shim/contract.hpp"
#include "runtime/shim/ending_file.hpp"
#include "runtime/shim/tree.hpp"

namespace berth::shim {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;
using Deadline = std::optional<Steady>;

constexpr milliseconds kFirstKillAgain{20};
constexpr milliseconds kLastKillAgain{1000};
constexpr milliseconds kLookWithoutWatches{250};
constexpr std::size_t kLongestReason = 1000;
constexpr std::size_t kLongestHandover = 256U << 20;
constexpr std::size_t kLongestFailure = 4000;

NotStarted failure(const Error& error) { return {126, error.describe().substr(0, kLongestFailure)}; }

bool passed(const Deadline& deadline) { return deadline && *deadline <= SteadyClock::now(); }

// Makes a directory that belongs to the job's user; one that is there stays as it is. What the user could
// have put in its place is not followed.
void make_owned(const std::string& path, const std::optional<os::Identity>& owner) {
  os::make_directories(os::parent_of(path), 0711);
  if (::mkdir(path.c_str(), 0755) < 0) {
    if (errno == EEXIST) return;
    throw_errno("make directory", path);
  }
  if (!owner) return;
  const auto directory = os::open_directory(path);
  if (::fchown(directory.get(), owner->uid, owner->gid) < 0) throw_errno("give away directory", path);
}

os::Fd child_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGCONT);  // somebody had stopped it
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  os::Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw_errno("watch", "child processes");
  return fd;
}

// The directory's and the log's watches. A user may be out of inotify instances: then the supervisor looks by
// itself a few times a second.
class Watches {
 public:
  explicit Watches(const std::string& directory) {
    try {
      inotify_.emplace();
      directory_ = inotify_->add(directory, IN_MOVED_TO | IN_ONLYDIR);
    } catch (const Error&) {
      inotify_.reset();
    }
  }

  bool work() const { return inotify_.has_value(); }
  int fd() const { return inotify_ ? inotify_->fd().get() : -1; }

  // Tells once when the file is written to.
  void arm(const os::Fd& log) {
    if (!inotify_) return;
    try {
      log_ = inotify_->add(log, IN_MODIFY | IN_ONESHOT);
    } catch (const Error&) {
      inotify_.reset();
    }
  }

  struct News {
    bool stop = false;
    bool log = false;
  };
  News read() {
    News news;
    for (const auto& event : inotify_->read()) {
      if (event.mask & IN_Q_OVERFLOW) news = {true, true};
      if (event.watch == directory_ && event.name == kStopFile) news.stop = true;
      if (event.watch == log_ && (event.mask & IN_MODIFY)) news.log = true;
    }
    return news;
  }

 private:
  std::optional<os::Inotify> inotify_;
  int directory_ = -1;
  int log_ = -1;
};

class Supervisor {
 public:
  Supervisor(const std::string& directory, const Launch& launch, const os::FileLock& claim)
      : directory_(directory),
        launch_(launch),
        claim_(claim),
        clock_(system_clock()),
        signals_(child_signals()),
        watches_(directory),
        tree_(launch.cgroup),
        log_(os::open(file(kLogFile), O_WRONLY | O_CREAT | O_APPEND, 0600)),
        cap_(log_, file(kLogIndexFile), launch.log_cap, clock_) {}

  // Until the last process is gone.
  Ended run() {
    try {
      start();
      while (!over_) {
        wait();
        look_for_stop();
        look_at_log();
        look_at_command();
        look_at_processes();
        look_at_time();
      }
      conclude();
    } catch (...) {
      fail(error_from(std::current_exception()));
    }
    remove_secrets();
    tree_.remove();
    return ended_;
  }

 private:
  std::string file(const char* name) const { return os::join(directory_, name); }

  void start() {
    ended_.started = ended_.ended = clock_.now();
    look_for_stop_ = true;  // it may have come before the watch
    look_for_stop();
    if (over_) return;
    if (launch_.overlay)
      for (const auto& path : {launch_.overlay->upper, launch_.overlay->work, launch_.overlay->target})
        make_owned(path, launch_.identity);
    if (tree_.group()) tree_.group()->limit(launch_.limits);
    filter_devices();
    watches_.arm(log_);
    command_ = Command::start(launch_, directory_, log_, tree_.group());
  }

  // In the job's own file system they are gone with it, and were never seen from here.
  void remove_secrets() {
    if (!launch_.secret_place || launch_.secret_place->mounted) return;
    bool lay_on_disk = false;
    for (const auto& [name, content] : launch_.secrets.files)
      if (os::remove_file(os::join(launch_.secret_place->directory, name))) lay_on_disk = true;
    if (lay_on_disk)
      ended_.remarks.push_back(
          "its secrets lay in a directory on disk while it ran, since no file system in memory could be mounted for "
          "it");
  }

  // Its variables tell the job what is its own even where nothing enforces it.
  void filter_devices() {
    if (launch_.devices.empty()) return;
    try {
      if (tree_.group() == nullptr) throw Error(Code::unsupported, "the job has no control group");
      os::attach_device_filter(*tree_.group(), launch_.devices);
    } catch (const Error& error) {
      ended_.remarks.push_back("the job could open GPUs that are not its own: " + error.describe());
    }
  }

  void wait() {
    std::array<pollfd, 3> polls{{{signals_.get(), POLLIN, 0},
                                 {watches_.fd(), POLLIN, 0},
                                 {command_ ? command_->status().get() : -1, POLLIN, 0}}};
    const auto left = time_left();
    if (::ppoll(polls.data(), polls.size(), left ? &*left : nullptr, nullptr) < 0) {
      if (errno == EINTR) return;
      throw_errno("wait for", "the job");
    }
    look_at_processes_ = polls[0].revents != 0;
    look_at_command_ = polls[2].revents != 0;
    if (polls[1].revents != 0) {
      const auto news = watches_.read();
      look_for_stop_ = news.stop;
      look_at_log_ = news.log && !log_deadline_;
    }
    if (passed(log_deadline_)) look_at_log_ = true;
    if (!watches_.work()) look_for_stop_ = look_at_log_ = true;
  }

  // Until the next deadline; nothing when there is none: a silent job wakes nobody.
  std::optional<timespec> time_left() const {
    Deadline next;
    for (const auto& deadline : {log_deadline_, timeout_deadline_, grace_deadline_, kill_deadline_})
      if (deadline && (!next || *deadline < *next)) next = deadline;
    const auto now = SteadyClock::now();
    if (!watches_.work()) next = std::min(next.value_or(Steady::max()), now + kLookWithoutWatches);
    if (!next) return std::nullopt;
    const auto left = std::max(std::chrono::nanoseconds(*next - now), std::chrono::nanoseconds(0));
    return timespec{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
  }

  void look_for_stop() {
    if (!std::exchange(look_for_stop_, false)) return;
    std::optional<Stop> stop;
    try {
      const auto text = os::read_plain_if_exists(file(kStopFile), os::trusted_file(), 1U << 20);
      if (!text || *text == last_stop_) return;
      last_stop_ = *text;
      stop = stop_from_text(*text);
    } catch (const Error&) {
      stop = Stop{kVersion, launch_.stop_signal, launch_.stop_grace, "stopped"};  // unreadable, but a stop
    }
    this->stop(*stop);
  }

  void stop(const Stop& stop) {
    if (killing()) return;
    if (ended_.stopped_because.empty()) ended_.stopped_because = stop.reason.substr(0, kLongestReason);
    if (ended_.stopped_because.empty()) ended_.stopped_because = "stopped";
    signal_ = stop.signal > 0 && stop.signal < NSIG ? stop.signal : SIGTERM;
    if (!command_) {
      ended_.outcome = NotStarted{128 + signal_, "it was stopped before it started"};
      over_ = true;
      return;
    }
    // Before it is the command it may still ignore what the supervisor ignores.
    if (!begun_ || signal_ == SIGKILL || stop.grace <= milliseconds(0)) return kill();
    tell_reason(stop);
    grace_deadline_ = SteadyClock::now() + std::min<milliseconds>(stop.grace, std::chrono::hours(24 * 365));
    if (exit_) return tree_.signal(signal_);
    ::kill(command_->pid(), signal_);  // not reaped yet: the number is still its own
    ::kill(command_->pid(), SIGCONT);
  }

  // For the job, which may want to save its work according to it. A full disk is no reason not to stop.
  void tell_reason(const Stop& stop) const {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(stop.grace).count();
    try {
      os::write_file(file(kStopReasonFile), ended_.stopped_because + "\n" + std::to_string(seconds) + "\n", 0644,
                     os::Durable::no);
    } catch (const Error&) {
    }
  }

  bool killing() const { return kill_deadline_.has_value(); }

  void kill() {
    tree_.kill();
    grace_deadline_.reset();
    kill_deadline_ = SteadyClock::now() + kill_again_;
    kill_again_ = std::min(kill_again_ * 2, kLastKillAgain);
  }

  // At most one look per kLookInterval. While the log grows it is looked at by the timer and the watch stays
  // off, so that a chatty job pays for no events; when it rests, the watch is armed and there is no timer.
  void look_at_log() {
    if (!std::exchange(look_at_log_, false)) return;
    log_deadline_.reset();
    bool again = cap_.observe();
    if (!again) {
      watches_.arm(log_);
      again = cap_.observe();  // what came in between has told nobody
    }
    if (again) log_deadline_ = SteadyClock::now() + logs::kLookInterval;
  }

  void look_at_command() {
    if (!std::exchange(look_at_command_, false)) return;
    const auto progress = command_->progress();
    if (std::holds_alternative<Command::Ready>(progress)) return let_go();
    if (const auto* reason = std::get_if<NotStarted>(&progress)) not_started_ = *reason;
  }

  void let_go() {
    if (exit_ || !ended_.stopped_because.empty()) return;  // on its way out: it never becomes the command
    begun_ = SteadyClock::now();
    ended_.started = clock_.now();
    const Started started{kVersion,
                          os::boot_id(),
                          os::process_id(::getpid()).value_or(os::ProcessId{::getpid(), 0}),
                          os::process_id(command_->pid()).value_or(os::ProcessId{command_->pid(), 0}),
                          tree_.group() ? tree_.group()->path() : std::string(),
                          ended_.started};
    try {
      record(to_text(started));
    } catch (const Error& error) {
      not_started_ = NotStarted{126, error.describe()};
      return kill();
    }
    if (launch_.timeout) timeout_deadline_ = *begun_ + *launch_.timeout;
    command_->let_go();
  }

  // No further file, which would cost more than all else here (ext4 looks at each that was removed of late).
  void record(const std::string& started) const {
    const auto part = file(kStartedPart);
    if (::ftruncate(claim_.file().get(), 0) < 0) throw_errno("empty", file(kClaimFile));
    os::write_all_at(claim_.file(), started, 0);
    const bool named =
        ::link(file(kClaimFile).c_str(), part.c_str()) == 0 && ::rename(part.c_str(), file(kStartedFile).c_str()) == 0;
    if (!named) os::write_file(file(kStartedFile), started, 0600, os::Durable::no);
  }

  void look_at_processes() {
    if (std::exchange(look_at_processes_, false)) {
      std::array<signalfd_siginfo, 8> drained;
      for (ssize_t length = 0; (length = ::read(signals_.get(), drained.data(), sizeof drained)) > 0;)
        for (std::size_t i = 0; i < static_cast<std::size_t>(length) / sizeof drained[0]; ++i)
          if (drained[i].ssi_signo == SIGCONT) note_stopped();
    } else if (!killing()) {
      return;
    }
    if (const auto exit = tree_.reap(command_->pid())) main_ended(*exit);
    if (exit_ && tree_.empty()) over_ = true;
  }

  void note_stopped() {
    constexpr const char* kRemark = "its records were changed: its supervisor was stopped from outside, and went on";
    if (ended_.remarks.empty() || ended_.remarks.back() != kRemark) ended_.remarks.emplace_back(kRemark);
  }

  void main_ended(os::Exit exit) {
    exit_ = exit;
    ended_.ended = clock_.now();
    if (begun_) ended_.duration = std::chrono::duration_cast<Micros>(SteadyClock::now() - *begun_);
    timeout_deadline_.reset();
    if (tree_.empty()) return;
    if (grace_deadline_)
      tree_.signal(signal_);  // to those it has left behind, for the rest of the grace
    else if (!killing())
      kill();
  }

  void look_at_time() {
    if (over_) return;
    if (passed(timeout_deadline_)) {
      timeout_deadline_.reset();
      if (ended_.stopped_because.empty()) stop({kVersion, launch_.stop_signal, launch_.stop_grace, kStoppedTimedOut});
    }
    if (passed(grace_deadline_) || passed(kill_deadline_)) kill();
  }

  void conclude() {
    if (!command_) return;
    if (command_->status()) look_at_command_ = true;  // its last word, when it has ended and nobody listened
    look_at_command();
    ended_.outcome = outcome();
    const auto use = tree_.use();
    ended_.user_cpu = use.user;
    ended_.system_cpu = use.system;
    ended_.peak_memory = ByteSize(use.peak_memory);
    ended_.io_read = ByteSize(use.io_read);
    ended_.io_written = ByteSize(use.io_written);
    ended_.out_of_memory_kills = use.out_of_memory_kills;
    cap_.finish();
    ended_.log_bytes = cap_.size();
  }

  // The supervisor itself failed: no job runs on whose ending says so.
  void fail(const Error& error) {
    ended_.outcome = failure(error);
    if (!command_) return;
    for (tree_.reap(command_->pid()); !tree_.empty(); tree_.reap(command_->pid())) {
      tree_.kill();
      ::poll(nullptr, 0, static_cast<int>(kFirstKillAgain.count()));
    }
  }

  Outcome outcome() const {
    if (not_started_) return *not_started_;
    if (begun_) return *exit_;
    if (!ended_.stopped_because.empty()) return NotStarted{128 + signal_, "it was stopped before it started"};
    return NotStarted{126, "its process was killed before it could start"};
  }

  const std::string& directory_;
  const Launch& launch_;
  const os::FileLock& claim_;
  const Clock& clock_;
  os::Fd signals_;
  Watches watches_;
  Tree tree_;
  os::Fd log_;
  logs::LogCap cap_;
  std::optional<Command> command_;

  bool look_for_stop_ = false;
  bool look_at_log_ = false;
  bool look_at_command_ = false;
  bool look_at_processes_ = false;
  Deadline log_deadline_;
  Deadline timeout_deadline_;
  Deadline grace_deadline_;
  Deadline kill_deadline_;  // set: everything is being killed, and is killed again when it passes
  milliseconds kill_again_ = kFirstKillAgain;

  int signal_ = SIGTERM;
  std::string last_stop_;
  std::optional<NotStarted> not_started_;
  std::optional<Steady> begun_;
  std::optional<os::Exit> exit_;
  bool over_ = false;
  Ended ended_;
};

// They are nowhere on disk from now on, whatever becomes of them.
Secrets take_secrets(const std::string& path) {
  auto text = os::read_file_if_exists(path);
  os::remove_file(path);
  if (!text) throw Error(Code::not_found, "the job's secrets are not there");
  try {
    return secrets_from_text(*text);
  } catch (const Error&) {  // which may tell of them
    throw Error(Code::corrupt, "the job's secrets cannot be read");
  }
}

std::string name_of(const std::string& variable) { return variable.substr(0, variable.find('=')); }

void add_secrets(Launch& launch) {
  auto secrets = std::exchange(launch.secrets, {});
  for (auto& variable : secrets.environment) {
    std::erase_if(launch.environment, [&](const auto& other) { return name_of(other) == name_of(variable); });
    launch.environment.push_back(std::move(variable));
  }
  if (!secrets.command.empty()) launch.command = std::move(secrets.command);
  launch.secrets.files = std::move(secrets.files);
}

Launch read_launch(const std::string& directory, const os::Fd& handed_over) {
  if (handed_over) return launch_from_handover(os::read_all(handed_over, kLongestHandover));
  const auto path = os::join(directory, kLaunchFile);
  const auto text = os::read_file(path);
  std::optional<Launch> launch;
  try {
    launch = launch_from_text(text);
  } catch (Error& error) {
    error.add_context("reading " + path);
    throw;
  }
  if (launch->secret_place) launch->secrets = take_secrets(os::join(directory, kSecretsFile));
  return std::move(*launch);
}

// A launch that the agent hands over has its claim already; one that has none any more is not for anybody to run.
std::optional<os::FileLock> take_claim(const std::string& directory, bool handed_over) {
  const auto path = os::join(directory, kClaimFile);
  if (!handed_over) return os::FileLock::try_acquire(path);
  auto claim = os::FileLock::try_acquire_existing(path);
  struct stat info {};
  const bool taken_away = claim && (::fstat(claim->file().get(), &info) < 0 || info.st_nlink == 0);
  if (taken_away) claim.reset();
  return claim;
}

bool may_run(const std::string& directory, const os::FileLock& claim) {
  return !os::read_all(claim.file(), 4096).starts_with(kRevoked) && !os::exists(os::join(directory, kStartedFile)) &&
         !os::exists(os::join(directory, kEndingFile));
}

}  // namespace

void supervise(const std::string& directory, os::Fd handed_over) {
  act_apart(directory);
  const auto claim = take_claim(directory, static_cast<bool>(handed_over));
  if (!claim || !may_run(directory, *claim)) return;
  EndingFile ending(directory);
  Ended ended;
  ended.started = ended.ended = system_clock().now();
  std::optional<Launch> launch;
  std::optional<Supervisor> supervisor;  // outlives the ending: closing an inotify instance takes some 10 ms
  try {
    if (ending.problem()) throw Error(*ending.problem());
    launch = read_launch(directory, handed_over);
    handed_over.reset();
    if (launch->secret_place) add_secrets(*launch);
    ended = supervisor.emplace(directory, *launch, *claim).run();
  } catch (...) {  // a border: whoever waits for the job must learn of it
    ended.outcome = failure(error_from(std::current_exception()));
  }
  ending.write(ended);
}

}  // namespace berth::shim

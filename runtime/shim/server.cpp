#include "runtime/shim/server.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/os/fd.hpp"
#include "runtime/os/message.hpp"
#include "runtime/shim/seal.hpp"

namespace berth::shim {
namespace {

constexpr std::size_t kIdle = 2;  // supervisors in advance
constexpr int kForkAgainMs = 100;

sigset_t only_sigchld() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  return set;
}

void answer(int socket, bool has_key) {
  const std::array<pid_t, 2> words{::getpid(), 1};
  const std::size_t length = has_key ? sizeof words : sizeof words[0];
  const os::Fd self(static_cast<int>(::syscall(SYS_pidfd_open, words[0], 0)));
  os::send_message(socket, {reinterpret_cast<const char*>(words.data()), length}, self.get());
}

// One idle supervisor, until it has had a job or there will be none.
[[noreturn]] void be_supervisor(int socket, os::Fd taken, Supervise supervise) {
  std::array<char, kLongestRequest + 1> directory{};
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // somebody may have stopped it, so that it does not see the socket closed
  auto message = os::receive_message(socket, std::span(directory).first(kLongestRequest));
  ::prctl(PR_SET_PDEATHSIG, 0);
  if (message.length == 0) ::_exit(0);
  const pid_t pid = ::getpid();
  [[maybe_unused]] const auto written = ::write(taken.get(), &pid, sizeof pid);
  const std::string_view request(directory.data(), message.length);
  const auto end = request.find('\0');
  if (end != request.npos) keep_key(request.substr(end + 1));
  answer(socket, !kept_key().empty());
  if (message.incomplete) ::_exit(1);  // there is no launch to run: who waits finds that it was never claimed
  taken.reset();
  ::close(socket);
  supervise(directory.data(), std::move(message.descriptor));
  ::_exit(0);
}

class Server {
 public:
  Server(int socket, Supervise supervise)
      : socket_(socket), supervise_(supervise), taken_(os::make_pipe()), ended_(watch_children()) {
    ::fcntl(taken_.read.get(), F_SETFL, O_NONBLOCK);
  }

  void run() {
    while (!closed_) {
      fork_idle();
      wait();
      note_taken();
      reap();
    }
  }

 private:
  static os::Fd watch_children() {
    const auto set = only_sigchld();
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    return os::Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  void fork_idle() {
    while (idle_.size() < kIdle) {
      const pid_t pid = ::fork();
      if (pid < 0) return;
      if (pid == 0) {
        const auto set = only_sigchld();
        ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
        ended_.reset();
        taken_.read.reset();
        be_supervisor(socket_, std::move(taken_.write), supervise_);
      }
      idle_.push_back(pid);
    }
  }

  // Without a time limit unless a fork has failed.
  void wait() {
    std::array<pollfd, 3> polls{{{socket_, 0, 0}, {taken_.read.get(), POLLIN, 0}, {ended_.get(), POLLIN, 0}}};
    ::poll(polls.data(), polls.size(), idle_.size() < kIdle ? kForkAgainMs : -1);
    closed_ = (polls[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
  }

  void note_taken() {
    pid_t pid = 0;
    while (::read(taken_.read.get(), &pid, sizeof pid) == sizeof pid) std::erase(idle_, pid);
  }

  void reap() {
    std::array<signalfd_siginfo, 8> drained;
    while (::read(ended_.get(), drained.data(), sizeof drained) > 0) continue;
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0;) {
      if (WIFSTOPPED(status))
        ::kill(pid, SIGCONT);  // it has a job, which nobody watches meanwhile; it tells
      else
        std::erase(idle_, pid);
    }
  }

  int socket_;
  Supervise supervise_;
  os::Pipe taken_;
  os::Fd ended_;
  std::vector<pid_t> idle_;
  bool closed_ = false;
};

}  // namespace

void serve(int socket, Supervise supervise) { Server(socket, supervise).run(); }

}  // namespace berth::shim

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
#include <cstring>
#include <string_view>
#include <vector>

#include "runtime/os/fd.hpp"
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
  const pid_t pid = words[0];
  const os::Fd self(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  iovec part{const_cast<pid_t*>(words.data()), has_key ? sizeof words : sizeof pid};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (self) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    auto* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = self.get();
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  [[maybe_unused]] const auto sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

// The length of the request, 0 when there will be none; `launch` where one came with it.
ssize_t receive(int socket, std::array<char, kLongestRequest + 1>& request, os::Fd& launch) {
  iovec part{request.data(), kLongestRequest};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t length = 0;
  while ((length = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) continue;
  // With a launch that did not come through there is nothing to run: who asked finds that it was never claimed.
  if (length > 0 && (message.msg_flags & MSG_CTRUNC) != 0) return 0;
  const auto* rights = length > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (rights == nullptr || rights->cmsg_type != SCM_RIGHTS) return length;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
  launch.reset(fd);
  return length;
}

// One idle supervisor, until it has had a job or there will be none.
[[noreturn]] void be_supervisor(int socket, os::Fd taken, Supervise supervise) {
  std::array<char, kLongestRequest + 1> directory{};
  os::Fd launch;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // somebody may have stopped it, so that it does not see the socket closed
  const auto length = receive(socket, directory, launch);
  ::prctl(PR_SET_PDEATHSIG, 0);
  if (length <= 0) ::_exit(0);
  const pid_t pid = ::getpid();
  [[maybe_unused]] const auto written = ::write(taken.get(), &pid, sizeof pid);
  const std::string_view request(directory.data(), static_cast<std::size_t>(length));
  const auto end = request.find('\0');
  if (end != request.npos) keep_key(request.substr(end + 1));
  answer(socket, !kept_key().empty());
  taken.reset();
  ::close(socket);
  supervise(directory.data(), std::move(launch));
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

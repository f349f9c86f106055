#include "agent/cli/interrupts.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>

#include "agent/cli/agent.hpp"
#include "agent/cli/dispatch.hpp"
#include "agent/cli/output.hpp"
#include "runtime/base/error.hpp"

namespace berth::cli {
namespace {

constexpr int kCanceledExit = 130;

// What happens to the job when signals come.
class Dialogue {
 public:
  Dialogue(std::string job, std::string socket, int signals, int stop)
      : job_(std::move(job)), socket_(std::move(socket)), signals_(signals), stop_(stop) {
    if (::isatty(STDIN_FILENO) != 0 && ::isatty(STDERR_FILENO) != 0)
      terminal_ = os::Fd(::open("/dev/tty", O_RDONLY | O_CLOEXEC));
  }

  void run() {
    for (;;) {
      const int keys = asking_ ? terminal_.get() : -1;
      std::array<pollfd, 3> sources{{{stop_, POLLIN, 0}, {signals_, POLLIN, 0}, {keys, POLLIN, 0}}};
      if (::poll(sources.data(), sources.size(), -1) < 0) continue;
      if (sources[0].revents != 0) return;
      if (sources[1].revents != 0) answer_signal();
      if (sources[2].revents != 0) answer_key();
    }
  }

 private:
  void answer_signal() {
    signalfd_siginfo info{};
    if (::read(signals_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
    if (info.ssi_signo == SIGHUP) detach();
    if (canceled_) ::_exit(kCanceledExit);
    if (info.ssi_signo == SIGINT && terminal_ && !asking_) return ask();
    cancel();
  }

  void ask() {
    asking_ = true;
    print_error("\nberth: " + job_ + " is still going. [d]etach and leave it, [c]ancel it, or go on [f]ollowing? ");
  }

  void answer_key() {
    std::array<char, 256> line{};
    const auto length = ::read(terminal_.get(), line.data(), line.size());
    const char key = length > 0 ? line[0] : 'd';  // the terminal is gone
    if (key == 'd' || key == 'D') detach();
    if (key == 'c' || key == 'C') return cancel();
    asking_ = false;
    if (key != 'f' && key != 'F' && key != '\n') ask();
  }

  void cancel() {
    asking_ = false;
    canceled_ = true;
    remark("canceling " + job_);
    try {
      Agent(socket_).act(job_, "cancel");
    } catch (...) {
      canceled_ = false;  // so that another Ctrl-C tries again
      print_error(failure_text(error_from(std::current_exception())));
    }
  }

  [[noreturn]] void detach() {
    remark("detached; `berth logs -f " + job_ + "` follows it again, `berth cancel " + job_ + "` stops it");
    ::_exit(0);
  }

  std::string job_;
  std::string socket_;
  int signals_;
  int stop_;
  os::Fd terminal_;
  bool asking_ = false;
  bool canceled_ = false;
};

}  // namespace

void Interrupts::hold_back() {
  sigset_t mine;
  ::sigemptyset(&mine);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) ::sigaddset(&mine, signal);  // nohup means it
  }
  ::pthread_sigmask(SIG_BLOCK, &mine, &before_);
  signals_ = os::Fd(::signalfd(-1, &mine, SFD_CLOEXEC));
  stop_ = os::Fd(::eventfd(0, EFD_CLOEXEC));
  if (!signals_ || !stop_) throw_errno("watch", "signals");
}

void Interrupts::watch(std::string job, std::string socket) {
  thread_ = std::thread([this, job = std::move(job), socket = std::move(socket)] {
    Dialogue(job, socket, signals_.get(), stop_.get()).run();
  });
}

Interrupts::~Interrupts() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(stop_.get(), &one, sizeof one);
    thread_.join();
  }
  if (signals_) ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace berth::cli

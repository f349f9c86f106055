#include "runtime/async/tool.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/process/v2/process.hpp>
#include <cerrno>
#include <exception>

#include "runtime/async/attempt.hpp"
#include "runtime/async/deadline.hpp"
#include "runtime/async/nursery.hpp"
#include "runtime/async/run.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"

namespace berth::async {
namespace {

namespace asio = boost::asio;
using Process = boost::process::v2::basic_process<Executor>;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

// In place of the library's own launchers: os::spawn says what could not be done on what, becomes the user, hands over
// no descriptor, and forks a process that has threads safely.
class Program {
 public:
  Program(const Executor& executor, const os::SpawnOptions& options) : process_(start(executor, options)) {}
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (has_ended()) static_cast<void>(process_.detach());  // its number may be another's by now
  }

  pid_t id() const { return process_.id(); }

  Task<> end() {
    const auto [failure, code] = co_await process_.async_wait(kToken);
    if (failure == asio::error::operation_aborted) throw Cancelled();
    check(failure, "wait for", "a program");
  }

  // With all that it started, as far as that has stayed in its session.
  Task<> kill() {
    if (has_ended()) co_return;
    ::kill(-process_.id(), SIGKILL);
    ::kill(process_.id(), SIGKILL);  // where it has not got as far as to a session
    co_await end();
  }

  os::Exit exit() const {
    const int status = process_.native_exit_code();
    if (WIFSIGNALED(status)) return {.signalled = true, .status = WTERMSIG(status)};
    return {.signalled = false, .status = WEXITSTATUS(status)};
  }

 private:
  static Process start(const Executor& executor, const os::SpawnOptions& options) {
    auto child = os::spawn(options);
    return Process(executor, child.id.pid, child.pidfd.release());
  }
  bool has_ended() const { return !boost::process::v2::process_is_running(process_.native_exit_code()); }

  Process process_;
};

// One of its streams.
class Output {
 public:
  Output(const Executor& executor, os::SpawnOptions& program, int os::SpawnOptions::*stream, std::size_t most)
      : most_(most), pipe_(executor) {
    auto ends = os::make_pipe();
    pipe_.assign(ends.read.release());
    pipe_.non_blocking(true);
    other_end_ = std::move(ends.write);
    program.*stream = other_end_.get();
  }

  void close_other_end() { other_end_.reset(); }

  Task<> read() {
    std::array<char, 16384> buffer;
    for (;;) {
      const auto into = asio::buffer(buffer);
      const auto [failure, length] = co_await pipe_.async_read_some(into, kToken);
      if (failure) co_return;
      take({buffer.data(), length});
    }
  }

  // What is there when the program has ended; as much as a pipe can hold, so that an endless writer keeps nobody.
  std::string finish() {
    std::array<char, 16384> buffer;
    for (std::size_t taken = 0; taken < 1U << 20;) {
      const auto length = ::read(pipe_.native_handle(), buffer.data(), buffer.size());
      if (length < 0 && errno == EINTR) continue;
      if (length <= 0) break;
      taken += static_cast<std::size_t>(length);
      take({buffer.data(), static_cast<std::size_t>(length)});
    }
    return std::move(text_);
  }

 private:
  void take(std::string_view bytes) { text_ += bytes.substr(0, most_ - std::min(most_, text_.size())); }

  const std::size_t most_;
  std::string text_;
  asio::posix::basic_stream_descriptor<Executor> pipe_;
  os::Fd other_end_;
};

Error took_too_long(const std::string& program, std::chrono::milliseconds time) {
  return Error(Code::timeout, printable(program) + " did not end within " + to_words(time));
}

}  // namespace

Task<os::Finished> run_tool(os::SpawnOptions program, ToolBounds bounds, ToolStarted started) {
  const auto executor = co_await this_coro::executor;
  program.new_session = true;
  Output output(executor, program, &os::SpawnOptions::standard_output, bounds.output);
  Output errors(executor, program, &os::SpawnOptions::standard_error, bounds.output);
  Program running(executor, program);
  if (started) started(running.id());
  output.close_other_end();
  errors.close_other_end();
  std::exception_ptr unread;  // what kept its output from being taken
  Nursery readers(executor, [&unread](std::exception_ptr failure) { unread = std::move(failure); });
  readers.spawn(output.read());
  readers.spawn(errors.read());
  auto ended = with_cleanup(with_deadline(bounds.time, running.end()), running.kill());
  const auto done = co_await attempt(with_cleanup(std::move(ended), readers.stop_and_join()));
  if (!done && done.error().code() == Code::timeout) throw took_too_long(program.arguments.front(), bounds.time);
  if (!done) throw done.error();
  if (unread) std::rethrow_exception(unread);
  os::Finished finished;
  finished.exit = running.exit();
  finished.output = output.finish();
  finished.errors = errors.finish();
  co_return finished;
}

os::Finished run_tool_here(os::SpawnOptions program, ToolBounds bounds, ToolStarted started) {
  return run_to_end(run_tool(std::move(program), bounds, std::move(started)));
}

}  // namespace berth::async

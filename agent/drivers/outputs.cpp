#include "agent/drivers/outputs.hpp"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>

#include "runtime/async/errand.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"

namespace berth::drivers {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr int kTries = 3;  // while the tree changes under the gatherer's hands
constexpr int kChanged = 3;
constexpr std::size_t kLongestReason = 2000;
constexpr milliseconds kLook{500};
constexpr int kEndsWithinMs = 5000;

// In memory and without a name, so that nothing can block on it.
os::Fd file_of(const std::string& bytes) {
  auto file = os::make_memory_file("berth-collect");
  os::write_all(file, bytes);
  os::rewind(file);
  return file;
}

// The gatherer's answer for as long as it may take: nothing of the gatherer's can keep the reader waiting for longer.
class Answer : public snapshot::ByteSource {
 public:
  Answer(const os::Fd& pipe, SteadyClock::time_point deadline, const std::stop_token& stop)
      : pipe_(pipe), deadline_(deadline), stop_(stop) {}

  std::size_t read(std::span<char> room) override {
    for (;;) {
      if (stop_.stop_requested()) throw Cancelled();
      const auto left = std::chrono::duration_cast<milliseconds>(deadline_ - SteadyClock::now());
      if (left.count() <= 0) throw Error(Code::timeout, "it took too long");
      pollfd poll{pipe_.get(), POLLIN, 0};
      const int ready = ::poll(&poll, 1, static_cast<int>(std::min(left, kLook).count()));
      if (ready > 0) return os::read_some(pipe_, room);
      if (ready < 0 && errno != EINTR) throw_errno("read", "the answer");
    }
  }

 private:
  const os::Fd& pipe_;
  SteadyClock::time_point deadline_;
  const std::stop_token& stop_;
};

class Gathering {
 public:
  Gathering(const CollectSettings& settings, const CollectFrom& from)
      : request_(file_of(from.request.to_bytes())),
        answer_(os::make_pipe()),
        errors_(os::make_pipe()),
        errand_({settings.cgroup_base, from.limits}, program(settings, from)) {}

  // What it answered; an Error in the words of whoever knows best why not.
  Collected receive(objects::Store& store, const snapshot::ReceiveLimits& limits, SteadyClock::time_point deadline,
                    const std::stop_token& stop) {
    child_ = &errand_.start();
    answer_.write.reset();
    errors_.write.reset();
    const std::stop_callback when_stopped(stop, [this] { errand_.kill(); });
    Answer answer(answer_.read, deadline, stop);
    std::optional<Error> failure;
    try {
      auto collection = snapshot::receive_collection(store, answer, limits);
      return {collection.snapshot, ByteSize(collection.bytes), std::move(collection.left_out),
              std::move(collection.pin)};
    } catch (const Error& error) {
      failure = error;
    }
    if (stop.stop_requested()) throw Cancelled();
    if (failure->code() == Code::corrupt) explain();  // it ended early, and knows why
    throw *failure;
  }

 private:
  os::SpawnOptions program(const CollectSettings& settings, const CollectFrom& from) const {
    os::SpawnOptions options;
    options.arguments = {settings.program, from.tree ? "-" : from.path};
    options.working_directory = "/";
    options.standard_input = request_.get();
    options.standard_output = answer_.write.get();
    options.standard_error = errors_.write.get();
    options.also = from.tree ? from.tree.get() : -1;
    options.identity = from.owner;
    return options;
  }

  // Throws where it can tell more than that the answer is none.
  void explain() {
    pollfd ended{child_->pidfd.get(), POLLIN, 0};
    if (::poll(&ended, 1, kEndsWithinMs) <= 0) return;
    if (errand_.out_of_memory()) throw Error(Code::io, "what gathers them ran out of memory");
    const auto exit = os::reap(child_->pidfd);
    if (exit.signalled) throw Error(Code::io, "what gathers them was ended by " + os::signal_name(exit.status));
    if (exit.status == 0) return;
    std::array<char, kLongestReason> text;
    ::fcntl(errors_.read.get(), F_SETFL, O_NONBLOCK);
    const auto length = ::read(errors_.read.get(), text.data(), text.size());
    std::string_view said(text.data(), length < 0 ? 0 : static_cast<std::size_t>(length));
    while (said.ends_with('\n')) said.remove_suffix(1);
    throw Error(exit.status == kChanged ? Code::conflict : Code::io,
                said.empty() ? "what gathers them failed" : printable(said));
  }

  os::Fd request_;
  os::Pipe answer_;
  os::Pipe errors_;
  async::Errand errand_;
  const os::Child* child_ = nullptr;  // its process
};

}  // namespace

Collected collect_outputs(objects::Store& store, const CollectSettings& settings, const CollectFrom& from,
                          const std::stop_token& stop) {
  const auto deadline = SteadyClock::now() + settings.time_limit;
  const snapshot::ReceiveLimits limits{from.request.most_bytes, from.request.most_entries + 1'000};
  for (int tries = 1;; ++tries) {
    try {
      return Gathering(settings, from).receive(store, limits, deadline, stop);
    } catch (const Error& error) {
      if (error.code() == Code::timeout)
        throw Error(Code::timeout, "they could not be collected within " + to_words(settings.time_limit));
      if (error.code() != Code::conflict || tries == kTries) throw;
    }
  }
}

}  // namespace berth::drivers

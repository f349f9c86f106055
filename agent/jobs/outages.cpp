// Jobs that wait for what the node lacks for a moment.

#include <algorithm>

#include "agent/jobs/outage.hpp"
#include "agent/jobs/runner.hpp"
#include "runtime/async/deadline.hpp"

namespace berth::jobs {
namespace {

constexpr std::chrono::milliseconds kFirstPause{200};
constexpr std::chrono::milliseconds kLongestPause{60'000};

}  // namespace

struct Runner::Outage {
  std::string what;
  std::string why;
  Instant since{};
  Steady began{};
  async::Backoff pause{kFirstPause, kLongestPause};
  drivers::Driver* away = nullptr;  // whose runtime it is
};

// False where it is none, or has lasted for longer than the configuration says.
bool Runner::note_outage(const Error& error) {
  const auto what = ended_ ? std::nullopt : outage_of(error);
  if (!what) return false;
  if (!outage_) {
    outage_ = std::make_shared<Outage>();
    outage_->since = context_.clock.now();
    outage_->began = context_.clock.steady();
    context_.log.warn("job waits for what the node lacks", kv("job", id_), kv("what", *what),
                      kv("error", error.describe()));
  }
  if (context_.clock.steady() - outage_->began >= context_.settings.outage_patience) {
    outage_.reset();
    return false;
  }
  outage_->what = *what;
  outage_->why = error.message();
  outage_->away = context_.drivers.away(error.lack());
  return true;
}

// Until it is worth another try.
Task<> Runner::sit_out(std::shared_ptr<Outage> outage) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      outage->began + context_.settings.outage_patience - context_.clock.steady());
  const auto pause = std::clamp(left, kFirstPause, outage->pause.next());
  co_await async::sleep_for(pause);
  if (outage->away == nullptr) co_return;
  auto waiting = outage->away->back();
  auto clock = async::sleep_for(std::max(left, kFirstPause));
  co_await async::run_until(std::move(waiting), std::move(clock));
}

// Of an attempt that has not run: gives its place back. False where it is no outage, or the job was canceled meanwhile.
Task<bool> Runner::postpone(Error error) {
  if (stopping_ || !note_outage(error)) co_return false;
  const auto outage = outage_;
  co_await context_.persist([this] { return context_.store.postpone(sequence_); }, "a wait");
  if (stopping_) co_return false;
  auto discard = [this, launch = attempt_->launch](const std::stop_token&) {
    context_.directories.discard(id_, launch);
  };
  co_await async::offload(context_.lanes.removing, uid_, discard);
  model::Attempt nothing;
  co_await give_back_gpus(nothing);
  if (stopping_) co_return false;
  leave_launch();
  attempts_ = attempt_->number - 1;
  if (!counted_) job_.reset();
  context_.queue.finish(sequence_);
  context_.queue.add(entry(false));
  enter(model::State::queued);
  spawn([outage](Runner& runner) { return runner.start_again(outage); });
  context_.schedule();
  co_return true;
}

Task<> Runner::start_again(std::shared_ptr<Outage> outage) {
  co_await sit_out(outage);
  if (ended_ || stopping_) co_return;
  context_.queue.set_ready(sequence_, true);
  context_.schedule();
}

std::optional<std::string> Runner::why_out() const {
  if (!outage_ || launched_ != 0) return std::nullopt;
  const auto since =
      std::max(std::chrono::seconds(1),
               std::chrono::duration_cast<std::chrono::seconds>(context_.clock.steady() - outage_->began));
  return "waits for " + outage_->what + ": " + outage_->why + "; since " + to_rfc3339(outage_->since) + ", for " +
         to_words(since) + " so far, and for " + to_words(context_.settings.outage_patience) + " at most";
}

}  // namespace berth::jobs

// Jobs that wait for what the node lacks for a moment.

#include <algorithm>

#include "agent/jobs/launching.hpp"
#include "agent/jobs/persist.hpp"
#include "runtime/async/deadline.hpp"

namespace berth::jobs {
namespace {

constexpr std::chrono::milliseconds kFirstPause{200};
constexpr std::chrono::milliseconds kLongestPause{60'000};

}  // namespace

struct Jobs::Outage {
  std::string what;
  std::string why;
  Instant since{};
  Steady began{};
  async::Backoff pause{kFirstPause, kLongestPause};
  drivers::Driver* away = nullptr;  // whose runtime it is
};

// False where it is none, or has lasted for longer than the configuration says.
bool Jobs::note_outage(Sequence sequence, const Error& error) {
  auto* live = find(sequence);
  const auto what = live == nullptr ? std::nullopt : outage_of(error);
  if (!what) return false;
  if (!live->outage) {
    live->outage = std::make_shared<Outage>();
    live->outage->since = clock_.now();
    live->outage->began = clock_.steady();
    log_.warn("job waits for what the node lacks", kv("job", live->id), kv("what", *what),
              kv("error", error.describe()));
  }
  if (clock_.steady() - live->outage->began >= settings_.outage_patience) {
    live->outage.reset();
    return false;
  }
  live->outage->what = *what;
  live->outage->why = error.message();
  live->outage->away = drivers_.away(error.lack());
  return true;
}

// Until it is worth another try.
Task<> Jobs::sit_out(std::shared_ptr<Outage> outage) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(outage->began + settings_.outage_patience -
                                                                          clock_.steady());
  const auto pause = std::clamp(left, kFirstPause, outage->pause.next());
  co_await async::sleep_for(pause);
  if (outage->away == nullptr) co_return;
  auto waiting = outage->away->back();
  auto clock = async::sleep_for(std::max(left, kFirstPause));
  co_await async::run_until(std::move(waiting), std::move(clock));
}

// Of an attempt that has not run: gives the slot back. False where it is no outage, or the job was canceled meanwhile.
Task<bool> Jobs::postpone(Run& run, Error error) {
  const auto sequence = run.sequence;
  if (find(sequence)->stopping || !note_outage(sequence, error)) co_return false;
  const auto outage = find(sequence)->outage;
  co_await persist([&] { return store_.postpone(sequence); }, "a wait");
  if (find(sequence)->stopping) co_return false;
  auto discard = [this, id = find(sequence)->id, launch = run.launch](const std::stop_token&) {
    directories_.discard(id, launch);
  };
  co_await async::offload(lanes_.removing, find(sequence)->uid, discard);
  model::Attempt nothing;
  nothing.ending = start_failed(error.describe());
  co_await give_back_gpus(sequence, nothing);
  auto* live = find(sequence);
  if (live->stopping) co_return false;
  live->leave_launch();
  queue_.finish(sequence);
  queue_.add(queue_entry(*run.job, false));
  enter(sequence, model::State::queued);
  nursery_.spawn(start_again(sequence, live->life, outage));
  schedule();
  co_return true;
}

Task<> Jobs::start_again(Sequence sequence, unsigned life, std::shared_ptr<Outage> outage) {
  co_await sit_out(outage);
  const auto* live = find(sequence);
  if (live == nullptr || live->life != life || live->stopping) co_return;
  queue_.set_ready(sequence, true);
  schedule();
}

std::optional<std::string> Jobs::why_out(const Live& live) const {
  if (!live.outage || live.launch != 0) return std::nullopt;
  const auto& outage = *live.outage;
  const auto since = std::max(std::chrono::seconds(1),
                              std::chrono::duration_cast<std::chrono::seconds>(clock_.steady() - outage.began));
  return "waits for " + outage.what + ": " + outage.why + "; since " + to_rfc3339(outage.since) + ", for " +
         to_words(since) + " so far, and for " + to_words(settings_.outage_patience) + " at most";
}

}  // namespace berth::jobs

// Which jobs there are at this moment, for those who look.

#include <algorithm>
#include <map>

#include "agent/jobs/jobs.hpp"

namespace berth::jobs {

void Jobs::complete(model::Job& job) const {
  if (const auto runner = find(job.sequence)) runner->complete(job);
}

std::optional<std::string> Jobs::why_waiting(Sequence job) const {
  if (const auto runner = find(job))
    if (auto words = runner->why_out()) return words;
  if (auto words = context_.environments.words(job, context_.clock.now())) return words;
  const auto waiting = context_.queue.why(job, context_.clock.steady());
  if (waiting.reason == queue::Waiting::Reason::not_waiting) return std::nullopt;
  return queue::to_words(waiting, [&](Sequence other) {
    const auto runner = find(other);
    return runner ? runner->id().value() : std::string("a job that just ended");
  });
}

Counts Jobs::counts() const {
  auto counts = ended_;
  for (const auto& [sequence, runner] : runners_) {
    switch (runner->state()) {
      case model::State::preparing:
        ++counts.preparing;
        break;
      case model::State::queued:
        ++counts.queued;
        break;
      case model::State::finalizing:
        ++counts.finalizing;
        break;
      default:
        ++counts.running;
    }
  }
  return counts;
}

std::vector<Sequence> Jobs::in_order(std::size_t most) const {
  std::vector<Sequence> sequences;
  for (const auto& [sequence, runner] : runners_)
    if (!context_.queue.is_waiting(sequence)) sequences.push_back(sequence);
  std::sort(sequences.begin(), sequences.end());
  sequences.resize(std::min(sequences.size(), most));
  for (const auto sequence : context_.queue.first_waiting(most - sequences.size())) sequences.push_back(sequence);
  return sequences;
}

std::vector<Jobs::RunningLaunch> Jobs::running() const {
  std::map<Sequence, RunningLaunch> launches;
  for (const auto& [sequence, runner] : runners_) {
    const bool running = runner->state() == model::State::running || runner->state() == model::State::cancel_requested;
    if (runner->launch() > 0 && running) launches.emplace(sequence, RunningLaunch{runner->id(), runner->launch()});
  }
  std::vector<RunningLaunch> running;
  for (auto& [sequence, launch] : launches) running.push_back(std::move(launch));
  return running;
}

std::vector<model::JobId> Jobs::live() const {
  std::vector<model::JobId> ids;
  ids.reserve(runners_.size());
  for (const auto& [sequence, runner] : runners_) ids.push_back(runner->id());
  return ids;
}

std::vector<std::string> Jobs::troubles() const {
  std::vector<std::string> troubles;
  if (auto trouble = context_.store.trouble()) troubles.push_back("new work is refused: " + std::move(*trouble));
  const auto& watcher = context_.watcher;
  if (watcher.polled() > 0)
    troubles.push_back(std::to_string(watcher.polled()) +
                       " files are looked at from time to time instead of being watched: " + watcher.why_polled() +
                       " (fs.inotify.max_user_watches and max_user_instances are the limits)");
  return troubles;
}

}  // namespace berth::jobs

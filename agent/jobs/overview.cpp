// Which jobs there are at this moment, for those who look.

#include <algorithm>
#include <map>

#include "agent/jobs/jobs.hpp"

namespace berth::jobs {

std::vector<Sequence> Jobs::in_order(std::size_t most) const {
  std::vector<Sequence> sequences;
  for (const auto& [sequence, live] : live_)
    if (!queue_.is_waiting(sequence)) sequences.push_back(sequence);
  std::sort(sequences.begin(), sequences.end());
  sequences.resize(std::min(sequences.size(), most));
  for (const auto sequence : queue_.first_waiting(most - sequences.size())) sequences.push_back(sequence);
  return sequences;
}

std::vector<Jobs::RunningLaunch> Jobs::running() const {
  std::map<Sequence, RunningLaunch> launches;
  for (const auto& [sequence, live] : live_)
    if (live.launch > 0 && (live.state == model::State::running || live.state == model::State::cancel_requested))
      launches.emplace(sequence, RunningLaunch{live.id, live.launch});
  std::vector<RunningLaunch> running;
  for (auto& [sequence, launch] : launches) running.push_back(std::move(launch));
  return running;
}

std::vector<model::JobId> Jobs::live() const {
  std::vector<model::JobId> ids;
  ids.reserve(live_.size());
  for (const auto& [sequence, live] : live_) ids.push_back(live.id);
  return ids;
}

std::vector<std::string> Jobs::troubles() const {
  std::vector<std::string> troubles;
  if (auto trouble = store_.trouble()) troubles.push_back("new work is refused: " + std::move(*trouble));
  if (watcher_.polled() > 0)
    troubles.push_back(std::to_string(watcher_.polled()) +
                       " files are looked at from time to time instead of being watched: " + watcher_.why_polled() +
                       " (fs.inotify.max_user_watches and max_user_instances are the limits)");
  return troubles;
}

}  // namespace berth::jobs

#include "tests/agent/queue/naive_queue.hpp"

#include <algorithm>
#include <cstdint>

namespace berth::queue {
namespace {

bool before(const Entry& a, const Entry& b) {
  return a.priority != b.priority ? a.priority > b.priority : a.sequence < b.sequence;
}

std::array<std::uint64_t, 4> amounts(const model::Resources& r) {
  return {r.cpu_milli, r.memory.bytes(), r.gpus, r.slots};
}

}  // namespace

void NaiveQueue::set_priority(Sequence sequence, int priority) {
  if (auto* waiter = find(sequence)) waiter->entry.priority = priority;
}

void NaiveQueue::set_held(Sequence sequence, bool held) {
  auto* waiter = find(sequence);
  if (waiter == nullptr || waiter->entry.held == held) return;
  waiter->entry.held = held;
  waiter->blocked.reset();
}

void NaiveQueue::set_ready(Sequence sequence, bool ready) {
  auto* waiter = find(sequence);
  if (waiter == nullptr || waiter->entry.ready == ready) return;
  waiter->entry.ready = ready;
  waiter->blocked.reset();
}

void NaiveQueue::remove(Sequence sequence) {
  std::erase_if(waiting_, [&](const Waiter& waiter) { return waiter.entry.sequence == sequence; });
}

std::optional<Sequence> NaiveQueue::next(Steady now) {
  if (drained_) return std::nullopt;
  std::sort(waiting_.begin(), waiting_.end(),
            [](const Waiter& a, const Waiter& b) { return before(a.entry, b.entry); });
  Waiter* head = nullptr;
  for (auto& waiter : waiting_) {
    const auto& entry = waiter.entry;
    if (!entry.ready || entry.held || !fits(entry.resources, capacity_)) continue;
    if (fits(entry.resources, capacity_ - used())) {
      if (head == nullptr || may_pass(entry, *head, now)) return entry.sequence;
    } else if (head == nullptr) {
      head = &waiter;
      if (!head->blocked) head->blocked = now;
    }
  }
  return std::nullopt;
}

void NaiveQueue::start(Sequence sequence, Steady now) {
  running_.push_back({find(sequence)->entry, now});
  remove(sequence);
}

void NaiveQueue::finish(Sequence sequence) {
  std::erase_if(running_, [&](const Runner& runner) { return runner.entry.sequence == sequence; });
}

std::size_t NaiveQueue::ahead(Sequence sequence) const {
  const auto self = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const Waiter& waiter) { return waiter.entry.sequence == sequence; });
  return static_cast<std::size_t>(std::count_if(waiting_.begin(), waiting_.end(), [&](const Waiter& waiter) {
    return !waiter.entry.held && before(waiter.entry, self->entry);
  }));
}

model::Resources NaiveQueue::used() const {
  model::Resources sum;
  for (const auto& runner : running_) sum = sum + runner.entry.resources;
  return sum;
}

std::optional<Steady> NaiveQueue::start_of(const model::Resources& resources, Steady now) const {
  std::optional<Steady> earliest;
  for (const auto& last : running_) {
    if (!last.entry.limit) continue;
    const auto when = last.started + *last.entry.limit;
    model::Resources held;
    for (const auto& runner : running_)
      if (!runner.entry.limit || runner.started + *runner.entry.limit > when)
        held = held + runner.entry.resources;
    if (fits(resources, capacity_ - held) && (!earliest || when < *earliest)) earliest = when;
  }
  if (!earliest) return std::nullopt;
  return std::max(*earliest, now);
}

NaiveQueue::Waiter* NaiveQueue::find(Sequence sequence) {
  for (auto& waiter : waiting_)
    if (waiter.entry.sequence == sequence) return &waiter;
  return nullptr;
}

bool NaiveQueue::may_pass(const Entry& entry, const Waiter& head, Steady now) const {
  if (now - *head.blocked <= patience_) return true;
  if (const auto start = start_of(head.entry.resources, now);
      start && entry.limit && now + *entry.limit <= *start)
    return true;
  const auto available = amounts(capacity_ - used());
  const auto wanted = amounts(head.entry.resources);
  const auto asked = amounts(entry.resources);
  for (std::size_t i = 0; i < available.size(); ++i) {
    const bool is_short = wanted[i] > available[i];
    if (is_short ? asked[i] != 0 : available[i] - asked[i] < wanted[i]) return false;
  }
  return true;
}

}  // namespace berth::queue

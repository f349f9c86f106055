#include "tests/agent/queue/naive_queue.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <tuple>

namespace berth::queue {
namespace {

bool before(const Entry& a, const Entry& b) {
  return a.priority != b.priority ? a.priority > b.priority : a.sequence < b.sequence;
}

std::array<std::uint64_t, 3> amounts(const model::Resources& r) { return {r.cpu_milli, r.memory.bytes(), r.slots}; }

model::Resources sum(const std::vector<NaiveQueue::Runner>& running) {
  model::Resources sum;
  for (const auto& runner : running) sum = sum + runner.entry.resources;
  return sum;
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
    if (!entry.ready || entry.held || !fits_idle(entry.resources)) continue;
    if (fits_now(entry.resources)) {
      if (head == nullptr || may_pass(entry, *head, now)) return entry.sequence;
    } else if (head == nullptr) {
      head = &waiter;
      if (!head->blocked) head->blocked = now;
    }
  }
  return std::nullopt;
}

Uuids NaiveQueue::start(Sequence sequence, Steady now) {
  const auto entry = find(sequence)->entry;
  auto devices = offered(entry.resources, running_);
  devices.resize(entry.resources.gpus);
  running_.push_back({entry, now, devices});
  remove(sequence);
  return devices;
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
  auto used = sum(running_);
  std::set<std::string> held;
  for (const auto& runner : running_)
    for (const auto& device : devices_)
      if (std::count(runner.devices.begin(), runner.devices.end(), device.uuid) > 0) held.insert(device.uuid);
  used.gpus = static_cast<std::uint16_t>(held.size());
  return used;
}

// The devices that a job may have beside these, the best first.
Uuids NaiveQueue::offered(const model::Resources& resources, const std::vector<Runner>& running) const {
  std::vector<std::tuple<bool, std::uint64_t, std::size_t>> offers;  // free, what is left, its place
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    const auto& device = devices_[i];
    bool alone = false;
    bool shared = false;
    auto left = device.memory.bytes();
    for (const auto& runner : running) {
      if (std::count(runner.devices.begin(), runner.devices.end(), device.uuid) == 0) continue;
      const auto declared = runner.entry.resources.gpu_memory.bytes();
      (declared == 0 ? alone : shared) = true;
      left -= std::min(left, declared);
    }
    const auto wanted = resources.gpu_memory.bytes();
    if (device.withheld || alone || (wanted == 0 ? shared : left < wanted)) continue;
    offers.emplace_back(wanted > 0 && !shared, wanted > 0 ? left : 0, i);
  }
  std::sort(offers.begin(), offers.end());
  Uuids uuids;
  for (const auto& offer : offers) uuids.push_back(devices_[std::get<2>(offer)].uuid);
  return uuids;
}

bool NaiveQueue::fits_beside(const model::Resources& resources, const std::vector<Runner>& running) const {
  const auto available = amounts(capacity_ - sum(running));
  const auto asked = amounts(resources);
  for (std::size_t i = 0; i < asked.size(); ++i)
    if (asked[i] > available[i]) return false;
  return offered(resources, running).size() >= resources.gpus;
}

std::optional<Steady> NaiveQueue::start_of(const model::Resources& resources, Steady now) const {
  std::optional<Steady> earliest;
  for (const auto& last : running_) {
    if (!last.entry.limit) continue;
    const auto when = last.started + *last.entry.limit;
    std::vector<Runner> left;
    for (const auto& runner : running_)
      if (!runner.entry.limit || runner.started + *runner.entry.limit > when) left.push_back(runner);
    if (fits_beside(resources, left) && (!earliest || when < *earliest)) earliest = when;
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
  if (const auto start = start_of(head.entry.resources, now); start && entry.limit && now + *entry.limit <= *start)
    return true;
  const auto& head_asks = head.entry.resources;
  if (entry.resources.gpus > 0 && head_asks.gpus > 0) {
    if (offered(head_asks, running_).size() < head_asks.gpus) return false;
    auto beside = running_;
    auto taken = offered(entry.resources, running_);
    taken.resize(entry.resources.gpus);
    beside.push_back({entry, now, taken});
    if (offered(head_asks, beside).size() < head_asks.gpus) return false;
  }
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

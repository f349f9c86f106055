#include "agent/queue/queue.hpp"

#include <algorithm>
#include <cassert>

namespace berth::queue {
namespace {

using model::Resources;

// Without its GPUs, which are not amounts.
Resources amounts(Resources resources) {
  resources.gpus = 0;
  resources.gpu_memory = {};
  return resources;
}

// Each amount of `asked` that is more than `available`, and zero for those that are there.
Resources lacking_amounts(const Resources& asked, const Resources& available) {
  Resources result;
  if (asked.cpu_milli > available.cpu_milli) result.cpu_milli = asked.cpu_milli;
  if (asked.memory > available.memory) result.memory = asked.memory;
  if (asked.slots > available.slots) result.slots = asked.slots;
  return result;
}

bool share_a_kind(const Resources& a, const Resources& b) {
  return (a.cpu_milli > 0 && b.cpu_milli > 0) || (a.memory.bytes() > 0 && b.memory.bytes() > 0) ||
         (a.gpus > 0 && b.gpus > 0) || (a.slots > 0 && b.slots > 0);
}

// Whether a job that takes `taken` of `available` leaves the head as startable as before.
bool leaves_amounts(const Resources& taken, const Resources& available, const Resources& head) {
  const auto short_of = lacking_amounts(head, available);
  const auto left = available - taken;
  const auto dimension = [](auto missing, auto asked, auto rest, auto wanted) {
    return missing > decltype(missing){} ? asked == decltype(asked){} : wanted <= rest;
  };
  return dimension(short_of.cpu_milli, taken.cpu_milli, left.cpu_milli, head.cpu_milli) &&
         dimension(short_of.memory, taken.memory, left.memory, head.memory) &&
         dimension(short_of.slots, taken.slots, left.slots, head.slots);
}

}  // namespace

Queue::Queue(Resources capacity, std::chrono::milliseconds patience)
    : capacity_(amounts(capacity)), patience_(patience) {}

void Queue::add(const Entry& entry) {
  assert(!is_waiting(entry.sequence) && !is_running(entry.sequence));
  Waiter waiter{.shape = shapes_.end(),
                .resources = entry.resources,
                .limit = entry.limit,
                .priority = entry.priority,
                .held = entry.held,
                .ready = entry.ready};
  enter(entry.sequence, waiting_.emplace(entry.sequence, waiter).first->second);
}

void Queue::set_priority(Sequence sequence, int priority) {
  const auto found = waiting_.find(sequence);
  if (found == waiting_.end() || found->second.priority == priority) return;
  leave(sequence, found->second);
  found->second.priority = priority;
  enter(sequence, found->second);
}

void Queue::set_held(Sequence sequence, bool held) {
  const auto found = waiting_.find(sequence);
  if (found == waiting_.end() || found->second.held == held) return;
  leave(sequence, found->second);
  found->second.held = held;
  found->second.blocked = {};
  enter(sequence, found->second);
}

void Queue::set_ready(Sequence sequence, bool ready) {
  const auto found = waiting_.find(sequence);
  if (found == waiting_.end() || found->second.ready == ready) return;
  leave(sequence, found->second);
  found->second.ready = ready;
  found->second.blocked = {};
  enter(sequence, found->second);
}

bool Queue::remove(Sequence sequence) {
  const auto found = waiting_.find(sequence);
  if (found == waiting_.end()) return false;
  leave(sequence, found->second);
  waiting_.erase(found);
  return true;
}

std::optional<Sequence> Queue::next(Steady now) {
  if (drained_ || shapes_.empty()) return std::nullopt;
  std::optional<Rank> first_fit;
  for (const auto& [resources, shape] : shapes_) {
    if (!fits_now(resources)) continue;
    if (const auto& rank = *shape.all.begin(); !first_fit || rank < *first_fit) first_fit = rank;
  }
  const auto head = find_head(now);
  if (!head || (first_fit && *first_fit < head->rank))
    return first_fit ? std::optional(first_fit->sequence) : std::nullopt;
  waiting_.at(head->rank.sequence).blocked = head->blocked;
  if (!first_fit || !is_firm(*head, now)) return first_fit ? std::optional(first_fit->sequence) : std::nullopt;
  const auto passes = first_that_passes(*head, now);
  return passes ? std::optional(passes->sequence) : std::nullopt;
}

Uuids Queue::start(Sequence sequence, Steady now) {
  auto chosen = devices_.choose(waiting_.at(sequence).resources);
  start(sequence, now, chosen);
  return chosen;
}

void Queue::start(Sequence sequence, Steady now, Uuids devices) {
  const auto found = waiting_.find(sequence);
  assert(found != waiting_.end());
  Runner runner{found->second.resources, std::move(devices), std::nullopt};
  if (found->second.limit) runner.release = now + *found->second.limit;
  leave(sequence, found->second);
  waiting_.erase(found);
  used_ = used_ + amounts(runner.resources);
  devices_.take(runner.devices, runner.resources.gpu_memory);
  running_.emplace(sequence, std::move(runner));
}

bool Queue::finish(Sequence sequence) {
  const auto found = running_.find(sequence);
  if (found == running_.end()) return false;
  const auto& runner = found->second;
  used_ = used_ - amounts(runner.resources);
  devices_.give_back(runner.devices, runner.resources.gpu_memory);
  running_.erase(found);
  return true;
}

void Queue::set_devices(std::vector<Device> devices) {
  devices_.set(std::move(devices));
  for (const auto& [sequence, runner] : running_) devices_.take(runner.devices, runner.resources.gpu_memory);
  capacity_.gpus = devices_.count();
}

void Queue::set_capacity(const Resources& capacity, std::chrono::milliseconds patience) {
  const auto gpus = capacity_.gpus;
  capacity_ = amounts(capacity);
  capacity_.gpus = gpus;
  patience_ = patience;
}

Resources Queue::used() const {
  auto used = used_;
  used.gpus = devices_.in_use();
  return used;
}

Uuids Queue::devices_of(Sequence sequence) const {
  const auto found = running_.find(sequence);
  return found == running_.end() ? Uuids{} : found->second.devices;
}

std::vector<Sequence> Queue::holders_of(const std::string& uuid) const {
  std::vector<Sequence> holders;
  for (const auto& [sequence, runner] : running_)
    if (std::find(runner.devices.begin(), runner.devices.end(), uuid) != runner.devices.end())
      holders.push_back(sequence);
  std::sort(holders.begin(), holders.end());
  return holders;
}

std::optional<std::string> Queue::never_fits(const Resources& resources) const {
  if (auto why = queue::never_fits(resources, capacity_)) return why;
  if (devices_.fits_ever(resources)) return std::nullopt;
  Resources asked{.gpus = resources.gpus, .gpu_memory = resources.gpu_memory};
  ByteSize most;
  for (const auto& use : devices_.all()) most = std::max(most, use.device.memory);
  return "asks for " + to_words(asked) + ", the largest GPU of this node has " + to_text(most);
}

std::size_t Queue::too_big() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      waiting_, [this](const auto& each) { return never_fits(each.second.resources).has_value(); }));
}

bool Queue::fits_now(const Resources& resources) const {
  return fits(amounts(resources), capacity_ - used_) && devices_.fits(resources);
}

bool Queue::fits_idle(const Resources& resources) const {
  return fits(amounts(resources), capacity_) && devices_.fits_idle(resources);
}

Resources Queue::lacking(const Resources& asked) const {
  auto result = lacking_amounts(asked, capacity_ - used_);
  if (devices_.fits(asked)) return result;
  result.gpus = asked.gpus;
  result.gpu_memory = asked.gpu_memory;
  return result;
}

// Whether a job that takes `taken` leaves the head as startable as before.
bool Queue::leaves_room(const Resources& taken, const Resources& head) const {
  if (!leaves_amounts(taken, capacity_ - used_, head)) return false;
  if (taken.gpus == 0 || head.gpus == 0) return true;
  if (!devices_.fits(head)) return false;
  auto left = devices_;
  left.take(devices_.choose(taken), taken.gpu_memory);
  return left.fits(head);
}

std::vector<Sequence> Queue::first_waiting(std::size_t most) const {
  std::vector<Sequence> first;
  for (auto rank = order_.begin(); rank != order_.end() && first.size() < most; ++rank) first.push_back(rank->sequence);
  if (first.size() == most || order_.size() == waiting_.size()) return first;
  std::set<Rank> held;
  for (const auto& [sequence, waiter] : waiting_)
    if (waiter.held) held.insert(rank_of(sequence, waiter));
  for (auto rank = held.begin(); rank != held.end() && first.size() < most; ++rank) first.push_back(rank->sequence);
  return first;
}

Waiting Queue::why(Sequence sequence, Steady now) const {
  Waiting result{.sequence = sequence, .used = used(), .capacity = capacity_};
  const auto found = waiting_.find(sequence);
  if (found == waiting_.end()) return result;
  const auto& waiter = found->second;
  result.asked = waiter.resources;
  result.ahead = order_.order_of_key(rank_of(sequence, waiter));
  using enum Waiting::Reason;
  if (waiter.held) {
    result.reason = held;
  } else if (never_fits(waiter.resources)) {
    result.reason = too_big;
  } else if (!waiter.ready) {
    result.reason = preparing;
  } else if (drained_) {
    result.reason = drained;
  } else if (!devices_.fits_idle(waiter.resources)) {
    result.reason = withheld;
    name_withheld(result);
  } else if (!fits_now(waiter.resources)) {
    result.reason = resources;
    result.lacking = lacking(waiter.resources);
    name_users(result);
    if (result.lacking.gpus > 0) name_withheld(result);
  } else if (const auto head = find_head(now); head && head->rank < rank_of(sequence, waiter) && is_firm(*head, now) &&
                                               !leaves_room(waiter.resources, head->resources)) {
    result.reason = reserved;
    result.reserved_for = head->rank.sequence;
    result.reserved_waited = std::chrono::duration_cast<std::chrono::milliseconds>(now - head->blocked);
    result.reserved_lacking = lacking(head->resources);
  } else {
    result.reason = turn;
  }
  return result;
}

// The first ready job that does not fit now but would fit the node as it is, were it idle.
std::optional<Queue::Head> Queue::find_head(Steady now) const {
  std::optional<Head> head;
  for (const auto& [resources, shape] : shapes_) {
    if (fits_now(resources) || !fits_idle(resources)) continue;
    if (const auto& rank = *shape.all.begin(); !head || rank < head->rank) head = Head{rank, resources, {}};
  }
  if (!head) return head;
  const auto& blocked = waiting_.at(head->rank.sequence).blocked;
  head->blocked = blocked == Steady{} ? now : blocked;
  return head;
}

std::optional<Rank> Queue::first_that_passes(const Head& head, Steady now) const {
  const auto head_start = start_of(head.resources, now);
  std::optional<Rank> first;
  const auto offer = [&first](const std::set<Rank>& ranks) {
    if (!first || *ranks.begin() < *first) first = *ranks.begin();
  };
  for (const auto& [resources, shape] : shapes_) {
    if (!fits_now(resources)) continue;
    if (leaves_room(resources, head.resources)) {
      offer(shape.all);
    } else if (head_start) {
      for (const auto& [limit, ranks] : shape.limited) {
        if (now + limit > *head_start) break;
        offer(ranks);
      }
    }
  }
  return first;
}

// When these resources are free at the latest, by the limits of what runs; nothing when that is not known.
std::optional<Steady> Queue::start_of(const Resources& resources, Steady now) const {
  std::vector<const Runner*> ending;
  for (const auto& [sequence, runner] : running_)
    if (runner.release) ending.push_back(&runner);
  std::sort(ending.begin(), ending.end(), [](const Runner* a, const Runner* b) { return *a->release < *b->release; });
  auto used = used_;
  auto devices = devices_;
  for (const auto* runner : ending) {
    used = used - amounts(runner->resources);
    devices.give_back(runner->devices, runner->resources.gpu_memory);
    if (fits(amounts(resources), capacity_ - used) && devices.fits(resources)) return std::max(*runner->release, now);
  }
  return std::nullopt;
}

void Queue::enter(Sequence sequence, Waiter& waiter) {
  if (waiter.held) return;
  order_.insert(rank_of(sequence, waiter));
  if (waiter.ready) index(sequence, waiter);
}

void Queue::leave(Sequence sequence, Waiter& waiter) {
  if (waiter.held) return;
  order_.erase(rank_of(sequence, waiter));
  if (waiter.ready) unindex(sequence, waiter);
}

void Queue::index(Sequence sequence, Waiter& waiter) {
  waiter.shape = shapes_.try_emplace(waiter.resources).first;
  auto& shape = waiter.shape->second;
  shape.all.insert(rank_of(sequence, waiter));
  if (waiter.limit) shape.limited[*waiter.limit].insert(rank_of(sequence, waiter));
}

void Queue::unindex(Sequence sequence, Waiter& waiter) {
  auto& shape = waiter.shape->second;
  shape.all.erase(rank_of(sequence, waiter));
  if (waiter.limit) {
    const auto ranks = shape.limited.find(*waiter.limit);
    ranks->second.erase(rank_of(sequence, waiter));
    if (ranks->second.empty()) shape.limited.erase(ranks);
  }
  if (shape.all.empty()) shapes_.erase(waiter.shape);
  waiter.shape = shapes_.end();
}

void Queue::name_users(Waiting& waiting) const {
  constexpr std::size_t kNamed = 3;
  std::vector<std::pair<Sequence, const Runner*>> holders;
  for (const auto& [sequence, runner] : running_)
    if (share_a_kind(runner.resources, waiting.lacking)) holders.emplace_back(sequence, &runner);
  const auto larger = [&](const auto& a, const auto& b) {
    const auto& x = a.second->resources;
    const auto& y = b.second->resources;
    if (waiting.lacking.gpus > 0 && x.gpus != y.gpus) return x.gpus > y.gpus;
    if (waiting.lacking.cpu_milli > 0 && x.cpu_milli != y.cpu_milli) return x.cpu_milli > y.cpu_milli;
    if (waiting.lacking.memory.bytes() > 0 && x.memory != y.memory) return x.memory > y.memory;
    return a.first < b.first;
  };
  std::sort(holders.begin(), holders.end(), larger);
  for (std::size_t i = 0; i < std::min(kNamed, holders.size()); ++i) waiting.users.push_back(holders[i].first);
  waiting.more_users = holders.size() - waiting.users.size();
}

void Queue::name_withheld(Waiting& waiting) const {
  for (const auto& use : devices_.all()) {
    if (use.device.withheld) {
      waiting.withheld.push_back(withheld_in_words(use.device));
    } else if (use.is_free()) {
      ++waiting.free_gpus;
    }
  }
}

}  // namespace berth::queue

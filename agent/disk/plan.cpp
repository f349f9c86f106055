#include "agent/disk/plan.hpp"

#include <algorithm>
#include <tuple>

namespace berth::disk {
namespace {

// Cleaning for the budget goes on until a tenth of it is free, so that it is not needed again at once.
constexpr std::uint64_t kBudgetPercentAfter = 90;

std::string percent(unsigned number) { return std::to_string(number) + " %"; }

std::uint64_t above(std::uint64_t value, std::uint64_t limit) { return value > limit ? value - limit : 0; }

}  // namespace

unsigned percent_full(const State& state) {
  if (state.total == 0) return 0;
  return static_cast<unsigned>((state.total - std::min(state.free, state.total)) * 100 / state.total);
}

std::vector<Need> needs_of(const State& state, const Limits& limits) {
  std::vector<Need> needs;
  const auto coming = state.incoming > 0 ? " with " + to_text(ByteSize(state.incoming)) + " to come" : std::string();
  const auto used = state.total - std::min(state.free, state.total) + state.incoming;
  const auto high = state.total / 100 * limits.high;
  const auto low = state.total / 100 * std::min(limits.low, limits.high);
  if (used > high)
    needs.push_back({used - low, used - high,
                     "disk " + percent(percent_full(state)) + " full" + coming + ", and cleaning starts at " +
                         percent(limits.high)});
  const auto wanted = limits.reserved.bytes() + state.incoming;
  if (state.free < wanted)
    needs.push_back({wanted - state.free, wanted - state.free,
                     to_text(ByteSize(state.free)) + " free, and new work needs " + to_text(ByteSize(wanted))});
  if (limits.budget) {
    const auto budget = limits.budget->of(state.total);
    if (state.kept + state.incoming > budget)
      needs.push_back(
          {above(state.kept + state.incoming, budget / 100 * kBudgetPercentAfter), 0,
           to_text(ByteSize(state.kept)) + " kept" + coming + ", and disk_budget is " + to_text(ByteSize(budget))});
  }
  return needs;
}

std::vector<Need> needs_of(const ImageDisk& disk, const Limits& limits) {
  std::vector<Need> needs;
  const auto& state = disk.state;
  const auto used = state.total - std::min(state.free, state.total);
  const auto high = state.total / 100 * limits.high;
  const auto low = state.total / 100 * std::min(limits.low, limits.high);
  if (!disk.shared && state.total > 0 && used > high)
    needs.push_back({used - low, 0,
                     "the container engine's disk, where " + disk.directory + " is, is " +
                         percent(percent_full(state)) + " full, and cleaning starts at " + percent(limits.high)});
  const auto budget = limits.image_budget ? limits.image_budget->of(state.total) : 0;
  if (budget > 0 && state.kept > budget)
    needs.push_back(
        {above(state.kept, budget / 100 * kBudgetPercentAfter), 0,
         to_text(ByteSize(state.kept)) + " of images are kept, and image_budget is " + to_text(ByteSize(budget))});
  return needs;
}

void put_in_order(std::vector<Candidate>& candidates) {
  std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    const auto key = [](const Candidate& one) { return std::tuple(!one.due, one.useless, one.kind, one.last_use); };
    return key(a) < key(b);
  });
}

Choice choose(const std::vector<Candidate>& in_order, const std::vector<Need>& needs) {
  std::uint64_t all = 0;
  for (const auto& candidate : in_order) all += candidate.bytes;
  Choice choice;
  std::uint64_t of_anything = 0;
  for (const auto& need : needs) {
    if (all < need.least)
      choice.hopeless.push_back(&need);
    else
      of_anything = std::max(of_anything, need.bytes);
    if (choice.need == nullptr || need.bytes > choice.need->bytes) choice.need = &need;
  }
  const auto of_replaceable = choice.need == nullptr ? 0 : choice.need->bytes;
  for (const auto& candidate : in_order) {
    if (candidate.useless && !candidate.due) break;
    if (!candidate.due && choice.bytes >= (candidate.replaceable ? of_replaceable : of_anything)) break;
    choice.bytes += candidate.bytes;
    ++choice.going;
  }
  // What goes last without giving anything back goes in vain.
  const auto in_vain = [](const Candidate& candidate) { return !candidate.due && candidate.bytes == 0; };
  while (choice.going > 0 && in_vain(in_order[choice.going - 1])) --choice.going;
  return choice;
}

WholeChoice choose(std::vector<Candidate>& in_order, const std::vector<Need>& needs,
                   const std::vector<Need>& image_needs) {
  std::stable_partition(in_order.begin(), in_order.end(), [](const Candidate& one) { return !one.elsewhere; });
  const auto here = std::find_if(in_order.begin(), in_order.end(), [](const Candidate& one) { return one.elsewhere; });
  WholeChoice whole{choose(std::vector<Candidate>(in_order.begin(), here), needs), nullptr};
  for (const auto& need : image_needs)
    if (whole.image_need == nullptr || need.bytes > whole.image_need->bytes) whole.image_need = &need;
  if (whole.image_need == nullptr) return whole;
  std::uint64_t of_images = 0;
  for (std::size_t i = 0; i < in_order.size(); ++i) {
    auto& one = in_order[i];
    if (!one.image || (i >= whole.going && of_images >= whole.image_need->bytes)) continue;
    of_images += one.bytes;
    if (i < whole.going) continue;
    whole.bytes += one.bytes;
    // Those before it that stay come after it.
    const auto here_it_is = in_order.begin() + static_cast<std::ptrdiff_t>(i);
    std::rotate(in_order.begin() + static_cast<std::ptrdiff_t>(whole.going), here_it_is, here_it_is + 1);
    ++whole.going;
  }
  return whole;
}

}  // namespace berth::disk

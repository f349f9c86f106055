// What a cleaning would do.

#include <algorithm>
#include <unordered_map>

#include "agent/disk/cleaning_plan.hpp"
#include "runtime/base/units.hpp"
#include "runtime/os/file.hpp"
#include "runtime/snapshot/closure.hpp"

namespace berth::disk {
namespace {

constexpr std::string_view kLeftovers = "leftovers";
constexpr const char* kLogs = "logs";
constexpr const char* kImages = "images";

std::string fullness(const State& state, const Limits& limits) {
  auto text = "the disk is " + std::to_string(percent_full(state)) + " % full, and cleaning starts at " +
              std::to_string(limits.high) + " %";
  if (limits.budget)
    text += "; " + to_text(ByteSize(state.kept)) + " of the budget of " +
            to_text(ByteSize(limits.budget->of(state.total))) + " are used";
  return text;
}

std::string fullness(const ImageDisk& disk, const Limits& limits) {
  if (disk.state.total == 0) return "how full the container engine's disk is cannot be told";
  auto text = "the container engine's disk is " + std::to_string(percent_full(disk.state)) +
              " % full, and cleaning starts at " + std::to_string(limits.high) + " %";
  if (limits.image_budget)
    text += "; " + to_text(ByteSize(disk.state.kept)) + " of the image_budget of " +
            to_text(ByteSize(limits.image_budget->of(disk.state.total))) + " are used";
  return text;
}

std::uint64_t bytes_of_ended(const Survey& found) {
  std::uint64_t bytes = 0;
  for (const auto& candidate : found.candidates) bytes += candidate.bytes;
  for (const auto& staying : found.staying)
    if (!staying.live) bytes += staying.bytes;
  return bytes;
}

std::vector<std::string> remarks_of(const State& state, const Limits& limits, const Choice& choice,
                                    const std::vector<Need>& needs) {
  std::vector<std::string> remarks;
  if (needs.empty()) remarks.push_back(fullness(state, limits));
  for (const auto& need : needs) remarks.push_back(need.why + ": " + to_text(ByteSize(need.bytes)) + " are wanted");
  for (const auto* need : choice.hopeless)
    remarks.push_back("all that Berth could give back is less than the " + to_text(ByteSize(need->least)) +
                      " that would help, so logs, outputs and records stay: free some space by other means");
  return remarks;
}

}  // namespace

// To whom each stored object belongs: the one that goes last of those that need it.
struct Manager::Price {
  const objects::Store& store;
  std::vector<std::uint64_t*> owners;
  std::unordered_map<Digest, std::uint32_t> owner_of;
  snapshot::Looked looked;
  std::size_t staying = 0;  // so many owners, from the front, stay

  void claim(const Roots& roots, std::uint64_t& bytes) {
    const auto number = static_cast<std::uint32_t>(owners.size());
    owners.push_back(&bytes);
    const auto take = [&](const Digest& digest) { owner_of.try_emplace(digest, number); };
    for (const auto& root : roots.snapshots) snapshot::visit_closure(store, root, looked, take);
    for (const auto& object : roots.objects) take(object);
  }

  bool is_staying(const Digest& digest) const {
    const auto owner = owner_of.find(digest);
    return owner == owner_of.end() || owner->second < staying;
  }
};

Manager::Plan Manager::plan(const Cleaning& wanted, const Limits& limits) {
  Plan plan;
  plan.wanted = wanted;
  plan.context = {clock_.now(), wanted.asked, limits, store_.remains()};
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    auto found = kinds_[kind]->survey(plan.context);
    for (auto& candidate : found.candidates) candidate.kind = kind;
    if (kinds_[kind]->name() == kLogs) plan.logs = bytes_of_ended(found);
    std::move(found.candidates.begin(), found.candidates.end(), std::back_inserter(plan.candidates));
    plan.staying.push_back(std::move(found.staying));
  }
  put_in_order(plan.candidates);
  price(plan);
  plan.state = state(wanted.incoming, plan.logs);
  plan.needs = needs_of(plan.state, limits);
  plan.image_disk = image_disk_();
  plan.image_needs = needs_of(plan.image_disk, limits);
  if (wanted.free.bytes() > 0)
    plan.needs.push_back({wanted.free.bytes(), 0, "`berth gc --free` asks for " + to_text(wanted.free)});
  plan.choice = choose(plan.candidates, plan.needs, plan.image_needs);
  return plan;
}

// From the last that goes to the first, those that stay before all: so each counts what is free once it is gone.
void Manager::price(Plan& plan) const {
  Price price{objects_, {}, {}, {}, 0};
  for (auto kind = plan.staying.rbegin(); kind != plan.staying.rend(); ++kind)
    for (auto& staying : *kind) price.claim(staying.roots, staying.bytes);
  price.staying = price.owners.size();
  for (auto candidate = plan.candidates.rbegin(); candidate != plan.candidates.rend(); ++candidate)
    price.claim(candidate->roots, candidate->bytes);
  objects_.visit([&](const Digest& digest, std::uint64_t bytes) {
    const auto owner = price.owner_of.find(digest);
    if (owner != price.owner_of.end()) *price.owners[owner->second] += bytes;
  });
  const auto stays = [&](const Digest& root) { return price.is_staying(root); };
  for (auto& candidate : plan.candidates)
    candidate.useless = candidate.bytes == 0 &&
                        std::all_of(candidate.roots.snapshots.begin(), candidate.roots.snapshots.end(), stays) &&
                        std::all_of(candidate.roots.objects.begin(), candidate.roots.objects.end(), stays);
  put_in_order(plan.candidates);
  note_leftovers(plan, price);
}

void Manager::note_leftovers(Plan& plan, const Price& price) const {
  const auto needed = [&] {
    objects::DigestSet all;
    for (const auto& [digest, owner] : price.owner_of) all.insert(digest);
    snapshot::add_pinned(objects_, all);
    return all;
  };
  const auto swept = objects_.sweep(needed, objects::DryRun::yes);
  plan.leftovers = swept.bytes_freed;
}

objects::DigestSet Manager::live_objects() const {
  const auto roots = store_.roots();
  auto snapshots = roots.snapshots;
  snapshots.insert(snapshots.end(), roots.outputs.begin(), roots.outputs.end());
  auto live = snapshot::closure(objects_, snapshots);
  live.insert(roots.diffs.begin(), roots.diffs.end());
  snapshot::add_pinned(objects_, live);
  return live;
}

// Before compression.
ByteSize Manager::held_by(const store::Roots& roots) const {
  auto snapshots = roots.snapshots;
  snapshots.insert(snapshots.end(), roots.outputs.begin(), roots.outputs.end());
  auto held = snapshot::closure(objects_, snapshots);
  held.insert(roots.diffs.begin(), roots.diffs.end());
  std::uint64_t bytes = 0;
  for (const auto& digest : held) bytes += objects_.size_of(digest).value_or(0);
  return ByteSize(bytes);
}

std::string Manager::reason(const Plan& plan, const Candidate& candidate) {
  if (candidate.due) return candidate.why;
  const bool for_images = candidate.elsewhere || plan.choice.need == nullptr;
  return "to make room: " + (for_images ? plan.choice.image_need : plan.choice.need)->why;
}

std::string Manager::reason_to_spare(const Plan& plan, const std::string& kind) const {
  const bool apart = kind == kImages && !plan.image_disk.shared;
  if (apart && plan.image_needs.empty()) return fullness(plan.image_disk, plan.context.limits);
  if (!apart && plan.needs.empty()) return fullness(plan.state, plan.context.limits);
  return apart || plan.choice.hopeless.empty() ? "enough is given back without them"
                                               : "giving them back would not help enough";
}

std::vector<KindReport> Manager::kinds_of(const Plan& plan) const {
  std::vector<KindReport> kinds;
  for (std::size_t i = 0; i < kinds_.size(); ++i) {
    KindReport kind{kinds_[i]->name(), kinds_[i]->description(), {}, {}, {}};
    for (const auto& staying : plan.staying[i]) {
      kind.held.count += staying.count;
      kind.held.bytes += staying.bytes;
      if (staying.count > 0) kind.staying.push_back({staying.why, {staying.count, staying.bytes}});
    }
    kinds.push_back(std::move(kind));
  }
  std::vector<Amount> spared(kinds_.size());
  std::vector<Amount> useless(kinds_.size());
  for (std::size_t i = 0; i < plan.candidates.size(); ++i) {
    const auto& candidate = plan.candidates[i];
    auto& kind = kinds[candidate.kind];
    auto& stays = candidate.useless ? useless : spared;
    for (auto* amount : {&kind.held, i < plan.choice.going ? &kind.going : &stays[candidate.kind]}) {
      ++amount->count;
      amount->bytes += candidate.bytes;
    }
  }
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (useless[i].count > 0)
      kinds[i].staying.push_back({"all that they hold is needed by others, which stay", useless[i]});
    if (spared[i].count == 0) continue;
    kinds[i].staying.push_back({reason_to_spare(plan, kinds[i].name), spared[i]});
  }
  return kinds;
}

std::vector<std::string> Manager::image_remarks(const Plan& plan) {
  std::vector<std::string> remarks;
  for (const auto& need : plan.image_needs)
    remarks.push_back(need.why + ": " + to_text(ByteSize(need.bytes)) + " are wanted");
  const auto end = plan.candidates.begin() + plan.going();
  if (std::any_of(plan.candidates.begin(), end, [](const Candidate& one) { return one.image; }))
    remarks.emplace_back("images give back at most the sizes told: layers that others share stay with those");
  return remarks;
}

Report Manager::report(const Plan& plan) const {
  Report report;
  report.state = plan.state;
  report.remarks = remarks_of(plan.state, plan.context.limits, plan.choice, plan.needs);
  auto of_images = image_remarks(plan);
  report.remarks.insert(report.remarks.begin(), of_images.begin(), of_images.end());
  report.kinds = kinds_of(plan);
  if (plan.leftovers > 0) {
    const Amount all{1, plan.leftovers};
    report.kinds.insert(report.kinds.begin(),
                        {std::string(kLeftovers), "stored data that nothing refers to", all, all, {}});
    report.items.push_back({std::string(kLeftovers), "stored data", "nothing refers to it any more", plan.leftovers});
  }
  for (std::size_t i = 0; i < plan.choice.going; ++i) {
    const auto& candidate = plan.candidates[i];
    auto why = candidate.why;
    if (!candidate.due && !candidate.replaceable) why += "; " + reason(plan, candidate);
    report.items.push_back({kinds_[candidate.kind]->name(), candidate.what, std::move(why), candidate.bytes});
  }
  for (const auto& item : report.items) report.bytes += item.bytes;
  return report;
}

}  // namespace berth::disk

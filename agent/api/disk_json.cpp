#include "agent/api/disk_json.hpp"

#include <nlohmann/json.hpp>

namespace berth::api {
namespace {

using nlohmann::json;

json amount_json(const disk::Amount& amount) { return {{"count", amount.count}, {"bytes", amount.bytes}}; }

json kind_json(const disk::KindReport& kind) {
  json stays = json::array();
  for (const auto& staying : kind.staying) {
    auto one = amount_json(staying.amount);
    one["why"] = staying.why;
    stays.push_back(std::move(one));
  }
  return {{"kind", kind.name},
          {"words", kind.words},
          {"held", amount_json(kind.held)},
          {"going", amount_json(kind.going)},
          {"staying", std::move(stays)}};
}

// Null where it is not known.
json image_disk_json(const disk::ImageDisk& disk) {
  if (disk.state.total == 0) return nullptr;
  return {{"directory", disk.directory},
          {"shared", disk.shared},
          {"kept_bytes", disk.state.kept},
          {"free_bytes", disk.state.free},
          {"total_bytes", disk.state.total}};
}

}  // namespace

json use_json(const disk::Use& use) {
  return {{"free_bytes", use.state.free},
          {"total_bytes", use.state.total},
          {"kept_bytes", use.state.kept},
          {"budget_bytes", use.budget ? json(*use.budget) : json(nullptr)},
          {"kept",
           {{"stored", use.stored},
            {"checkouts", use.checkouts},
            {"downloads", use.downloads},
            {"environments", use.environments},
            {"images", use.images.shared ? use.images.state.kept : 0},
            {"logs", use.logs},
            {"records", use.records}}},
          {"image_disk", image_disk_json(use.images)},
          {"refusal", use.refusal ? json(*use.refusal) : json(nullptr)}};
}

json report_json(const disk::Report& report, bool dry_run) {
  json items = json::array();
  for (const auto& item : report.items)
    items.push_back({{"kind", item.kind}, {"what", item.what}, {"why", item.why}, {"bytes", item.bytes}});
  json kinds = json::array();
  for (const auto& kind : report.kinds) kinds.push_back(kind_json(kind));
  return {
      {"dry_run", dry_run},        {"bytes", report.bytes},
      {"remarks", report.remarks}, {"disk", {{"free_bytes", report.state.free}, {"total_bytes", report.state.total}}},
      {"kinds", std::move(kinds)}, {"items", std::move(items)}};
}

}  // namespace berth::api

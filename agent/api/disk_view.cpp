#include "agent/api/disk_view.hpp"

namespace berth::api {
namespace {

wire::CleaningReport::Amount told(const disk::Amount& amount) { return {amount.count, ByteSize(amount.bytes)}; }

wire::CleaningReport::Kind told(const disk::KindReport& kind) {
  wire::CleaningReport::Kind out{kind.name, kind.words, told(kind.held), told(kind.going), {}};
  for (const auto& staying : kind.staying) out.staying.push_back({told(staying.amount), staying.why});
  return out;
}

// Nothing where it is not known.
std::optional<wire::ImageDisk> told(const disk::ImageDisk& disk) {
  if (disk.state.total == 0) return std::nullopt;
  return wire::ImageDisk{disk.directory, disk.shared, ByteSize(disk.state.kept), ByteSize(disk.state.free),
                         ByteSize(disk.state.total)};
}

}  // namespace

wire::DiskUse told(const disk::Use& use) {
  wire::DiskUse out;
  out.free = ByteSize(use.state.free);
  out.total = ByteSize(use.state.total);
  out.kept = ByteSize(use.state.kept);
  if (use.budget) out.budget = ByteSize(*use.budget);
  auto& kept = out.of_kinds;
  kept.stored = ByteSize(use.stored);
  kept.checkouts = ByteSize(use.checkouts);
  kept.downloads = ByteSize(use.downloads);
  kept.environments = ByteSize(use.environments);
  kept.images = ByteSize(use.images.shared ? use.images.state.kept : 0);
  kept.logs = ByteSize(use.logs);
  kept.records = ByteSize(use.records);
  out.image_disk = told(use.images);
  out.refusal = use.refusal;
  return out;
}

wire::CleaningReport told(const disk::Report& report, bool dry_run) {
  wire::CleaningReport out;
  out.dry_run = dry_run;
  out.bytes = ByteSize(report.bytes);
  out.remarks = report.remarks;
  out.free = ByteSize(report.state.free);
  out.total = ByteSize(report.state.total);
  for (const auto& kind : report.kinds) out.kinds.push_back(told(kind));
  for (const auto& item : report.items) out.items.push_back({item.kind, item.what, item.why, ByteSize(item.bytes)});
  return out;
}

}  // namespace berth::api

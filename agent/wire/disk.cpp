#include "agent/wire/node.hpp"

namespace berth::wire {

void describe(Fields& fields, DiskUse::Kept& kept) {
  fields.field("stored", kept.stored, "Code and outputs.");
  fields.field("checkouts", kept.checkouts, "Code as jobs run in it.");
  fields.field("downloads", kept.downloads, "Of builds of environments.");
  fields.field("environments", kept.environments, "Made for jobs.");
  fields.field("images", kept.images, "Made for jobs, where they are on this disk.");
  fields.field("logs", kept.logs, "Of ended jobs.");
  fields.field("records", kept.records, "The database.");
}

void describe(Fields& fields, ImageDisk& disk) {
  fields.field("directory", disk.directory, "The container engine's.");
  fields.field("shared", disk.shared, "On the state directory's disk: only then images count as kept.");
  fields.field("kept_bytes", disk.kept, "Of Berth's images.");
  fields.field("free_bytes", disk.free, "There.");
  fields.field("total_bytes", disk.total, "There.");
}

void describe(Fields& fields, DiskUse& use) {
  fields.answered("DiskUse", "What Berth keeps on the disk, in bytes.");
  fields.field("free_bytes", use.free, "Where the state directory is.");
  fields.field("total_bytes", use.total, "There.");
  fields.field("kept_bytes", use.kept, "All that Berth keeps there.");
  fields.field("budget_bytes", use.budget, "At most so much is to be kept; null: no budget.");
  fields.field("kept", use.of_kinds, "By kind.");
  fields.field("image_disk", use.image_disk, "Null where no container engine has told it.");
  fields.field("refusal", use.refusal, "Why new work is refused; null where it is taken.");
}

void describe(Fields& fields, Cleaning& cleaning) {
  fields.named("Cleaning", "How disk space is to be given back.");
  fields.field("dry_run", cleaning.dry_run, "Only tell what would go.");
  fields.field("free_bytes", cleaning.free, "At least so much; 0: what is due.");
}

namespace {

void describe_amount(Fields& fields, CleaningReport::Amount& amount) {
  fields.field("count", amount.count, "How many.");
  fields.field("bytes", amount.bytes, "Together.");
}

}  // namespace

void describe(Fields& fields, CleaningReport::Amount& amount) {
  fields.answered("Amount", "So many things of so many bytes.");
  describe_amount(fields, amount);
}

void describe(Fields& fields, CleaningReport::Staying& staying) {
  describe_amount(fields, staying.amount);
  fields.field("why", staying.why, "For people.");
}

void describe(Fields& fields, CleaningReport::Kind& kind) {
  fields.field("kind", kind.kind,
               "leftovers, checkouts, downloads, environments, images, uploads, logs, outputs or jobs.");
  fields.field("words", kind.words, "For people.");
  fields.field("held", kind.held, "All there is.");
  fields.field("going", kind.going, "What goes of it.");
  fields.field("staying", kind.staying, "What does not.");
}

void describe(Fields& fields, CleaningReport::Item& item) {
  fields.field("kind", item.kind, "One of those.");
  fields.field("what", item.what, "For people.");
  fields.field("why", item.why, "For people.");
  fields.field("bytes", item.bytes, "As reckoned before.");
}

void describe(Fields& fields, CleaningReport& report) {
  fields.answered("CleaningReport", "What was given back, or would be.");
  fields.field("dry_run", report.dry_run, "Nothing was.");
  fields.field("bytes", report.bytes, "Of all items, as reckoned before.");
  fields.field("remarks", report.remarks, "Why something has to go, or nothing.");
  const auto disk = [&](Fields& members) {
    members.field("free_bytes", report.free, "There.");
    members.field("total_bytes", report.total, "There.");
  };
  fields.object("disk", disk, "The state directory's, before.");
  fields.field("kinds", report.kinds, "By kind.");
  fields.field("items", report.items, "What goes, in this order.");
}

}  // namespace berth::wire

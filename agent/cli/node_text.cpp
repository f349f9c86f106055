#include "agent/cli/node_text.hpp"

#include <functional>
#include <nlohmann/json.hpp>

#include "agent/cli/page.hpp"
#include "agent/wire/json_text.hpp"
#include "agent/wire/node.hpp"
#include "runtime/base/json_fields.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"

namespace berth::cli {
namespace {

std::string cpus_text(std::uint64_t milli) {
  auto text = nlohmann::json(static_cast<double>(milli) / 1000).dump();
  return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
}

void add_resources(Page& page, const wire::Status& status) {
  const auto plain = [](std::uint64_t number) { return std::to_string(number); };
  const auto size = [](std::uint64_t bytes) { return to_text(ByteSize(bytes)); };
  const auto add = [&](const std::string& label, std::uint64_t used, std::uint64_t capacity, const auto& words) {
    page.line(label, words(used) + " of " + words(capacity) + " in use");
  };
  const auto& capacity = status.capacity;
  const auto& used = status.in_use;
  add("CPUs", used.cpu_milli, capacity.cpu_milli, cpus_text);
  add("Memory", used.memory.bytes(), capacity.memory.bytes(), size);
  add("GPUs", used.gpus, capacity.gpus, plain);
  add("Slots", used.slots, capacity.slots, plain);
}

std::string queue_text(const wire::JobCounts& jobs) {
  auto text = std::to_string(jobs.running) + " running";
  const auto add = [&](std::uint64_t number, const char* state) {
    if (number > 0) text += ", " + std::to_string(number) + " " + state;
  };
  add(jobs.queued, "queued");
  add(jobs.preparing, "preparing");
  add(jobs.finalizing, "finalizing");
  return text;
}

// "3, 1.2 GiB"
std::string amount_text(const wire::CleaningReport::Amount& amount) {
  return std::to_string(amount.count) + ", " + to_text(amount.bytes);
}

constexpr std::size_t kItemsTold = 10;

// The first few that go, one line each.
void add_items(Page& page, const std::string& kind, const std::vector<wire::CleaningReport::Item>& items) {
  std::size_t told = 0;
  std::size_t left_out = 0;
  for (const auto& item : items) {
    if (item.kind != kind) continue;
    if (told == kItemsTold) {
      ++left_out;
      continue;
    }
    ++told;
    page.line("", to_text(item.bytes) + "  " + printable(item.what) + ": " + printable(item.why));
  }
  if (left_out > 0) page.line("", "and " + std::to_string(left_out) + " more (--json tells all)");
}

void add_kind(Page& page, const wire::CleaningReport::Kind& kind, const std::vector<wire::CleaningReport::Item>& items,
              bool dry_run) {
  if (kind.held.count == 0) return;
  page.heading(printable(kind.words) + ": " + amount_text(kind.held));
  if (kind.going.count > 0) {
    page.line(dry_run ? "Would go" : "Went", amount_text(kind.going), Style::yellow);
    add_items(page, kind.kind, items);
  }
  const char* stays = dry_run ? "Would stay" : "Stayed";
  for (const auto& part : kind.staying) page.line(stays, amount_text(part.amount) + ": " + printable(part.why));
}

// "stored 2.0 GiB, checkouts 1.0 MiB, …"
std::string kept_text(const wire::DiskUse::Kept& kept) {
  std::string text;
  const auto add = [&](const char* kind, ByteSize size) {
    if (size.bytes() > 0) (text += text.empty() ? "" : ", ") += std::string(kind) + " " + to_text(size);
  };
  add("stored", kept.stored);
  add("checkouts", kept.checkouts);
  add("downloads", kept.downloads);
  add("environments", kept.environments);
  add("images", kept.images);
  add("logs", kept.logs);
  add("records", kept.records);
  return text;
}

void add_disk(Page& page, const wire::DiskUse& disk) {
  if (disk.total.bytes() == 0) return;
  page.line("Disk", to_text(disk.free) + " of " + to_text(disk.total) + " free");
  page.line("Kept",
            to_text(disk.kept) + (disk.budget ? " of " + to_text(*disk.budget) : "") + ": " + kept_text(disk.of_kinds));
  const auto& images = disk.image_disk;
  if (images && images->kept.bytes() > 0 && !images->shared)
    page.line("Images", "up to " + to_text(images->kept) + " where " + printable(images->directory) +
                            " is: " + to_text(images->free) + " of " + to_text(images->total) + " free");
}

// "91% busy, 41 GiB of 80 GiB, calm-otter-2xyz"; withheld: why.
std::string gpu_text(const wire::Gpu& gpu) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (gpu.utilisation) add(std::to_string(*gpu.utilisation) + "% busy");
  add(gpu.used ? to_text(*gpu.used) + " of " + to_text(gpu.memory) : to_text(gpu.memory));
  std::string jobs;
  for (const auto& job : gpu.jobs) jobs += (jobs.empty() ? "" : " and ") + printable(job.value());
  if (!jobs.empty()) add(jobs);
  if (gpu.withheld) add("withheld: " + printable(*gpu.withheld));
  if (jobs.empty() && !gpu.withheld) add("free");
  return text;
}

void add_gpus(Page& page, const wire::Gpus& told) {
  const auto& [gpus, nvidia] = told;
  if (gpus.empty()) {
    for (const auto& note : nvidia.notes) page.line("No GPUs", printable(note));
    return;
  }
  page.heading("GPUs");
  for (const auto& gpu : gpus) {
    page.line(printable(gpu.label), gpu.name.empty() ? "NVIDIA" : printable(gpu.name));
    page.line("", gpu_text(gpu), gpu.withheld ? Style::yellow : Style::plain);
  }
  page.line("Driver",
            printable(nvidia.driver.value_or("")) + (nvidia.cuda ? " (CUDA " + printable(*nvidia.cuda) + ")" : ""));
  for (const auto& note : nvidia.notes) page.line("", printable(note));
}

void add_node(Page& page, const wire::Status& status) {
  if (!status.version.empty())
    page.line("Agent", "berthd " + printable(status.version) + " (" + printable(status.mode) + "), pid " +
                           std::to_string(status.pid));
  if (status.uptime.count() > 0) page.line("Up for", to_words(status.uptime));
  page.line("State in", printable(status.state_dir));
  page.line("Health", printable(status.health), status.health == "ok" ? Style::green : Style::yellow);
  for (const auto& remark : status.remarks) page.line("", printable(remark));
}

}  // namespace

std::string status_page(std::string_view text, const std::string& socket, const Screen& screen) {
  const auto status = message_from<wire::Status>(wire::parse_json(text), "status");
  const bool told = status.capacity.slots > 0;  // no node is without
  Page page(screen);
  page.heading(status.name.empty() ? "Node" : printable(status.name));
  add_node(page, status);
  page.line("Asked on", printable(socket));
  page.heading("Queue");
  if (told) page.line("Jobs", queue_text(status.jobs));
  if (status.drained) page.line("Drained", "no job starts before `berth resume`", Style::yellow);
  page.heading("Resources");
  if (told) add_resources(page, status);
  add_disk(page, status.disk);
  add_gpus(page, status.gpus);
  return page.take();
}

std::string garbage_page(std::string_view text, bool dry_run, const Screen& screen) {
  const auto report = message_from<wire::CleaningReport>(wire::parse_json(text), "report of what was cleaned");
  Page page(screen);
  page.heading("Disk");
  for (const auto& remark : report.remarks) page.line("", printable(remark));
  for (const auto& kind : report.kinds) add_kind(page, kind, report.items, dry_run);
  return page.take() + "\n" +
         (report.items.empty() ? "nothing to give back"
                               : (dry_run ? "would give back " : "gave back ") + to_text(report.bytes)) +
         "\n";
}

}  // namespace berth::cli

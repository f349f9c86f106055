#include "agent/cli/node_text.hpp"

#include <nlohmann/json.hpp>
#include <optional>

#include "agent/cli/page.hpp"
#include "agent/model/json.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"

namespace berth::cli {
namespace {

using nlohmann::json;

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? printable(found->get<std::string>()) : "";
}

std::optional<std::uint64_t> number_at(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

json object_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : json::object();
}

std::string cpus_text(std::uint64_t milli) {
  auto text = json(static_cast<double>(milli) / 1000).dump();
  return text.ends_with(".0") ? text.substr(0, text.size() - 2) : text;
}

void add_resource(Page& page, const std::string& label, const char* key, const json& status,
                  const std::function<std::string(std::uint64_t)>& words) {
  const auto capacity = number_at(object_at(status, "capacity"), key);
  const auto used = number_at(object_at(status, "in_use"), key);
  if (!capacity) return;
  page.line(label, words(used.value_or(0)) + " of " + words(*capacity) + " in use");
}

std::string queue_text(const json& jobs) {
  std::string text;
  for (const char* state : {"running", "queued", "preparing", "finalizing"}) {
    const auto number = number_at(jobs, state);
    if (!number || (*number == 0 && state != std::string_view("running"))) continue;
    (text += text.empty() ? "" : ", ") += std::to_string(*number) + " " + state;
  }
  return text;
}

json list_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : json::array();
}

// "3, 1.2 GiB"
std::string amount_text(const json& amount) {
  return std::to_string(number_at(amount, "count").value_or(0)) + ", " +
         to_text(ByteSize(number_at(amount, "bytes").value_or(0)));
}

constexpr std::size_t kItemsTold = 10;

// The first few that go, one line each.
void add_items(Page& page, const std::string& kind, const json& items) {
  std::size_t told = 0;
  std::size_t left_out = 0;
  for (const auto& item : items) {
    if (text_at(item, "kind") != kind) continue;
    if (told == kItemsTold) {
      ++left_out;
      continue;
    }
    ++told;
    page.line("", to_text(ByteSize(number_at(item, "bytes").value_or(0))) + "  " + text_at(item, "what") + ": " +
                      text_at(item, "why"));
  }
  if (left_out > 0) page.line("", "and " + std::to_string(left_out) + " more (--json tells all)");
}

void add_kind(Page& page, const json& kind, const json& items, bool dry_run) {
  const auto held = object_at(kind, "held");
  if (number_at(held, "count").value_or(0) == 0) return;
  page.heading(text_at(kind, "words") + ": " + amount_text(held));
  const auto going = object_at(kind, "going");
  if (number_at(going, "count").value_or(0) > 0) {
    page.line(dry_run ? "Would go" : "Went", amount_text(going), Style::yellow);
    add_items(page, text_at(kind, "kind"), items);
  }
  const char* stays = dry_run ? "Would stay" : "Stayed";
  for (const auto& part : list_at(kind, "staying")) page.line(stays, amount_text(part) + ": " + text_at(part, "why"));
}

// "stored 2.0 GiB, checkouts 1.0 MiB, …"
std::string kept_text(const json& kept) {
  std::string text;
  for (const char* kind : {"stored", "checkouts", "downloads", "environments", "images", "logs", "records"})
    if (const auto bytes = number_at(kept, kind); bytes && *bytes > 0)
      (text += text.empty() ? "" : ", ") += std::string(kind) + " " + to_text(ByteSize(*bytes));
  return text;
}

void add_disk(Page& page, const json& disk) {
  const auto size = [](std::uint64_t bytes) { return to_text(ByteSize(bytes)); };
  if (const auto free = number_at(disk, "free_bytes"))
    page.line("Disk", size(*free) + " of " + size(number_at(disk, "total_bytes").value_or(0)) + " free");
  if (const auto kept = number_at(disk, "kept_bytes")) {
    const auto budget = number_at(disk, "budget_bytes");
    page.line("Kept", size(*kept) + (budget ? " of " + size(*budget) : "") + ": " + kept_text(object_at(disk, "kept")));
  }
  const auto images = object_at(disk, "image_disk");
  const auto of_images = number_at(images, "kept_bytes").value_or(0);
  if (of_images > 0 && !images.value("shared", true))
    page.line("Images", "up to " + size(of_images) + " where " + text_at(images, "directory") +
                            " is: " + size(number_at(images, "free_bytes").value_or(0)) + " of " +
                            size(number_at(images, "total_bytes").value_or(0)) + " free");
}

// "91% busy, 41 GiB of 80 GiB, calm-otter-2xyz"; withheld: why.
std::string gpu_text(const json& gpu) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (const auto busy = number_at(gpu, "utilisation")) add(std::to_string(*busy) + "% busy");
  const auto used = number_at(gpu, "used_bytes");
  const auto memory = to_text(ByteSize(number_at(gpu, "memory_bytes").value_or(0)));
  add(used ? to_text(ByteSize(*used)) + " of " + memory : memory);
  std::string jobs;
  for (const auto& job : list_at(gpu, "jobs"))
    if (job.is_string()) jobs += (jobs.empty() ? "" : " and ") + printable(job.get<std::string>());
  const auto withheld = text_at(gpu, "withheld");
  if (!jobs.empty()) add(jobs);
  if (!withheld.empty()) add("withheld: " + withheld);
  if (jobs.empty() && withheld.empty()) add("free");
  return text;
}

void add_gpus(Page& page, const json& status) {
  const auto gpus = list_at(status, "gpus");
  const auto nvidia = object_at(status, "nvidia");
  const auto notes = list_at(nvidia, "notes");
  if (gpus.empty()) {
    for (const auto& note : notes)
      if (note.is_string()) page.line("No GPUs", printable(note.get<std::string>()));
    return;
  }
  page.heading("GPUs");
  for (const auto& gpu : gpus) {
    const auto name = text_at(gpu, "name");
    page.line(text_at(gpu, "label"), name.empty() ? "NVIDIA" : name);
    page.line("", gpu_text(gpu), text_at(gpu, "withheld").empty() ? Style::plain : Style::yellow);
  }
  const auto cuda = text_at(nvidia, "cuda");
  page.line("Driver", text_at(nvidia, "driver") + (cuda.empty() ? "" : " (CUDA " + cuda + ")"));
  for (const auto& note : notes)
    if (note.is_string()) page.line("", printable(note.get<std::string>()));
}

void add_node(Page& page, const json& status) {
  page.line("Agent", text_at(status, "version").empty()
                         ? ""
                         : "berthd " + text_at(status, "version") + " (" + text_at(status, "mode") + "), pid " +
                               std::to_string(number_at(status, "pid").value_or(0)));
  if (const auto up = number_at(status, "uptime_ms")) page.line("Up for", to_words(std::chrono::milliseconds(*up)));
  page.line("State in", text_at(status, "state_dir"));
  const auto health = text_at(status, "health");
  page.line("Health", health, health == "ok" ? Style::green : Style::yellow);
  const auto remarks = status.find("remarks");
  if (remarks == status.end() || !remarks->is_array()) return;
  for (const auto& remark : *remarks)
    if (remark.is_string()) page.line("", printable(remark.get<std::string>()));
}

}  // namespace

std::string status_page(std::string_view text, const std::string& socket, const Screen& screen) {
  const auto status = model::parse_json(text);
  const auto plain = [](std::uint64_t number) { return std::to_string(number); };
  const auto size = [](std::uint64_t bytes) { return to_text(ByteSize(bytes)); };
  Page page(screen);
  page.heading(text_at(status, "name").empty() ? "Node" : text_at(status, "name"));
  add_node(page, status);
  page.line("Asked on", printable(socket));
  page.heading("Queue");
  page.line("Jobs", queue_text(object_at(status, "jobs")));
  if (status.value("drained", json(false)) == json(true))
    page.line("Drained", "no job starts before `berth resume`", Style::yellow);
  page.heading("Resources");
  add_resource(page, "CPUs", "cpu_milli", status, cpus_text);
  add_resource(page, "Memory", "memory_bytes", status, size);
  add_resource(page, "GPUs", "gpus", status, plain);
  add_resource(page, "Slots", "slots", status, plain);
  add_disk(page, object_at(status, "disk"));
  add_gpus(page, status);
  return page.take();
}

std::string garbage_page(std::string_view text, bool dry_run, const Screen& screen) {
  const auto report = model::parse_json(text);
  const auto items = list_at(report, "items");
  Page page(screen);
  page.heading("Disk");
  for (const auto& remark : list_at(report, "remarks"))
    if (remark.is_string()) page.line("", printable(remark.get<std::string>()));
  for (const auto& kind : list_at(report, "kinds")) add_kind(page, kind, items, dry_run);
  const auto total = to_text(ByteSize(number_at(report, "bytes").value_or(0)));
  return page.take() + "\n" +
         (items.empty() ? "nothing to give back" : (dry_run ? "would give back " : "gave back ") + total) + "\n";
}

}  // namespace berth::cli

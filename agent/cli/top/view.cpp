#include "agent/cli/top/view.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>

#include "agent/cli/job_text.hpp"
#include "agent/cli/table.hpp"
#include "agent/cli/words.hpp"
#include "runtime/base/text.hpp"

namespace berth::cli::top {
namespace {

using Lines = std::vector<Line>;

constexpr std::size_t kHead = 3;      // two lines and an empty one, without GPUs
constexpr std::size_t kLeastBody = 8;  // GPUs are left out where they would leave less
constexpr std::size_t kLeastLog = 3;  // with its heading
constexpr const char* kKeys = "↑↓ select  c cancel  h hold/release  +- priority  f follow  l log  ? help  q quit";

std::string right(const std::string& text, std::size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string percent_text(std::optional<double> percent) {
  if (!percent) return "";
  char text[32];
  std::snprintf(text, sizeof text, *percent < 9.95 ? "%.1f%%" : "%.0f%%", *percent);
  return text;
}

// --- head

std::string counts_text(const Counts& counts) {
  auto text = std::to_string(counts.running) + " running, " + std::to_string(counts.queued) + " queued";
  if (counts.preparing > 0) text += ", " + std::to_string(counts.preparing) + " preparing";
  if (counts.finalizing > 0) text += ", " + std::to_string(counts.finalizing) + " finalizing";
  return text;
}

std::string machine_text(const Model& model) {
  const auto& reading = model.reading();
  auto text = "slots " + std::to_string(reading.slots_used) + "/" + std::to_string(reading.slots);
  if (reading.cpus > 0) {
    const auto percent = percent_text(model.machine_percent());
    text += "   CPU " + (percent.empty() ? "" : percent + " of ") + std::to_string(reading.cpus);
    const auto used = reading.memory.bytes() - std::min(reading.memory_available.bytes(), reading.memory.bytes());
    text += "   memory " + brief_size(ByteSize(used)) + " of " + brief_size(reading.memory);
  }
  return text + "   disk " + brief_size(reading.disk_free) + " of " + brief_size(reading.disk_total) + " free";
}

// "GPU 3   91%  41G/80G  calm-otter-2xyz"
Line gpu_line(const GpuUse& gpu, std::size_t label_width) {
  auto text = gpu.label + std::string(label_width - std::min(label_width, gpu.label.size()), ' ');
  text += right(gpu.utilisation ? std::to_string(*gpu.utilisation) + "%" : "", 6);
  text += right((gpu.used ? brief_size(*gpu.used) + "/" : "") + brief_size(gpu.memory), 11) + "  ";
  if (gpu.withheld.empty()) return {text + (gpu.jobs.empty() ? "free" : gpu.jobs), Style::plain};
  return {text + (gpu.jobs.empty() ? "" : gpu.jobs + ", ") + "withheld: " + gpu.withheld, Style::yellow};
}

void add_gpus(Lines& lines, const Reading& reading) {
  std::size_t width = 0;
  for (const auto& gpu : reading.gpus) width = std::max(width, gpu.label.size());
  for (const auto& gpu : reading.gpus) lines.push_back(gpu_line(gpu, width));
}

std::size_t gpu_lines(const Model& model, Size size) {
  const auto lines = model.reading().gpus.size();
  return size.rows >= kHead + lines + kLeastBody ? lines : 0;
}

void add_head(Lines& lines, const Model& model, Size size) {
  const auto& reading = model.reading();
  lines.push_back({reading.name + "   berthd " + reading.version + "   " + counts_text(reading.counts), Style::bold});
  lines.push_back({machine_text(model)});
  if (gpu_lines(model, size) > 0) add_gpus(lines, reading);
  if (!model.away().empty())
    lines.push_back({model.away(), Style::red});
  else if (reading.drained)
    lines.push_back({"drained: no job starts before `berth resume`", Style::yellow});
  else
    lines.push_back({});
}

// --- jobs

using Jobs = std::vector<const JobRecord*>;

std::string memory_text(const JobUse& use) {
  auto text = brief_size(use.memory);
  return use.memory_limit ? text + "/" + brief_size(*use.memory_limit) : text;
}

std::vector<Cell> running_row(const Model& model, const JobRecord& record) {
  const auto& job = record.job;
  const auto use = model.reading().uses.find(job.id);
  const bool known = use != model.reading().uses.end();
  const auto ran = run_time(job, model.reading().time);
  return {{printable(job.id.value())},
          {right(percent_text(model.cpu_percent(job.id)), 6)},
          {right(known ? memory_text(use->second) : "", 11)},
          {right(ran ? clock_text(*ran) : "", 9)},
          {printable(job.user)},
          {job.state == model::State::running ? "" : brief_state_text(job)},
          {title_of(record)}};
}

std::vector<Cell> waiting_row(const Model& model, const JobRecord& record) {
  const auto& job = record.job;
  return {{printable(job.id.value())},
          {job.priority == 0 ? "" : right(std::to_string(job.priority), 4)},
          {right(clock_text(model.reading().time - job.submitted), 8)},
          {printable(job.user)},
          {title_of(record)},
          {record.waiting.empty() ? brief_state_text(job) : printable(record.waiting)}};
}

Style style_of(const model::Job& job) {
  if (job.held) return Style::dim;
  return job.state == model::State::cancel_requested ? Style::yellow : Style::plain;
}

// The rows of a list that fit, so that the selected one is among them.
Jobs window(const Jobs& jobs, std::size_t rows, const model::JobId& selected) {
  if (jobs.size() <= rows) return jobs;
  const auto at = std::find_if(jobs.begin(), jobs.end(), [&](const auto* each) { return each->job.id == selected; });
  const auto index = at == jobs.end() ? 0 : static_cast<std::size_t>(at - jobs.begin());
  const auto first = std::min(index >= rows ? index - rows + 1 : 0, jobs.size() - rows);
  const auto begin = jobs.begin() + static_cast<std::ptrdiff_t>(first);
  return {begin, begin + static_cast<std::ptrdiff_t>(rows)};
}

// The table's heading and one line for each job.
void add_table(Lines& lines, const Table& table, const Jobs& jobs, const Model& model, Size size) {
  Screen screen;
  screen.width = size.columns;
  const auto text = table.text(screen);
  std::size_t at = 0;
  for (std::size_t row = 0; at < text.size(); ++row) {
    const auto end = text.find('\n', at);
    Line line{text.substr(at, end - at), Style::bold};
    if (row > 0) {
      const auto& job = jobs[row - 1]->job;
      line.style = style_of(job);
      line.selected = job.id == model.selected();
    }
    lines.push_back(std::move(line));
    at = end + 1;
  }
}

void add_running(Lines& lines, const Model& model, const Jobs& jobs, Size size) {
  Table table({{"RUNNING"}, {"  CPU%"}, {"     MEMORY"}, {"     TIME"}, {"USER", 6}, {"STATE", 8}, {"NAME", 8}});
  for (const auto* record : jobs) table.add(running_row(model, *record));
  add_table(lines, table, jobs, model, size);
}

void add_waiting(Lines& lines, const Model& model, const Jobs& jobs, std::size_t more, Size size) {
  Table table({{"WAITING"}, {"PRIO"}, {"     AGE"}, {"USER", 6}, {"NAME", 8}, {"WHY", 12}});
  for (const auto* record : jobs) table.add(waiting_row(model, *record));
  add_table(lines, table, jobs, model, size);
  if (more > 0) lines.push_back({"and " + std::to_string(more) + " more", Style::dim});
}

// How many rows each list gets of `room`: what it needs, or half and what the other leaves.
std::pair<std::size_t, std::size_t> share(std::size_t room, std::size_t running, std::size_t waiting) {
  if (running + waiting <= room) return {running, waiting};
  const auto first = std::min(running, std::max(room - std::min(room, waiting), room - room / 2));
  return {first, std::min(waiting, room - first)};
}

void add_jobs(Lines& lines, const Model& model, std::size_t rows, Size size) {
  const auto& reading = model.reading();
  if (reading.jobs.empty()) {
    lines.push_back({"no live jobs; `berth submit` makes one, `berth ps -a` lists the ended ones", Style::dim});
    return;
  }
  Jobs running;
  Jobs waiting;
  for (const auto& record : reading.jobs) (is_waiting(record.job) ? waiting : running).push_back(&record);
  const std::uint64_t all_waiting =
      std::max<std::uint64_t>(waiting.size(), reading.counts.queued + reading.counts.preparing);
  const std::size_t headings = running.empty() || waiting.empty() ? 1 : 3;  // an empty line between the two
  const std::size_t more_line = all_waiting > waiting.size() ? 1 : 0;
  const auto room = rows - std::min(rows, headings + more_line);
  const auto [running_rows, waiting_rows] = share(room, running.size(), waiting.size());
  if (!running.empty()) add_running(lines, model, window(running, running_rows, model.selected()), size);
  if (!running.empty() && !waiting.empty()) lines.push_back({});
  if (!waiting.empty())
    add_waiting(lines, model, window(waiting, waiting_rows, model.selected()), all_waiting - waiting.size(), size);
}

// --- log

std::string rule(const std::string& title, std::size_t columns) {
  std::string text = "── " + title + " ";
  for (auto width = text_width(text); width < columns; ++width) text += "─";
  return text;
}

std::string no_log_text(const Model& model) {
  const auto* record = model.selected_job();
  if (!model.why_no_log().empty()) return model.why_no_log();
  if (record != nullptr && is_waiting(record->job)) return "it has not started yet";
  return "nothing written yet";
}

void add_log_pane(Lines& lines, const Model& model, std::size_t rows, Size size) {
  if (rows == 0) return;
  lines.push_back({rule("log of " + model.selected(), size.columns), Style::dim});
  const auto text = model.log().lines(rows - 1);
  if (text.empty() && rows > 1) lines.push_back({no_log_text(model), Style::dim});
  for (const auto& line : text) lines.push_back({line});
}

void add_whole_log(Lines& lines, const Model& model, Size size) {
  const auto* record = model.selected_job();
  auto title = model.selected().value();
  if (record != nullptr) title += "   " + state_text(record->job) + "   " + title_of(*record);
  lines.push_back({title, Style::bold});
  if (!model.away().empty()) lines.push_back({model.away(), Style::red});
  const auto rows = size.rows - std::min(size.rows, lines.size() + 1);
  std::vector<std::string> text;
  auto raw = model.log().lines(rows + model.scrolled());
  const auto above = raw.size() - std::min(raw.size(), model.scrolled());
  raw.resize(std::max(above, std::min(raw.size(), rows)));  // the log's beginning still fills the screen
  for (const auto& line : raw)
    for (auto& piece : wrapped(line, size.columns)) text.push_back(std::move(piece));
  if (text.empty()) text.push_back(no_log_text(model));
  const auto first = text.size() - std::min(text.size(), rows);
  for (auto i = first; i < text.size(); ++i) lines.push_back({text[i]});
}

// --- help and footer

void add_help(Lines& lines) {
  constexpr const char* kHelp[] = {"up, down, k, j    select a job (also PgUp, PgDn, Home, End)",
                                   "c                 cancel it, after a question",
                                   "h                 hold a waiting job, or release a held one",
                                   "+ -               raise or lower a waiting job's priority",
                                   "f, Enter          follow its log on the whole screen; up and down scroll,",
                                   "                  f, q or Esc leads back",
                                   "l                 show or hide the log below the jobs",
                                   "q, Ctrl-C         quit; jobs run on",
                                   "",
                                   "CPU% is of one core: four busy cores are 400%. MEMORY is use/limit.",
                                   "`berth top --help` tells more. Any key leads back."};
  for (const auto* text : kHelp) lines.push_back({text});
}

Line footer(const Model& model) {
  using Mode = Model::Mode;
  if (model.mode() == Mode::confirm) return {"cancel " + model.selected() + "? [y/n]", Style::yellow};
  if (!model.message().empty()) return {model.message(), Style::yellow};
  if (model.mode() != Mode::log) return {kKeys, Style::dim};
  if (model.scrolled() > 0)
    return {"scrolled up by " + std::to_string(model.scrolled()) + "   G end   f, q, Esc back", Style::dim};
  return {"following   ↑↓ scroll   f, q, Esc back", Style::dim};
}

void add_body(Lines& lines, const Model& model, Size size) {
  if (model.mode() == Model::Mode::help) return add_help(lines);
  const auto head = kHead + gpu_lines(model, size);
  const auto body = size.rows - std::min(size.rows, head + 1);
  const bool has_log = model.log_shown() && !model.selected().empty() && body >= 3 * kLeastLog;
  const auto least_log = has_log ? std::max(kLeastLog, body / 3) : 0;
  add_jobs(lines, model, body - least_log, size);
  if (!has_log) return;
  const auto used = lines.size() - std::min(lines.size(), head);
  add_log_pane(lines, model, body - std::min(body, used), size);
}

}  // namespace

std::string brief_size(ByteSize size) {
  constexpr const char* kUnits = "BKMGTPE";
  auto value = static_cast<double>(size.bytes());
  int unit = 0;
  for (; value >= 999.5 && unit < 6; ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit > 0 && value < 9.95 ? "%.1f%c" : "%.0f%c", value, kUnits[unit]);
  return text;
}

std::string clock_text(std::chrono::microseconds duration) {
  const auto seconds = std::max<long long>(duration.count() / 1'000'000, 0);
  const auto days = seconds / 86'400;
  const auto hours = seconds / 3600 % 24;
  const auto minutes = seconds / 60 % 60;
  char text[64];
  if (days > 0)
    std::snprintf(text, sizeof text, "%lldd %02lld:%02lld", days, hours, minutes);
  else if (hours > 0)
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", hours, minutes, seconds % 60);
  else
    std::snprintf(text, sizeof text, "%lld:%02lld", minutes, seconds % 60);
  return text;
}

std::vector<Line> view_of(const Model& model, Size size) {
  Lines lines;
  if (model.mode() == Model::Mode::log) {
    add_whole_log(lines, model, size);
  } else {
    add_head(lines, model, size);
    add_body(lines, model, size);
  }
  lines.resize(size.rows - std::min<std::size_t>(size.rows, 1));
  if (size.rows > 0) lines.push_back(footer(model));
  for (auto& line : lines) line.text = fitted(printable(line.text), size.columns);
  return lines;
}

}  // namespace berth::cli::top

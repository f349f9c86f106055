#include "agent/cli/top/model.hpp"

#include <algorithm>

namespace berth::cli::top {
namespace {

constexpr std::size_t kPage = 10;
constexpr int kMostScrolled = 5000;

std::optional<double> percent(std::chrono::microseconds used, std::chrono::microseconds of) {
  if (of.count() <= 0 || used.count() < 0) return std::nullopt;
  return 100.0 * static_cast<double>(used.count()) / static_cast<double>(of.count());
}

}  // namespace

bool is_waiting(const model::Job& job) {
  return job.state == model::State::queued || job.state == model::State::preparing;
}

void Model::take(Reading reading) {
  const auto index = selected_index();
  std::swap(reading_, reading);
  if (known_) note_rates(reading);
  known_ = true;
  away_.clear();
  keep_selection(index);
}

void Model::note_rates(const Reading& before) {
  const auto passed = reading_.monotonic - before.monotonic;
  cpu_.clear();
  for (const auto& [id, use] : reading_.uses) {
    const auto earlier = before.uses.find(id);
    if (earlier == before.uses.end() || earlier->second.launch != use.launch) continue;
    if (const auto rate = percent(use.cpu - earlier->second.cpu, passed)) cpu_[id] = *rate;
  }
  const auto rate = percent(reading_.cpu - before.cpu, passed);
  machine_cpu_ = rate && reading_.cpus > 0 ? std::optional(std::min(100.0, *rate / static_cast<double>(reading_.cpus)))
                                           : std::nullopt;
}

std::size_t Model::selected_index() const {
  const auto& jobs = reading_.jobs;
  const auto found =
      std::find_if(jobs.begin(), jobs.end(), [&](const JobRecord& each) { return each.job.id == selected_; });
  return static_cast<std::size_t>(found - jobs.begin());
}

// The job stays selected wherever it has moved to; when it is gone, the one that took its place is. Its log
// stays on a screen of its own.
void Model::keep_selection(std::size_t index) {
  if (selected_job() != nullptr) {
    gone_ = {};
    return;
  }
  if (!selected_.empty() && selected_ != gone_) vanished_ = gone_ = selected_;
  if (mode_ == Mode::confirm) mode_ = Mode::jobs;
  if (mode_ != Mode::log) select(index);
}

void Model::select(std::size_t index) {
  const auto& jobs = reading_.jobs;
  selected_ = jobs.empty() ? model::JobId() : jobs[std::min(index, jobs.size() - 1)].job.id;
}

const JobRecord* Model::selected_job() const {
  const auto index = selected_index();
  return index < reading_.jobs.size() ? &reading_.jobs[index] : nullptr;
}

void Model::job_ended(const model::JobId& id, const std::string& how) { message_ = id + ": " + how; }

std::optional<double> Model::cpu_percent(const model::JobId& job) const {
  const auto found = cpu_.find(job);
  return found == cpu_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<double> Model::machine_percent() const { return machine_cpu_; }

const model::JobId* Model::log_job() const {
  const bool shown = mode_ == Mode::log || (log_shown_ && mode_ != Mode::help);
  return shown && !selected_.empty() ? &selected_ : nullptr;
}

std::optional<std::uint64_t> Model::log_wanted() {
  const auto* job = log_job();
  if (job == nullptr) return std::nullopt;
  const auto use = reading_.uses.find(*job);
  const bool runs = use != reading_.uses.end();
  if (*job != log_of_ || (runs && use->second.launch != log_launch_)) {
    log_ = LogTail();
    log_of_ = *job;
    log_launch_ = runs ? use->second.launch : 0;
    no_log_.clear();
    scrolled_ = 0;
  }
  const auto* record = selected_job();
  const bool waits = record != nullptr && is_waiting(record->job);
  if (waits || !no_log_.empty()) return std::nullopt;
  return log_.next(runs ? use->second.log.bytes() : 0);  // of one that is over, what is left
}

Action Model::press(Key key) {
  message_.clear();
  switch (mode_) {
    case Mode::confirm:
      return press_in_confirm(key);
    case Mode::log:
      return press_in_log(key);
    case Mode::help:
      mode_ = Mode::jobs;
      return {};
    case Mode::jobs:
      break;
  }
  return press_in_jobs(key);
}

Action Model::press_in_confirm(Key key) {
  mode_ = Mode::jobs;
  const bool yes = key.kind == Key::Kind::character && (key.character == 'y' || key.character == 'Y');
  if (!yes) return {};
  return {Action::Kind::cancel, selected_, 0};
}

Action Model::press_in_log(Key key) {
  using enum Key::Kind;
  const auto is = [&](const char* letters) {
    return key.kind == character && std::string_view(letters).find(key.character) != std::string_view::npos;
  };
  if (key.kind == escape || is("qf")) {
    mode_ = Mode::jobs;
    keep_selection(0);
  } else if (key.kind == up || is("k")) {
    scroll(1);
  } else if (key.kind == down || is("j")) {
    scroll(-1);
  } else if (key.kind == page_up) {
    scroll(kPage);
  } else if (key.kind == page_down) {
    scroll(-static_cast<std::ptrdiff_t>(kPage));
  } else if (key.kind == home || is("g")) {
    scroll(kMostScrolled);
  } else if (key.kind == end || is("G")) {
    scrolled_ = 0;
  }
  return {};
}

void Model::scroll(std::ptrdiff_t lines) {
  const auto most = static_cast<std::ptrdiff_t>(log_.lines(kMostScrolled).size());
  scrolled_ = static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(scrolled_) + lines, 0,
                                                                  std::max<std::ptrdiff_t>(most - 1, 0)));
}

void Model::move(Key::Kind kind) {
  const auto index = selected_index();
  if (kind == Key::Kind::up) select(index - std::min<std::size_t>(index, 1));
  if (kind == Key::Kind::down) select(index + 1);
  if (kind == Key::Kind::page_up) select(index - std::min(index, kPage));
  if (kind == Key::Kind::page_down) select(index + kPage);
  if (kind == Key::Kind::home) select(0);
  if (kind == Key::Kind::end && !reading_.jobs.empty()) select(reading_.jobs.size() - 1);
}

Action Model::press_in_jobs(Key key) {
  if (key.kind == Key::Kind::enter) enter_log();
  if (key.kind != Key::Kind::character) {
    move(key.kind);
    return {};
  }
  return letter(key.character);
}

Action Model::letter(char character) {
  switch (character) {
    case 'q':
      return {Action::Kind::quit, {}, 0};
    case 'k':
      move(Key::Kind::up);
      break;
    case 'j':
      move(Key::Kind::down);
      break;
    case 'g':
      move(Key::Kind::home);
      break;
    case 'G':
      move(Key::Kind::end);
      break;
    case 'c':
      if (selected_job() != nullptr) mode_ = Mode::confirm;
      break;
    case 'h':
      return toggle_held();
    case '+':
      return change_priority(1);
    case '-':
      return change_priority(-1);
    case 'f':
      enter_log();
      break;
    case 'l':
      log_shown_ = !log_shown_;
      break;
    case '?':
      mode_ = Mode::help;
      break;
    default:
      break;
  }
  return {};
}

void Model::enter_log() {
  if (selected_job() == nullptr) return;
  mode_ = Mode::log;
  scrolled_ = 0;
}

Action Model::toggle_held() {
  const auto* record = selected_job();
  if (record == nullptr) return {};
  if (!is_waiting(record->job)) {
    say("only a waiting job can be held");
    return {};
  }
  return {record->job.held ? Action::Kind::release : Action::Kind::hold, selected_, 0};
}

Action Model::change_priority(int by) {
  const auto* record = selected_job();
  if (record == nullptr) return {};
  if (!is_waiting(record->job)) {
    say("only a waiting job's priority can be changed");
    return {};
  }
  return {Action::Kind::set_priority, selected_,
          std::clamp(record->job.priority + by, model::kMinPriority, model::kMaxPriority)};
}

}  // namespace berth::cli::top

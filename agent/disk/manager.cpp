#include "agent/disk/manager.hpp"

#include <malloc.h>
#include <sys/stat.h>

#include <algorithm>
#include <unordered_set>

#include "agent/disk/cleaning_plan.hpp"
#include "runtime/async/attempt.hpp"
#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/file.hpp"

namespace berth::disk {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kRemovedAtOnce = 500;
constexpr milliseconds kFirstRemovalPause{500};
constexpr milliseconds kLongestRemovalPause{600'000};
constexpr auto kFruitlessFor = std::chrono::seconds(30);
constexpr milliseconds kShortestDatePause{1'000};
constexpr milliseconds kLongestDatePause{std::chrono::hours(6)};

std::uint64_t size_of_file(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_blocks) * 512 : 0;
}

// When the next thing of an ended job is due.
std::optional<Instant> next_date(const std::vector<store::Remains>& jobs, const Limits& limits) {
  std::optional<Instant> next;
  const auto consider = [&](Instant finished, const std::optional<milliseconds>& time) {
    if (time && (!next || finished + *time < *next)) next = finished + *time;
  };
  for (const auto& job : jobs) {
    if (!job.finished) continue;
    if (job.has_log) consider(*job.finished, limits.keep_logs);
    if (!job.outputs.empty()) consider(*job.finished, limits.keep_outputs);
    consider(*job.finished, limits.keep_jobs);
  }
  return next;
}

// Many jobs that are due one after the other are removed together.
milliseconds least_date_pause(const Limits& limits) {
  auto shortest = kLongestDatePause * 20;
  for (const auto& time : {limits.keep_logs, limits.keep_outputs, limits.keep_jobs})
    if (time) shortest = std::min(shortest, *time);
  return std::clamp(shortest / 20, kShortestDatePause, milliseconds(std::chrono::hours(1)));
}

}  // namespace

Manager::Manager(async::Executor executor, Limits limits, Disk disk, const Clock& clock, Log log)
    : limits_(std::move(limits)),
      state_dir_(std::move(disk.state_dir)),
      store_(disk.store),
      objects_(disk.objects),
      files_(disk.files),
      reserve_(disk.reserve),
      kinds_(std::move(disk.kinds)),
      image_disk_(std::move(disk.image_disk)),
      clock_(clock),
      log_(std::move(log)),
      nursery_(executor, [this](std::exception_ptr failure) {
        log_.error("disk space could not be given back", kv("error", error_from(std::move(failure)).describe()));
      }) {
  limits_.reserved = reserve_.least();
}

void Manager::start() {
  nursery_.spawn(take_over());
  keep_dates_if_any();
}

void Manager::keep_dates_if_any() {
  const bool any = limits_.keep_logs || limits_.keep_outputs || limits_.keep_jobs;
  if (any && !std::exchange(keeps_dates_, true)) nursery_.spawn(keep_dates());
}

void Manager::set_limits(Limits limits) {
  limits.reserved = limits_.reserved;
  limits_ = std::move(limits);
  fruitless_until_ = images_fruitless_until_ = Steady{};
  keep_dates_if_any();
  ended_.notify_all();  // what had no date may have one now
  nursery_.spawn(clean_up(ByteSize()));
}

Task<> Manager::stop() { co_await nursery_.stop_and_join(); }

Task<> Manager::take_over() {
  co_await remove_doomed();
  co_await recount();
  if (store_.sweep_due()) co_await sweep(objects::Thorough::no);
  auto measure = [this] {
    std::uint64_t bytes = 0;
    for (const auto& job : store_.remains())
      if (job.finished && job.has_log) bytes += files_.log_bytes(job.id);
    return bytes;
  };
  logs_ += co_await async::offload(pool_, measure);
  look();
}

// Wakes up only while something waits for its date.
Task<> Manager::keep_dates() {
  for (;;) {
    auto ask = [this, limits = limits_] { return next_date(store_.remains(), limits); };
    const auto next = co_await async::offload(pool_, ask);
    if (!next) {
      co_await ended_.wait();
      continue;
    }
    const auto left = std::chrono::duration_cast<milliseconds>(*next - clock_.now());
    if (left > milliseconds(0)) {
      co_await async::sleep_for(std::clamp(left + milliseconds(1), least_date_pause(limits_), kLongestDatePause));
      continue;
    }
    co_await clean_up(ByteSize());
    co_await async::sleep_for(least_date_pause(limits_));
  }
}

void Manager::job_ended(std::uint64_t log_bytes) {
  logs_ += log_bytes;
  ended_.notify_all();
  look();
}

void Manager::look() {
  if (cleaning_ || nursery_.stopping()) return;
  const auto now = clock_.steady();
  const bool here = now >= fruitless_until_ && is_short(ByteSize());
  const bool there = now >= images_fruitless_until_ && is_short_of_image_space();
  if (here || there) nursery_.spawn(clean_up(ByteSize()));
}

bool Manager::is_short(ByteSize incoming) const { return !needs_of(state(incoming, logs_), limits_).empty(); }
bool Manager::is_short_of_image_space() const { return !needs_of(image_disk_(), limits_).empty(); }

// How much images give back shows only when they are gone; one that stays is none of the next round's candidates.
Task<> Manager::clean_up(ByteSize incoming) {
  for (bool again = true; again;) {
    Cleaning wanted;
    wanted.incoming = incoming;
    const auto report = co_await clean(wanted);
    if (report.bytes > 0 || !report.items.empty())
      log_.info("disk space given back", kv("bytes", report.bytes),
                kv("items", static_cast<std::uint64_t>(report.items.size())),
                kv("why", report.remarks.empty() ? "" : report.remarks.front()));
    again = report.estimated && (is_short(incoming) || is_short_of_image_space());
    if (!again) note_fruitless(incoming, report);
  }
}

void Manager::note_fruitless(ByteSize incoming, const Report& report) {
  const bool here = is_short(incoming);
  const bool there = is_short_of_image_space();
  if (here) fruitless_until_ = clock_.steady() + kFruitlessFor;
  if (there) images_fruitless_until_ = clock_.steady() + kFruitlessFor;
  if ((here || there) && !report.remarks.empty())
    log_.warn("too little disk space could be given back",
              kv("why", here ? report.remarks.back() : report.remarks.front()));
}

Task<> Manager::make_room(ByteSize incoming) {
  reserve_.restore();
  if (!refusal(incoming)) {
    look();
    co_return;
  }
  if (clock_.steady() >= fruitless_until_) {
    const auto cleaned = co_await async::attempt(clean_up(incoming));
    if (!cleaned) log_.error("disk space could not be given back", kv("error", cleaned.error().describe()));
  }
  if (const auto why = refusal(incoming))
    throw Error(Code::no_space, *why, "free some space; `berth gc --dry-run` shows what Berth could give back");
}

std::optional<std::string> Manager::refusal(ByteSize incoming) const {
  try {
    reserve_.require_room(incoming);
  } catch (const Error& error) {
    return error.message();
  }
  if (!limits_.budget) return std::nullopt;
  const auto now = state(ByteSize(), logs_);
  const auto budget = limits_.budget->of(now.total);
  if (now.kept + incoming.bytes() <= budget) return std::nullopt;
  return "Berth keeps " + to_text(ByteSize(now.kept)) + " on the disk" +
         (incoming.bytes() > 0 ? ", " + to_text(incoming) + " are to come" : "") + ", and disk_budget is " +
         to_text(ByteSize(budget));
}

State Manager::state(ByteSize incoming, std::uint64_t logs) const {
  const auto space = os::space_of(state_dir_);
  State state;
  state.free = space.free;
  state.total = space.total;
  if (limits_.budget) {
    state.kept = objects_.usage().stored_bytes + logs + records_bytes();
    for (const auto& kind : kinds_) state.kept += kind->held();
    if (const auto images = image_disk_(); images.shared) state.kept += images.state.kept;
  }
  state.incoming = incoming.bytes();
  return state;
}

Use Manager::use() const {
  Use use;
  use.state = state(ByteSize(), logs_);
  use.stored = objects_.usage().stored_bytes;
  use.checkouts = held_by("checkouts");
  use.downloads = held_by("downloads");
  use.environments = held_by("environments");
  use.logs = logs_;
  use.records = records_bytes();
  use.images = image_disk_();
  use.state.kept = use.stored + use.checkouts + use.downloads + use.environments + use.logs + use.records;
  if (use.images.shared) use.state.kept += use.images.state.kept;
  if (limits_.budget) use.budget = limits_.budget->of(use.state.total);
  use.refusal = refusal(ByteSize());
  return use;
}

std::uint64_t Manager::held_by(const std::string& kind) const {
  const auto found = std::ranges::find(kinds_, kind, [](const auto& each) { return each->name(); });
  return found == kinds_.end() ? 0 : (*found)->held();
}

std::uint64_t Manager::records_bytes() const {
  std::uint64_t bytes = 0;
  for (const char* file : {"berth.db", "berth.db-wal"}) bytes += size_of_file(os::join(state_dir_, file));
  return bytes;
}

Task<Report> Manager::clean(Cleaning wanted) {
  while (cleaning_) co_await cleaned_.wait();
  cleaning_ = true;
  const auto end = [this](void*) {
    cleaning_ = false;
    cleaned_.notify_all();
    ::malloc_trim(0);
  };
  const std::unique_ptr<void, decltype(end)> turn(this, end);
  const auto logs_before = logs_;
  std::optional<Plan> made;
  auto make = [&, limits = limits_] { made.emplace(plan(wanted, limits)); };
  co_await async::offload(pool_, make);
  logs_ = made->logs + (logs_ - logs_before);
  const bool estimated = std::any_of(made->candidates.begin(), made->candidates.begin() + made->going(),
                                     [](const Candidate& candidate) { return candidate.image; });
  if (!wanted.dry_run) co_await carry_out(*made);
  auto told = report(*made);
  told.estimated = estimated;
  co_return told;
}

Task<> Manager::carry_out(Plan& plan) {
  std::vector<bool> stays(plan.candidates.size(), false);
  for (std::size_t begin = 0; begin < plan.choice.going;) {
    const auto end = end_of_batch(plan, begin);
    auto numbers = std::vector<std::int64_t>();
    for (auto i = begin; i < end; ++i) numbers.push_back(plan.candidates[i].number);
    const auto done =
        co_await remove(*kinds_[plan.candidates[begin].kind], std::move(numbers), reason(plan, plan.candidates[begin]));
    const std::unordered_set<std::int64_t> gone(done.begin(), done.end());
    for (auto i = begin; i < end; ++i) stays[i] = !gone.contains(plan.candidates[i].number);
    co_await remove_doomed();
    begin = end;
  }
  co_await recount();
  if (plan.leftovers > 0 || store_.sweep_due())
    co_await sweep(plan.needs.empty() ? objects::Thorough::no : objects::Thorough::yes);
  reserve_.restore();
  note_what_went(plan, stays);
}

// Of one kind, for one reason.
std::size_t Manager::end_of_batch(const Plan& plan, std::size_t begin) {
  auto end = begin + 1;
  while (end < plan.choice.going && end - begin < kRemovedAtOnce &&
         plan.candidates[end].kind == plan.candidates[begin].kind &&
         reason(plan, plan.candidates[end]) == reason(plan, plan.candidates[begin]))
    ++end;
  return end;
}

// What came to be needed meanwhile was not a candidate, then.
void Manager::note_what_went(Plan& plan, const std::vector<bool>& stays) {
  std::vector<Candidate> left;
  const auto going = plan.choice.going;
  for (std::size_t i = 0; i < plan.candidates.size(); ++i) {
    if (stays[i])
      --plan.choice.going;
    else
      left.push_back(std::move(plan.candidates[i]));
    if (i >= going || stays[i] || kinds_[left.back().kind]->name() != "logs") continue;
    logs_ -= std::min(logs_, left.back().bytes);
  }
  plan.candidates = std::move(left);
}

// That something is removed must be put on record: on a full disk the reserve makes the room for it.
Task<std::vector<std::int64_t>> Manager::remove(Reclaimable& kind, std::vector<std::int64_t> numbers, std::string why) {
  auto done = co_await async::attempt(kind.remove(numbers, why));
  if (!done && done.error().code() == Code::no_space && reserve_.release())
    done = co_await async::attempt(kind.remove(std::move(numbers), std::move(why)));
  if (!done) throw done.error();
  co_return std::move(*done);
}

Task<> Manager::remove_doomed() {
  const auto doomed = store_.doomed();
  if (doomed.empty()) co_return;
  std::vector<std::pair<model::JobId, Error>> left;
  auto work = [&] {
    std::vector<model::JobId> gone;
    for (const auto& one : doomed) {
      try {
        files_.remove(one.job, one.launch);
        gone.push_back(one.job);
      } catch (const Error& error) {
        left.emplace_back(one.job, error);
      }
    }
    return gone;
  };
  auto gone = co_await async::offload(pool_, work);
  for (const auto& job : gone) stuck_.erase(job);
  for (const auto& [job, error] : left)
    if (stuck_.insert(job).second)
      log_.warn("what a job left cannot be removed now", kv("job", job), kv("error", error.describe()));
  co_await store_.settle(std::move(gone));
  if (!left.empty() && !std::exchange(removing_again_, true)) nursery_.spawn(keep_removing());
}

Task<> Manager::keep_removing() {
  async::Backoff pause(kFirstRemovalPause, kLongestRemovalPause);
  while (!store_.doomed().empty()) {
    co_await async::sleep_for(pause.next());
    co_await remove_doomed();
  }
  removing_again_ = false;
}

// What was forgotten stays stored as far as something of the same user builds on it: then that counts.
Task<> Manager::recount() {
  auto look = [this] { return store_.to_recount(); };
  const auto users = co_await async::offload(pool_, look);
  for (const auto uid : users) {
    store::Holdings holdings;
    ByteSize held;
    auto count = [&] {
      holdings = store_.holdings(uid);
      held = held_by(holdings.roots);
    };
    co_await async::offload(pool_, count);
    co_await store_.recounted(uid, std::move(holdings), held);
  }
}

// What a transfer keeps from being swept now is swept later.
Task<> Manager::sweep(objects::Thorough thorough) {
  auto work = [&] { return objects_.sweep([this] { return live_objects(); }, objects::DryRun::no, thorough); };
  auto report = co_await async::offload(pool_, work);
  if (report.no_space && reserve_.release()) report = co_await async::offload(pool_, work);
  if (!report.no_space) co_await store_.swept();
}

}  // namespace berth::disk

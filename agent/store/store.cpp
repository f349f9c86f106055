#include "agent/store/store.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>

#include "runtime/async/wait.hpp"
#include "runtime/base/error.hpp"
#include "runtime/os/random.hpp"

namespace berth::store {
namespace {

using db::Durable;

constexpr auto kReopenPause = std::chrono::seconds(1);
constexpr std::chrono::milliseconds kSyncPause{100};  // for others to share it
constexpr std::chrono::milliseconds kFirstSyncPause{500};
constexpr std::chrono::milliseconds kLongestSyncPause{30'000};

// Every way to open it ends here, so that each failure tells what becomes of the jobs.
template <class F>
auto with_remedy(const std::string& path, F open) {
  try {
    return open();
  } catch (const Error& error) {
    if (error.code() != Code::corrupt) throw;
    throw Error(Code::corrupt, error.message(),
                "move " + path + " (and " + path +
                    "-wal, -shm) away to start empty: the jobs' directories in jobs/ "
                    "stay");
  }
}

db::Connection open_for_writing(const std::string& path) {
  return with_remedy(path, [&] {
    auto connection = db::Connection::open(path);
    prepare_schema(connection);
    return connection;
  });
}

db::Connection open_for_reading(const std::string& path) {
  return with_remedy(path, [&] {
    const db::OpenOptions options{.access = db::Access::read_only, .cache_kib = 256};
    return db::Connection::open(path, options);
  });
}

}  // namespace

Store::Store(const std::string& path, const Clock& clock, async::Pool& pool, Random random)
    : path_(path),
      clock_(clock),
      pool_(pool),
      random_(std::move(random)),
      writer_(open_for_writing(path)),
      reader_(open_for_reading(path)) {}

Store::~Store() = default;

std::uint64_t Store::system_random() {
  std::uint64_t value = 0;
  const auto bytes = os::random_bytes(sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// The writer's thread posts the outcome back to the caller's loop, which stays alive for it.
Task<> Store::commit(Durable durable, std::function<void(db::Connection&)> work) {
  namespace asio = boost::asio;
  auto start = [&](auto handler) {
    using Handler = decltype(handler);
    auto guard = asio::make_work_guard(asio::get_associated_executor(handler));
    struct Waiter {
      Handler handler;
      decltype(guard) work;
    };
    auto waiter = std::make_shared<Waiter>(Waiter{std::move(handler), std::move(guard)});
    writer_.write(durable, std::move(work), [waiter = std::move(waiter)](std::exception_ptr failure) mutable {
      // Held until post() has returned: only then may the loop be destroyed.
      const auto loop = std::move(waiter->work);
      asio::post(loop.get_executor(), [waiter = std::move(waiter), failure = std::move(failure)]() mutable {
        auto resume = std::move(waiter->handler);
        waiter.reset();
        resume(std::move(failure));
      });
    });
  };
  std::exception_ptr failure;
  try {
    co_await asio::async_initiate<const asio::use_awaitable_t<>, void(std::exception_ptr)>(start, asio::use_awaitable);
    trouble_.reset();
  } catch (...) {
    failure = std::current_exception();
  }
  ++writes_;  // what failed may have come to the disk all the same
  written_.notify_all();
  if (!failure) co_return;
  reopen_after(failure);
  std::rethrow_exception(failure);
}

db::Connection& Store::reader() {
  if (!reader_) reader_.emplace(open_for_reading(path_));
  return *reader_;
}

std::optional<std::string> Store::trouble() {
  try {
    reader().check_files();
  } catch (const Error& error) {
    return error.describe();
  }
  return trouble_;
}

// A lock that could not be given back, or a page that could not be read, stays with the connections: all are made anew,
// so that the database is as well as it is. Not more often than the disk can stand.
void Store::reopen_after(const std::exception_ptr& failure) {
  if (async::is_cancellation(failure)) return;
  const auto error = error_from(failure);
  const auto code = error.code();
  const bool its_own = code == Code::io || code == Code::unavailable || code == Code::internal ||
                       code == Code::denied || code == Code::corrupt;
  if (!its_own) return;
  trouble_ = error.describe();
  const auto now = clock_.steady();
  if (now - renewed_ < kReopenPause) return;
  renewed_ = now;
  try {
    // Only what is the same file still: another one in its place is for a new agent to judge.
    (void)reader().check_files();
    const std::scoped_lock lock(lists_mutex_, views_mutex_, jobs_mutex_);
    lists_.reset();
    views_.reset();
    jobs_.reset();
    reader_.reset();
  } catch (const Error&) {
    return;
  }
  writer_.renew([path = path_] { return open_for_writing(path); });
}

template <class F>
Task<std::invoke_result_t<F&, db::Connection&>> Store::write(Durable durable, F fn) {
  using R = std::invoke_result_t<F&, db::Connection&>;
  if constexpr (std::is_void_v<R>) {
    std::function<void(db::Connection&)> work = std::ref(fn);
    co_await commit(durable, std::move(work));
  } else {
    std::optional<R> result;
    std::function<void(db::Connection&)> work = [&](db::Connection& db) { result.emplace(fn(db)); };
    co_await commit(durable, std::move(work));
    co_return std::move(*result);
  }
}

template <class F>
Task<std::invoke_result_t<F&, db::Connection&>> Store::ask(F fn) {
  return async::offload(pool_, [this, fn = std::move(fn)]() mutable {
    const std::lock_guard lock(lists_mutex_);
    return fn(lists());
  });
}

db::Connection& Store::lists() {
  if (!lists_) lists_.emplace(open_for_reading(path_));
  return *lists_;
}

Task<std::vector<Submitted>> Store::submit(std::vector<NewJob> jobs) {
  return write(Durable::yes, [this, jobs = std::move(jobs)](db::Connection& db) {
    return store::submit(db, jobs, clock_.now(), random_);
  });
}

Task<> Store::prepared(Sequence sequence, Prepared prepared) {
  return write(Durable::no, [this, sequence, prepared = std::move(prepared)](db::Connection& db) {
    store::prepared(db, {clock_.now()}, sequence, prepared);
  });
}

Task<> Store::start_intent(StartIntent intent) {
  return write(Durable::yes, [this, intent = std::move(intent)](db::Connection& db) {
    store::start_intent(db, {clock_.now()}, intent);
  });
}

Task<> Store::ended(Sequence sequence, model::Attempt attempt) {
  return write(Durable::yes, [this, sequence, attempt = std::move(attempt)](db::Connection& db) {
    store::ended(db, {clock_.now()}, sequence, attempt);
  });
}

Task<> Store::finalized(Final final, Durable durable) {
  return write(durable,
               [this, final = std::move(final)](db::Connection& db) { store::finalized(db, {clock_.now()}, final); });
}

Task<> Store::sync() {
  return commit(Durable::yes, [](db::Connection& db) { db.sync(); });
}

Task<> Store::synced() {
  async::Backoff pause(kFirstSyncPause, kLongestSyncPause);
  for (;;) {
    auto round = next_sync_;
    if (round) {
      co_await round->over.wait();
      if (round->done) co_return;
      continue;  // whoever led it was stopped, or failed
    }
    round = next_sync_ = std::make_shared<SyncRound>();
    const bool done = co_await lead(std::move(round));
    if (done) co_return;
    co_await async::sleep_for(pause.next());
  }
}

// Those who come while it waits are in it.
Task<bool> Store::lead(std::shared_ptr<SyncRound> round) {
  const auto act = [this, round]() -> Task<> {
    co_await async::sleep_for(kSyncPause);
    next_sync_.reset();
    co_await sync();
    round->done = true;
  };
  std::exception_ptr stopped;
  try {
    co_await act();
  } catch (const Error&) {  // commit() has told
  } catch (...) {
    stopped = std::current_exception();
  }
  if (next_sync_ == round) next_sync_.reset();
  round->over.notify_all();
  if (stopped) std::rethrow_exception(stopped);
  co_return round->done;
}

Task<> Store::cancel_requested(Sequence sequence, std::string by) {
  return write(Durable::yes, [this, sequence, by = std::move(by)](db::Connection& db) {
    store::cancel_requested(db, {clock_.now(), by}, sequence);
  });
}

Task<> Store::requeue(Sequence sequence, model::Attempt attempt, model::State to) {
  return write(Durable::yes, [this, sequence, attempt = std::move(attempt), to](db::Connection& db) {
    store::requeue(db, {clock_.now()}, sequence, attempt, to);
  });
}

Task<> Store::postpone(Sequence sequence) {
  return write(Durable::yes, [this, sequence](db::Connection& db) { store::postpone(db, {clock_.now()}, sequence); });
}

Task<> Store::reopen(Sequence sequence, model::State to, std::string by) {
  return write(Durable::yes, [this, sequence, to, by = std::move(by)](db::Connection& db) {
    store::reopen(db, {clock_.now(), by}, sequence, to);
  });
}

Task<> Store::set_priority(Sequence sequence, int priority, std::string by) {
  return write(Durable::yes, [this, sequence, priority, by = std::move(by)](db::Connection& db) {
    store::set_priority(db, {clock_.now(), by}, sequence, priority);
  });
}

Task<> Store::set_held(Sequence sequence, bool held, std::string by) {
  return write(Durable::yes, [this, sequence, held, by = std::move(by)](db::Connection& db) {
    store::set_held(db, {clock_.now(), by}, sequence, held);
  });
}

Task<> Store::set_drained(bool drained) {
  return write(Durable::yes, [=](db::Connection& db) { store::set_drained(db, drained); });
}

Task<> Store::set_gpu_record(std::string record) {
  return write(Durable::yes, [record = std::move(record)](db::Connection& db) { store::set_gpu_record(db, record); });
}

Task<> Store::remember(Upload upload) {
  return write(Durable::no, [=](db::Connection& db) { store::remember(db, upload); });
}

Task<> Store::note_environment(Digest environment, uid_t uid) {
  return write(Durable::no, [=](db::Connection& db) { store::note_environment(db, environment, uid); });
}

Task<std::vector<Sequence>> Store::remove_logs(std::vector<Sequence> jobs, model::Removal removal) {
  return write(Durable::yes, [jobs = std::move(jobs), removal = std::move(removal)](db::Connection& db) {
    return store::remove_logs(db, jobs, removal);
  });
}

Task<std::vector<Sequence>> Store::remove_outputs(std::vector<Sequence> jobs, model::Removal removal) {
  return write(Durable::yes, [jobs = std::move(jobs), removal = std::move(removal)](db::Connection& db) {
    return store::remove_outputs(db, jobs, removal);
  });
}

Task<std::vector<Sequence>> Store::forget(std::vector<Sequence> jobs, Instant uploads_before) {
  return write(Durable::yes, [this, jobs = std::move(jobs), uploads_before](db::Connection& db) {
    return store::forget(db, jobs, uploads_before, clock_.now());
  });
}

Task<std::vector<Upload>> Store::forget_uploads(std::vector<Upload> unused) {
  return write(Durable::yes,
               [unused = std::move(unused)](db::Connection& db) { return store::forget_uploads(db, unused); });
}

Task<> Store::settle(std::vector<model::JobId> gone) {
  return write(Durable::no, [gone = std::move(gone)](db::Connection& db) { store::settle(db, gone); });
}

Task<> Store::swept() {
  return write(Durable::no, [](db::Connection& db) { store::swept(db); });
}

Task<> Store::recounted(uid_t uid, Holdings seen, ByteSize held) {
  return write(Durable::no, [=, seen = std::move(seen)](db::Connection& db) { store::recounted(db, uid, seen, held); });
}

Task<> Store::set_apart(std::vector<std::pair<StoredRequest, std::string>> requests) {
  return write(Durable::yes, [requests = std::move(requests)](db::Connection& db) {
    for (const auto& [request, sealed] : requests) store::set_apart(db, request, sealed);
  });
}

Task<> Store::set_secrets_apart() {
  return write(Durable::yes, [](db::Connection& db) { store::set_secrets_apart(db); });
}

std::optional<std::string> Store::sealed(Sequence sequence) { return store::sealed(reader(), sequence); }
bool Store::anything_sealed() { return store::anything_sealed(reader()); }
bool Store::secrets_apart() { return store::secrets_apart(reader()); }
std::vector<StoredRequest> Store::requests_after(Sequence sequence, std::size_t most) {
  return store::requests_after(reader(), sequence, most);
}

model::Job Store::look_up(std::string_view reference, uid_t uid) { return store::look_up(reader(), reference, uid); }
std::optional<model::Job> Store::columns(Sequence sequence) { return store::columns(reader(), sequence); }
std::optional<uid_t> Store::owner_of(const model::JobId& id) { return store::owner_of(reader(), id); }
std::uint64_t Store::request_bytes(Sequence sequence) { return store::request_bytes(reader(), sequence); }
std::optional<model::JobId> Store::id_of(Sequence sequence) { return store::id_of(reader(), sequence); }
std::optional<Upload> Store::find_upload(const Digest& digest, uid_t uid) {
  return store::find_upload(reader(), digest, uid);
}
bool Store::had_environment(const Digest& environment, uid_t uid) {
  return store::had_environment(reader(), environment, uid);
}
bool Store::knows_submission(const std::string& submission_id) {
  return store::knows_submission(reader(), submission_id);
}
bool Store::drained() { return store::drained(reader()); }
std::string Store::gpu_record() { return store::gpu_record(reader()); }
std::vector<PastLaunch> Store::past_launches(std::size_t ended_jobs) {
  return store::past_launches(reader(), ended_jobs);
}

std::vector<LiveJob> Store::live() { return store::live(reader()); }

Task<std::vector<Sequence>> Store::list(Filter filter) {
  return ask([filter = std::move(filter)](db::Connection& db) { return store::list(db, filter); });
}

template <class F>
Task<std::optional<model::Job>> Store::ask_for_job(F fn) {
  return async::offload(pool_, [this, fn = std::move(fn)] {
    const std::lock_guard lock(jobs_mutex_);
    if (!jobs_) jobs_.emplace(open_for_reading(path_));
    return fn(*jobs_);
  });
}

Task<std::optional<model::Job>> Store::read(Sequence sequence) {
  return ask_for_job([sequence](db::Connection& db) { return store::find(db, sequence); });
}

Task<std::optional<model::Job>> Store::read(model::JobId id) {
  return ask_for_job([id = std::move(id)](db::Connection& db) { return store::find(db, id); });
}

Task<std::vector<ListedJob>> Store::listed(std::vector<Sequence> jobs) {
  return ask([jobs = std::move(jobs)](db::Connection& db) { return store::listed(db, jobs); });
}

Task<std::vector<Sequence>> Store::jobs_in(Digest environment, Viewer viewer) {
  return ask([environment, viewer](db::Connection& db) { return store::jobs_in(db, environment, viewer); });
}

Task<std::map<Digest, EnvironmentUse>> Store::environments_of(uid_t uid) {
  return ask([uid](db::Connection& db) { return store::environments_of(db, uid); });
}

Task<std::optional<std::string>> Store::read_sealed(Sequence sequence) {
  return ask([sequence](db::Connection& db) { return store::sealed(db, sequence); });
}

Task<ByteSize> Store::stored_by(uid_t uid) {
  return ask([uid](db::Connection& db) { return store::stored_by(db, uid); });
}

Task<> Store::begin_events(std::string boot_id) {
  if (!store::new_boot_for_events(reader(), boot_id)) co_return;
  auto begin = [this, &boot_id](db::Connection& db) { store::begin_events(db, boot_id, clock_.now()); };
  co_await write(Durable::no, begin);
}

Task<EventPage> Store::events(EventQuery wanted) {
  return ask([wanted](db::Connection& db) { return store::events(db, wanted); });
}

Task<> Store::next_write(std::uint64_t since) {
  while (writes_ == since) co_await written_.wait();
}

bool Store::may_use(Upload::Kind kind, const Digest& digest, const Viewer& viewer) {
  const std::lock_guard lock(views_mutex_);
  if (!views_) views_.emplace(open_for_reading(path_));
  return store::may_use(*views_, kind, digest, viewer);
}

std::vector<Doomed> Store::doomed() { return store::doomed(reader()); }
bool Store::sweep_due() { return store::sweep_due(reader()); }

Roots Store::roots() {
  const std::lock_guard lock(lists_mutex_);
  return store::roots(lists());
}

std::vector<Remains> Store::remains() {
  const std::lock_guard lock(lists_mutex_);
  return store::remains(lists());
}

std::vector<UploadUse> Store::uploads() {
  const std::lock_guard lock(lists_mutex_);
  return store::uploads(lists());
}

std::vector<uid_t> Store::to_recount() {
  const std::lock_guard lock(lists_mutex_);
  return store::to_recount(lists());
}

Holdings Store::holdings(uid_t uid) {
  const std::lock_guard lock(lists_mutex_);
  return store::holdings(lists(), uid);
}

}  // namespace berth::store

#pragma once

// The agent's memory for its event loop: records.hpp's transitions as tasks. Each is one transaction on the
// writer's thread; those that wait at the same time share one sync. What was promised to somebody outside
// (submissions, start intents, endings, cancellations, settings) is on disk when its task returns; the rest
// at the next such sync, which synced() waits for. So is an ending that its supervisor has on disk as well.
//
// A write that has begun cannot be stopped: a stop of the caller takes effect when it is done. The store
// outlives all its tasks. Look-ups by name or number are quick, since they read columns alone, and run at once on the
// caller's thread; lists, and requests, which may be large, are read on `pool`.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "agent/store/records.hpp"
#include "runtime/async/event.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/async/task.hpp"
#include "runtime/db/writer.hpp"
#include "runtime/snapshot/owners_view.hpp"

namespace berth::store {

using async::Task;

class Store {
 public:
  // Opens or makes the database. Code::corrupt and Code::unsupported tell the remedy.
  Store(const std::string& path, const Clock& clock, async::Pool& pool, Random random = system_random);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();

  Task<std::vector<Submitted>> submit(std::vector<NewJob> jobs);
  Task<> prepared(Sequence sequence, Prepared prepared);
  Task<> start_intent(StartIntent intent);
  Task<> ended(Sequence sequence, model::Attempt attempt);
  // Durable::no: where what it tells is safe elsewhere until it is (synced()).
  Task<> finalized(Final final, db::Durable durable = db::Durable::yes);
  Task<> cancel_requested(Sequence sequence, std::string by);
  Task<> postpone(Sequence sequence);
  Task<> requeue(Sequence sequence, model::Attempt attempt, model::State to);
  // `by` names the user who asks for it.
  Task<> reopen(Sequence sequence, model::State to, std::string by);
  Task<> set_priority(Sequence sequence, int priority, std::string by);
  Task<> set_held(Sequence sequence, bool held, std::string by);
  Task<> set_drained(bool drained);
  Task<> set_gpu_record(std::string record);
  Task<> remember(Upload upload);
  Task<> note_environment(Digest environment, uid_t uid);
  Task<std::vector<Sequence>> remove_logs(std::vector<Sequence> jobs, model::Removal removal);
  Task<std::vector<Sequence>> remove_outputs(std::vector<Sequence> jobs, model::Removal removal);
  Task<std::vector<Sequence>> forget(std::vector<Sequence> jobs, Instant uploads_before);
  Task<std::vector<Upload>> forget_uploads(std::vector<Upload> unused);
  Task<> settle(std::vector<model::JobId> gone);
  Task<> swept();
  Task<> recounted(uid_t uid, Holdings seen, ByteSize held);
  Task<> set_apart(std::vector<std::pair<StoredRequest, std::string>> requests);
  Task<> set_secrets_apart();

  model::Job look_up(std::string_view reference, uid_t uid);
  std::optional<model::Job> columns(Sequence sequence);
  std::optional<uid_t> owner_of(const model::JobId& id);
  std::uint64_t request_bytes(Sequence sequence);
  std::optional<model::JobId> id_of(Sequence sequence);
  std::optional<Upload> find_upload(const Digest& digest, uid_t uid);
  bool had_environment(const Digest& environment, uid_t uid);
  bool knows_submission(const std::string& submission_id);
  std::optional<std::string> sealed(Sequence sequence);
  bool anything_sealed();
  bool secrets_apart();
  std::vector<StoredRequest> requests_after(Sequence sequence, std::size_t most);
  bool drained();
  std::string gpu_record();
  std::vector<Doomed> doomed();
  bool sweep_due();
  // Quick; any thread may ask.
  bool may_use(Upload::Kind kind, const Digest& digest, const Viewer& viewer);
  // These read many rows: for the pool's threads; any thread may call them.
  Roots roots();
  std::vector<Remains> remains();
  std::vector<UploadUse> uploads();
  std::vector<uid_t> to_recount();
  Holdings holdings(uid_t uid);
  // At start: blocks for as long as reading all of them takes.
  std::vector<LiveJob> live();
  std::vector<PastLaunch> past_launches(std::size_t ended_jobs);

  Task<std::vector<Sequence>> list(Filter filter);
  // Whole, with its request. No list keeps it waiting.
  Task<std::optional<model::Job>> read(Sequence sequence);
  Task<std::optional<model::Job>> read(model::JobId id);
  Task<std::vector<ListedJob>> listed(std::vector<Sequence> jobs);
  Task<std::vector<Sequence>> jobs_in(Digest environment, Viewer viewer);
  Task<std::map<Digest, EnvironmentUse>> environments_of(uid_t uid);
  Task<std::optional<std::string>> read_sealed(Sequence sequence);  // sealed(), for readers
  Task<ByteSize> stored_by(uid_t uid);

  // Before anything else of this agent happens to a job.
  Task<> begin_events(std::string boot_id);
  Task<EventPage> events(EventQuery wanted);
  // How often something may have been written. A reader who has found no events counts before he reads, and waits then.
  std::uint64_t writes() const { return writes_; }
  // Returns once something may have been written since.
  Task<> next_write(std::uint64_t since);

  // All that was written before is on disk when it returns.
  Task<> sync();
  // The same, tried again until it works; all who ask within a moment share one sync.
  Task<> synced();

  // Why nothing can be written, as far as that is known; nothing while all is well.
  std::optional<std::string> trouble();

  // Writes what waits; later writes fail with Code::unavailable.
  void stop() { writer_.stop(); }

  static std::uint64_t system_random();

 private:
  // The result of fn(connection), once it is committed.
  template <class F>
  Task<std::invoke_result_t<F&, db::Connection&>> write(db::Durable durable, F fn);
  template <class F>
  Task<std::invoke_result_t<F&, db::Connection&>> ask(F fn);
  template <class F>
  Task<std::optional<model::Job>> ask_for_job(F fn);
  Task<> commit(db::Durable durable, std::function<void(db::Connection&)> work);
  db::Connection& lists();
  db::Connection& reader();
  void reopen_after(const std::exception_ptr& failure);

  std::string path_;
  const Clock& clock_;
  async::Pool& pool_;
  Random random_;
  db::Writer writer_;
  std::optional<db::Connection> reader_;  // made again when it is needed
  std::uint64_t writes_ = 0;
  async::Event written_;
  struct SyncRound {
    bool done = false;
    async::Event over;
  };
  Task<bool> lead(std::shared_ptr<SyncRound> round);
  std::shared_ptr<SyncRound> next_sync_;  // that others may still join
  Steady renewed_{};
  std::optional<std::string> trouble_;
  std::mutex lists_mutex_;
  std::optional<db::Connection> lists_;  // opened when first needed; used under the mutex
  std::mutex views_mutex_;
  std::optional<db::Connection> views_;  // likewise; apart, so that no list keeps a transfer waiting
  std::mutex jobs_mutex_;
  std::optional<db::Connection> jobs_;  // likewise; nor a job that is to start
};

// What one user may refer to of the store of objects.
class View : public snapshot::OwnersView {
 public:
  // `store` outlives it.
  View(Store& store, const Viewer& viewer) : store_(store), viewer_(viewer) {}
  bool may_use(const Digest& digest) const override { return store_.may_use(Upload::Kind::snapshot, digest, viewer_); }

 private:
  Store& store_;
  Viewer viewer_;
};

}  // namespace berth::store

#pragma once

// The agent's memory for its event loop: records.hpp's transitions as tasks. Each is one transaction on the
// writer's thread; those that wait at the same time share one sync. What was promised to somebody outside
// (submissions, start intents, endings, cancellations, settings) is on disk when its task returns; the rest
// at the next such sync.
//
// A write that has begun cannot be stopped: a stop of the caller takes effect when it is done. The store
// outlives all its tasks. Look-ups by name or number are quick and run at once on the caller's thread; lists
// run on `pool`.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "agent/store/records.hpp"
#include "runtime/async/offload.hpp"
#include "runtime/async/task.hpp"
#include "runtime/db/writer.hpp"

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
  Task<> finalized(Final final);
  Task<> cancel_requested(Sequence sequence, std::string by);
  Task<> requeue(Sequence sequence, model::Attempt attempt, model::State to);
  Task<> reopen(Sequence sequence, model::State to);
  Task<> set_priority(Sequence sequence, int priority);
  Task<> set_held(Sequence sequence, bool held);
  Task<> set_drained(bool drained);
  Task<> set_gpu_record(std::string record);
  Task<> remember(Upload upload);
  Task<std::vector<Sequence>> remove_logs(std::vector<Sequence> jobs, model::Removal removal);
  Task<std::vector<Sequence>> remove_outputs(std::vector<Sequence> jobs, model::Removal removal);
  Task<std::vector<Sequence>> forget(std::vector<Sequence> jobs, Instant uploads_before);
  Task<std::vector<Upload>> forget_uploads(std::vector<Upload> unused);
  Task<> settle(std::vector<model::JobId> gone);
  Task<> swept();

  std::optional<model::Job> find(std::string_view id);
  std::optional<model::Job> find(Sequence sequence);
  model::Job resolve(std::string_view reference, uid_t uid);
  model::Job look_up(std::string_view reference, uid_t uid);
  std::uint64_t request_bytes(Sequence sequence);
  std::optional<model::JobId> id_of(Sequence sequence);
  std::optional<Upload> find_upload(const Digest& digest, uid_t uid);
  bool drained();
  std::string gpu_record();
  std::vector<Doomed> doomed();
  bool sweep_due();
  // These read many rows: for the pool's threads; any thread may call them.
  Roots roots();
  std::vector<Remains> remains();
  std::vector<UploadUse> uploads();
  // At start: blocks for as long as reading all of them takes.
  std::vector<LiveJob> live();
  std::vector<PastLaunch> past_launches(std::size_t ended_jobs);

  Task<std::vector<Sequence>> list(Filter filter);
  Task<std::optional<model::Job>> read(Sequence sequence);  // find(), for large requests
  Task<std::vector<ListedJob>> listed(std::vector<Sequence> jobs);
  Task<std::vector<model::JobId>> jobs_in(Digest environment);

  // Writes what waits; later writes fail with Code::unavailable.
  void stop() { writer_.stop(); }

  static std::uint64_t system_random();

 private:
  // The result of fn(connection), once it is committed.
  template <class F>
  Task<std::invoke_result_t<F&, db::Connection&>> write(db::Durable durable, F fn);
  template <class F>
  Task<std::invoke_result_t<F&, db::Connection&>> ask(F fn);
  Task<> commit(db::Durable durable, std::function<void(db::Connection&)> work);
  db::Connection& lists();

  std::string path_;
  const Clock& clock_;
  async::Pool& pool_;
  Random random_;
  db::Writer writer_;
  db::Connection reader_;
  std::mutex lists_mutex_;
  std::optional<db::Connection> lists_;  // opened when first needed; used under the mutex
};

}  // namespace berth::store

#pragma once

// What the agent remembers, as rows: every question and every transition as a blocking function on a
// connection. Transitions run inside the caller's transaction and refuse with Code::conflict what the life of
// a job does not allow; a sequence that is not there is Code::not_found. agent/store/store.hpp makes them
// asynchronous.

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/model/event.hpp"
#include "agent/model/job.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/digest.hpp"
#include "runtime/db/connection.hpp"

namespace berth::store {

using model::Sequence;

// An attempt that is about to start: written before the shim is.
struct StartIntent {
  Sequence sequence;
  int attempt = 1;
  int launch = 1;  // of the job, counted over all attempts: the directory of the shim's files
  std::string boot_id;
  std::vector<std::string> gpus{};  // that it is given: UUIDs
  std::string seal{};               // the print of the launch's key; "" without
};

struct NewJob {
  model::JobRequest request;
  uid_t uid = 0;
  std::string user;
  bool reads_jobs = false;  // its user may read everybody's jobs (Viewer)
  model::State state = model::State::preparing;  // or queued, where there is nothing to prepare
  std::string sealed{};                          // its secrets; "" for none
  std::optional<StartIntent> start{};  // of one that is to start at once: on record in the same step, as its first
};

// Who refers to stored content by its digest. A digest is no secret, its content is: he may refer to what he sent and
// to the code, the diffs and the outputs of jobs that he may read, his own at least.
struct Viewer {
  uid_t uid = 0;
  bool reads_jobs = false;  // everybody's, as root does
};

struct Submitted {
  model::Job job;
  bool existed = false;  // its submission id was known: nothing was stored
  std::uint64_t request_bytes = 0;
};

// What preparing a job came to.
struct Prepared {
  std::string environment_record;      // JSON
  std::optional<Digest> environment;  // of one that was built
};

struct Final {
  Sequence sequence;
  model::State state = model::State::completed;
  model::Ending ending;
  Instant finished{};
  std::optional<model::Attempt> attempt;  // the last one, where it changed: recorded in the same step
};

// A job that is not over, without its request.
struct LiveJob {
  Sequence sequence;
  model::JobId id;
  uid_t uid = 0;
  model::State state = model::State::preparing;
  int priority = 0;
  bool held = false;
  model::Resources resources;
  std::optional<std::chrono::milliseconds> timeout;
  std::chrono::milliseconds grace{};
  int attempt = 0;      // the number of the last attempt; 0 before the first
  int launch = 0;       // of that attempt; 0 before the first
  int last_launch = 0;  // of all attempts
  std::string boot_id;  // of the launch
  std::optional<Digest> environment;
  std::vector<std::string> gpus;  // of the launch
  std::string seal;               // of the launch
  std::string canceled_by;        // "" for nobody
};

// A launch that is over.
struct PastLaunch {
  model::JobId id;
  int launch = 0;
};

// A job as lists tell of it, from columns alone: its request has only what wire::JobOutline shows, experiment,
// submission id and the digests of code and diff; of its attempts only the last is there.
struct ListedJob {
  model::Job job;
  std::string title;  // of its command, as one would type it: at most about kLongestTitle bytes
  std::uint64_t request_bytes = 0;  // of the request that was not read
};
constexpr std::size_t kLongestTitle = 400;

struct Filter {
  std::vector<model::State> states;  // empty: all
  std::optional<uid_t> uid;
  std::string experiment;  // "": all
  std::size_t limit = 100;
  std::optional<Sequence> before;  // only older ones: the last of the page before
};

// What a user sent.
struct Upload {
  enum class Kind { snapshot, diff };
  Kind kind = Kind::snapshot;
  Digest digest;
  uid_t uid = 0;
  ByteSize size;
  std::uint64_t files = 0;  // of a snapshot
  Instant created{};
  ByteSize sent{};  // of its contents: the rest its bases had
  friend bool operator==(const Upload&, const Upload&) = default;
};

// A job as the disk manager sees it.
struct Remains {
  Sequence sequence;
  model::JobId id;
  uid_t uid = 0;
  std::optional<Instant> finished;  // nothing: it is live
  bool has_log = false;             // it may have one: none was removed since it ended last
  std::optional<Digest> snapshot;
  std::optional<Digest> diff;
  std::optional<Digest> context;  // of its Dockerfile
  std::vector<Digest> outputs;
};

struct UploadUse {
  Upload upload;
  bool used = false;  // by a job of its sender
};

// Directories that no record needs any more.
struct Doomed {
  model::JobId job;
  std::optional<int> launch;  // up to and with it, and the job's side logs; nothing: the whole directory
};

// What uploads and jobs that are remembered refer to, each once.
struct Roots {
  std::vector<Digest> snapshots;
  std::vector<Digest> diffs;
  std::vector<Digest> outputs;
};

// In whose name, and when, something changes: what its event tells.
struct Origin {
  Instant time{};
  std::string by{};  // a user's name; "" for what the agent does by itself
};

// Makes or migrates the tables.
void prepare_schema(db::Connection& db);
// Code::unsupported for a newer one.
void check_schema(db::Connection& db);

using Random = std::function<std::uint64_t()>;

// --- transitions
// Each appends the event that tells of it (agent/store/changes.hpp); what is as it is to become already is told of
// once. All or none. A known submission id with an equal request gives the job that it became; with a different
// one, or from somebody else, Code::conflict. A job may name only what its user may refer to (Viewer): else
// Code::not_found.
std::vector<Submitted> submit(db::Connection& db, const std::vector<NewJob>& jobs, Instant now, const Random& random);
void prepared(db::Connection& db, const Origin& origin, Sequence sequence, const Prepared& prepared);
// Again for the same attempt, with a higher launch number, when the launch before never began.
void start_intent(db::Connection& db, const Origin& origin, const StartIntent& intent);
void ended(db::Connection& db, const Origin& origin, Sequence sequence, const model::Attempt& attempt);
void finalized(db::Connection& db, const Origin& origin, const Final& final);
// A job that is being canceled already stays as it is; the first who asked is remembered.
void cancel_requested(db::Connection& db, const Origin& origin, Sequence sequence);
// To be started again: records how the attempt ended; the job goes to `to`, queued or preparing.
void requeue(db::Connection& db, const Origin& origin, Sequence sequence, const model::Attempt& attempt,
             model::State to);
// An attempt that was to start, and could not for what the node lacks: as if it had never been begun.
void postpone(db::Connection& db, const Origin& origin, Sequence sequence);
// A job that is over, to be run once more: it goes to `to`, queued or preparing.
void reopen(db::Connection& db, const Origin& origin, Sequence sequence, model::State to);
void set_priority(db::Connection& db, const Origin& origin, Sequence sequence, int priority);
void set_held(db::Connection& db, const Origin& origin, Sequence sequence, bool held);

// --- queries
std::optional<model::Job> find(db::Connection& db, const model::JobId& id);
std::optional<model::Job> find(db::Connection& db, Sequence sequence);
// The latest hundred that were given this environment and that the viewer may read, the newest first.
std::vector<Sequence> jobs_in(db::Connection& db, const Digest& environment, const Viewer& viewer);
// What a user's own jobs tell of an environment.
struct EnvironmentUse {
  Instant last{};  // when one of them last began or ended
  bool in_use = false;  // by one that has not ended
};
std::map<Digest, EnvironmentUse> environments_of(db::Connection& db, uid_t uid);
// By name, by the beginning of a name, or "@last": the last one `uid` submitted. Code::not_found, or
// Code::conflict
// "'br' is ambiguous: brave-heron-7k2m, bright-owl-22ab".
model::Job resolve(db::Connection& db, std::string_view reference, uid_t uid);
// As resolve(), of columns as ListedJob::job, but with all attempts: as quick for a large request as for a small one.
model::Job look_up(db::Connection& db, std::string_view reference, uid_t uid);
// The same of one whose number is known.
std::optional<model::Job> columns(db::Connection& db, Sequence sequence);
// Whose job it is; nothing where there is none of that name.
std::optional<uid_t> owner_of(db::Connection& db, const model::JobId& id);
std::uint64_t request_bytes(db::Connection& db, Sequence sequence);
// Newest first.
std::vector<Sequence> list(db::Connection& db, const Filter& filter);
// In the order given, but for those that are gone.
std::vector<ListedJob> listed(db::Connection& db, const std::vector<Sequence>& jobs);
// By sequence.
std::vector<LiveJob> live(db::Connection& db);
// Of live jobs and of those that ended last: whose directories a crash may have left as they were.
std::vector<PastLaunch> past_launches(db::Connection& db, std::size_t ended_jobs);
std::optional<model::JobId> id_of(db::Connection& db, Sequence sequence);
bool knows_submission(db::Connection& db, const std::string& submission_id);

// --- secrets: agent/store/secrets.cpp
// What was given with the job; nothing where it has none.
std::optional<std::string> sealed(db::Connection& db, Sequence sequence);
bool anything_sealed(db::Connection& db);
// Of a database in which requests may have secrets in them: the next requests after one, as they are stored.
struct StoredRequest {
  Sequence sequence;
  std::string json;
};
bool secrets_apart(db::Connection& db);
std::vector<StoredRequest> requests_after(db::Connection& db, Sequence sequence, std::size_t most);
// In place of the one that is stored.
void set_apart(db::Connection& db, const StoredRequest& request, const std::string& sealed);
// All are apart from now on.
void set_secrets_apart(db::Connection& db);
// Nothing of them stays in the file. Within the step that removes the job.
void wipe_secrets(db::Connection& db, Sequence sequence);

// --- the node
void set_drained(db::Connection& db, bool drained);
bool drained(db::Connection& db);
// What the agent keeps of its GPUs, as it wrote it (agent/gpus/record.hpp); "" before it did.
void set_gpu_record(db::Connection& db, const std::string& record);
std::string gpu_record(db::Connection& db);

// --- uploads
void remember(db::Connection& db, const Upload& upload);  // a known one counts as created anew
std::optional<Upload> find_upload(db::Connection& db, const Digest& digest, uid_t uid,
                                  Upload::Kind kind = Upload::Kind::snapshot);
// As long for what only others have as for what nobody has.
bool may_use(db::Connection& db, Upload::Kind kind, const Digest& digest, const Viewer& viewer);
// Whether a job of his was given this environment, or he asked for it.
bool had_environment(db::Connection& db, const Digest& environment, uid_t uid);
void note_environment(db::Connection& db, const Digest& environment, uid_t uid);
// What a user sent and what his jobs put out, before compression, and whoever else has the same; and what others of his
// hold of what is forgotten (recounted).
ByteSize stored_by(db::Connection& db, uid_t uid);
// Whose storage is to be looked at again: what was forgotten may be held by others of his still.
std::vector<uid_t> to_recount(db::Connection& db);
// All that keeps content stored for him, and what is counted of it without looking.
struct Holdings {
  Roots roots;
  ByteSize counted;
  std::int64_t due = 0;  // as of when
};
Holdings holdings(db::Connection& db, uid_t uid);
// Once `held`, of these holdings, has been looked at.
void recounted(db::Connection& db, uid_t uid, const Holdings& seen, ByteSize held);
Roots roots(db::Connection& db);
void recount_later(db::Connection& db, uid_t uid);

// --- giving disk space back: agent/store/remains.cpp
// By sequence.
std::vector<Remains> remains(db::Connection& db);
std::vector<UploadUse> uploads(db::Connection& db);
// Rows go before files, and what the files are is on record until they are gone. Each tells whom it was done to:
// what came to be needed meanwhile stays, and is not told.
std::vector<Sequence> remove_logs(db::Connection& db, const std::vector<Sequence>& jobs, const model::Removal& removal);
std::vector<Sequence> remove_outputs(db::Connection& db, const std::vector<Sequence>& jobs,
                                     const model::Removal& removal);
// With the uploads that nothing else uses and that were created before.
std::vector<Sequence> forget(db::Connection& db, const std::vector<Sequence>& jobs, Instant uploads_before,
                             Instant now);
std::vector<Upload> forget_uploads(db::Connection& db, const std::vector<Upload>& unused);
std::vector<Doomed> doomed(db::Connection& db);
void settle(db::Connection& db, const std::vector<model::JobId>& gone);
// Objects were set free and have not been swept away yet.
bool sweep_due(db::Connection& db);
void swept(db::Connection& db);
// When records were last removed, and of jobs that ended by when.
struct Forgotten {
  Instant time{};
  Instant ended{};
};
std::optional<Forgotten> forgotten(db::Connection& db);

// --- events: agent/store/events.cpp
// How many are kept, and for how long. Looked at when the agent starts after a start of the machine, and each time that
// some thousand events have come: until then there may be so many more of them, and they may be older.
struct EventBounds {
  std::chrono::hours kept{30 * 24};
  std::size_t most = 200'000;  // of all users; above it those go first that are oldest of the user who has most
};
struct EventQuery {
  std::optional<std::int64_t> after;  // those of higher numbers, the oldest first; nothing: the newest
  std::size_t limit = 100;
  std::optional<uid_t> uid{};  // of this user's jobs alone
};
// A user's events up to this number are not all kept any more.
struct EventsGone {
  uid_t uid = 0;
  std::string user;
  std::int64_t up_to = 0;
};
struct EventPage {
  std::vector<model::Event> events;  // rising
  std::int64_t last = 0;  // there is nothing more up to this number: what to ask for next comes after it
  std::vector<EventsGone> gone;  // whose events after EventQuery::after are not all here
};
// Code::invalid for a number that no event has had.
EventPage events(db::Connection& db, const EventQuery& wanted);
void trim_events(db::Connection& db, Instant now, const EventBounds& bounds = {});
// The most that each may have so that all who hold so many have no more than `most` together.
std::size_t fair_share(const std::vector<std::size_t>& held, std::size_t most);
// Before the first event since the machine was started: the last ones before that may have been read by somebody, and
// not have come to the disk, so numbers that may have been theirs are skipped.
bool new_boot_for_events(db::Connection& db, const std::string& boot_id);
void begin_events(db::Connection& db, const std::string& boot_id, Instant now);

}  // namespace berth::store

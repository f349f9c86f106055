#include <array>

#include "agent/store/records.hpp"
#include "runtime/base/error.hpp"
#include "runtime/db/migrations.hpp"

namespace berth::store {
namespace {

// Instants are microseconds since 1970, digests 32 bytes, endings the JSON of agent/wire.
// The request is apart, so that scanning jobs does not read it.
constexpr std::string_view kSchema1 = R"sql(
CREATE TABLE job (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  submission_id TEXT NOT NULL UNIQUE,
  uid INTEGER NOT NULL,
  user TEXT NOT NULL,
  state TEXT NOT NULL,
  priority INTEGER NOT NULL,
  held INTEGER NOT NULL,
  experiment TEXT NOT NULL,
  cpu_milli INTEGER NOT NULL,
  memory INTEGER NOT NULL,
  gpus INTEGER NOT NULL,
  slots INTEGER NOT NULL,
  timeout_ms INTEGER,
  grace_ms INTEGER NOT NULL,
  snapshot BLOB,
  diff BLOB,
  submitted INTEGER NOT NULL,
  finished INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0,
  ending TEXT,
  environment_record TEXT NOT NULL DEFAULT '',
  canceled_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX job_by_uid ON job (uid);
CREATE INDEX job_by_snapshot ON job (snapshot, uid) WHERE snapshot IS NOT NULL;
CREATE INDEX job_by_diff ON job (diff, uid) WHERE diff IS NOT NULL;
CREATE INDEX job_live ON job (sequence) WHERE finished IS NULL;

CREATE TABLE request (
  sequence INTEGER PRIMARY KEY REFERENCES job (sequence) ON DELETE CASCADE,
  json TEXT NOT NULL
) STRICT;

CREATE TABLE attempt (
  sequence INTEGER NOT NULL REFERENCES job (sequence) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  launch INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  started INTEGER,
  ended INTEGER,
  duration_us INTEGER,
  ending TEXT,
  user_cpu_us INTEGER NOT NULL DEFAULT 0,
  system_cpu_us INTEGER NOT NULL DEFAULT 0,
  peak_memory INTEGER NOT NULL DEFAULT 0,
  outputs BLOB,
  PRIMARY KEY (sequence, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE upload (
  digest BLOB NOT NULL,
  uid INTEGER NOT NULL,
  kind TEXT NOT NULL,
  size INTEGER NOT NULL,
  files INTEGER NOT NULL,
  created INTEGER NOT NULL,
  PRIMARY KEY (digest, uid)
) STRICT, WITHOUT ROWID;

CREATE TABLE node (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
)sql";

// What attempts read and wrote. And what was removed of a job to give disk space back, and what of it is still to be
// done: directories that no record needs any more, up to and with a launch, or whole (NULL).
constexpr std::string_view kSchema2 = R"sql(
ALTER TABLE attempt ADD COLUMN io_read INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN io_written INTEGER NOT NULL DEFAULT 0;

ALTER TABLE job ADD COLUMN log_removed INTEGER;
ALTER TABLE job ADD COLUMN log_removed_why TEXT;
ALTER TABLE job ADD COLUMN outputs_removed INTEGER;
ALTER TABLE job ADD COLUMN outputs_removed_why TEXT;

CREATE TABLE doomed (
  job TEXT PRIMARY KEY,
  launch INTEGER
) STRICT, WITHOUT ROWID;
)sql";

// The directory that a Dockerfile is built in, as it was sent; the environment that the job was given; how much memory
// of each GPU it asks for (zero: it has its GPUs alone); which GPUs an attempt was given (JSON), and its use of them.
constexpr std::string_view kSchema3 = R"sql(
ALTER TABLE job ADD COLUMN context BLOB;
ALTER TABLE job ADD COLUMN environment BLOB;
ALTER TABLE job ADD COLUMN gpu_memory INTEGER NOT NULL DEFAULT 0;
CREATE INDEX job_by_context ON job (context, uid) WHERE context IS NOT NULL;
CREATE INDEX job_by_environment ON job (environment) WHERE environment IS NOT NULL;

ALTER TABLE attempt ADD COLUMN gpus TEXT NOT NULL DEFAULT '[]';
ALTER TABLE attempt ADD COLUMN gpu_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN gpu_peak_memory INTEGER NOT NULL DEFAULT 0;
)sql";

// What lists tell of a request, so that they need not read it: its name, and the beginning of its command as one would
// type it (model::command_text); and how long it takes to read.
constexpr std::string_view kSchemaLists = R"sql(
ALTER TABLE job ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN title TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN request_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE job SET
  request_bytes = ifnull((SELECT length(json) FROM request WHERE request.sequence = job.sequence), 0),
  name = ifnull((SELECT json_extract(json, '$.name') FROM request WHERE request.sequence = job.sequence), ''),
  title = ifnull((SELECT CASE WHEN length(text) > 400 THEN substr(text, 1, 400) || '…' ELSE text END FROM (
      SELECT group_concat(CASE WHEN value = '' OR value GLOB '*[^-a-zA-Z0-9_@%+=:,./]*'
                          THEN '''' || replace(value, '''', '''\''''') || '''' ELSE value END, ' ') AS text
      FROM request, json_each(request.json, '$.command') WHERE request.sequence = job.sequence)), '');
)sql";

// What a user may refer to, and how much he stores: the same bytes may be sent as a snapshot and as a diff, which are
// two things; what was sent of an upload, which was not counted before; whose outputs are which, and how large;
// who was given which environment.
constexpr std::string_view kSchemaOwners = R"sql(
CREATE TABLE sent (
  digest BLOB NOT NULL,
  uid INTEGER NOT NULL,
  kind TEXT NOT NULL,
  size INTEGER NOT NULL,
  files INTEGER NOT NULL,
  created INTEGER NOT NULL,
  sent INTEGER NOT NULL,
  PRIMARY KEY (digest, uid, kind)
) STRICT, WITHOUT ROWID;
INSERT INTO sent SELECT digest, uid, kind, size, files, created, 0 FROM upload;
DROP TABLE upload;
ALTER TABLE sent RENAME TO upload;
CREATE INDEX upload_by_uid ON upload (uid, sent);

ALTER TABLE attempt ADD COLUMN owner INTEGER;
ALTER TABLE attempt ADD COLUMN outputs_size INTEGER NOT NULL DEFAULT 0;
UPDATE attempt SET owner = (SELECT job.uid FROM job WHERE job.sequence = attempt.sequence) WHERE outputs IS NOT NULL;
CREATE INDEX attempt_by_outputs ON attempt (outputs, owner) WHERE outputs IS NOT NULL;
CREATE INDEX attempt_by_owner ON attempt (owner, outputs_size) WHERE outputs IS NOT NULL;

CREATE TABLE environment_user (
  environment BLOB NOT NULL,
  uid INTEGER NOT NULL,
  PRIMARY KEY (environment, uid)
) STRICT, WITHOUT ROWID;
INSERT INTO environment_user SELECT DISTINCT environment, uid FROM job WHERE environment IS NOT NULL;
)sql";

// What a request has no word of, sealed (agent/jobs/secret_box.hpp): it goes with its job.
constexpr std::string_view kSchemaSecrets = R"sql(
CREATE TABLE secret (
  sequence INTEGER PRIMARY KEY REFERENCES job (sequence) ON DELETE CASCADE,
  sealed BLOB NOT NULL
) STRICT;
)sql";

// What attempts changed of their environments: the JSON of agent/wire.
constexpr std::string_view kSchemaEnvironmentChanges = R"sql(
ALTER TABLE attempt ADD COLUMN environment_changes TEXT;
)sql";

// What of an attempt's outputs was not collected as it was (JSON); NULL: nothing.
constexpr std::string_view kSchemaLeftOut = R"sql(
ALTER TABLE attempt ADD COLUMN outputs_left_out TEXT;
)sql";

// By which the ending of a launch is known as its supervisor's (runtime/shim/seal.hpp).
constexpr std::string_view kSchemaSeal = R"sql(
ALTER TABLE attempt ADD COLUMN seal TEXT NOT NULL DEFAULT '';
)sql";

// What a user still has of what was counted with uploads and outputs that are forgotten, since others of his hold it,
// too; and how often something of his was forgotten, or came to build on another, since that was last looked at.
constexpr std::string_view kSchemaInherited = R"sql(
CREATE TABLE inherited (
  uid INTEGER PRIMARY KEY,
  bytes INTEGER NOT NULL,
  due INTEGER NOT NULL
) STRICT;
)sql";

// What happened to jobs (agent/model/event.hpp). It stays when a job's record goes, so it refers to none. Numbers are
// never given twice. And up to where a user's events have been removed.
constexpr std::string_view kSchemaEvents = R"sql(
CREATE TABLE event (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,
  job TEXT NOT NULL,
  uid INTEGER NOT NULL,
  user TEXT NOT NULL,
  what TEXT NOT NULL,
  state TEXT NOT NULL,
  by TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  priority INTEGER,
  ending TEXT,
  why TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_uid ON event (uid);

CREATE TABLE event_gone (
  uid INTEGER PRIMARY KEY,
  user TEXT NOT NULL,
  sequence INTEGER NOT NULL
) STRICT;
)sql";

constexpr std::array<std::string_view, 11> kSteps{kSchema1,
                                                  kSchema2,
                                                  kSchema3,
                                                  kSchemaLists,
                                                  kSchemaOwners,
                                                  kSchemaSecrets,
                                                  kSchemaEnvironmentChanges,
                                                  kSchemaLeftOut,
                                                  kSchemaSeal,
                                                  kSchemaInherited,
                                                  kSchemaEvents};

}  // namespace

void prepare_schema(db::Connection& db) { db::migrate(db, kSteps); }
void check_schema(db::Connection& db) { db::refuse_newer(db, kSteps); }

}  // namespace berth::store

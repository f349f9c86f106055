-- A database of schema 1, as sqlite3's .dump writes it.
BEGIN;
PRAGMA user_version = 1;
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
INSERT INTO upload VALUES (X'1111111111111111111111111111111111111111111111111111111111111111', 1000, 'snapshot', 5000, 3, 1700000000000000);
INSERT INTO node VALUES ('drained', 'yes');
INSERT INTO job VALUES (1, 'dapper-owl-2a3b', '00000000000000000000000000000001', 1000, 'ann', 'Failed', 0, 0, 'mnist', 1000, 0, 0, 1, NULL, 10000, X'1111111111111111111111111111111111111111111111111111111111111111', NULL, 1700000000000000, 1700000100000000, 2, '{"code":3,"kind":"exited"}', '{"python":"3.11"}', '');
INSERT INTO request VALUES (1, '{"command":["python","train.py"],"diff":null,"environment":{"kind":"user_managed","python":"python3"},"environment_variables":{"A":"1"},"experiment":"mnist","held":false,"log_cap_bytes":null,"name":"first","outputs":["outputs"],"priority":0,"properties":{"mlflow.source.git.commit":"abc"},"resources":{"cpu_milli":1000,"gpus":0,"memory_bytes":0,"slots":1},"retries":{"lost":1},"snapshot":"1111111111111111111111111111111111111111111111111111111111111111","stop":{"grace_ms":10000,"signal":15},"submission_id":"00000000000000000000000000000001","tags":{"lr":"0.1"},"timeout_ms":null,"working_directory":""}');
INSERT INTO attempt VALUES (1, 1, 1, 'a0a0a0a0', 1700000010000000, 1700000020000000, NULL, '{"cause":"reboot","kind":"lost"}', 0, 0, 0, NULL);
INSERT INTO attempt VALUES (1, 2, 2, '0b1c2d3e', 1700000030000000, 1700000090000000, 60000000, '{"code":3,"kind":"exited"}', 1000, 2000, 104857600, X'2222222222222222222222222222222222222222222222222222222222222222');
INSERT INTO job VALUES (2, 'calm-otter-9d3f', '00000000000000000000000000000002', 1000, 'ann', 'Queued', 5, 1, 'default', 1000, 0, 0, 1, 60000, 10000, NULL, NULL, 1700000200000000, NULL, 0, NULL, '', '');
INSERT INTO request VALUES (2, '{"command":["true"],"diff":null,"environment":{"kind":"none"},"environment_variables":{},"experiment":"default","held":true,"log_cap_bytes":1048576,"name":"","outputs":[],"priority":5,"properties":{},"resources":{"cpu_milli":1000,"gpus":0,"memory_bytes":0,"slots":1},"retries":{},"snapshot":null,"stop":{"grace_ms":10000,"signal":15},"submission_id":"00000000000000000000000000000002","tags":{},"timeout_ms":60000,"working_directory":"/tmp"}');
INSERT INTO job VALUES (3, 'brave-heron-7k2m', '00000000000000000000000000000003', 1001, 'bob', 'Running', 0, 0, 'default', 2500, 4294967296, 1, 1, NULL, 10000, NULL, NULL, 1700000300000000, NULL, 1, NULL, '', '');
INSERT INTO request VALUES (3, '{"command":["sleep","100"],"diff":null,"environment":{"kind":"none"},"environment_variables":{},"experiment":"default","held":false,"log_cap_bytes":null,"name":"","outputs":[],"priority":0,"properties":{},"resources":{"cpu_milli":2500,"gpus":1,"memory_bytes":4294967296,"slots":1},"retries":{},"snapshot":null,"stop":{"grace_ms":10000,"signal":15},"submission_id":"00000000000000000000000000000003","tags":{},"timeout_ms":null,"working_directory":"/tmp"}');
INSERT INTO attempt VALUES (3, 1, 1, '0b1c2d3e', 1700000310000000, NULL, NULL, NULL, 0, 0, 0, NULL);
COMMIT;

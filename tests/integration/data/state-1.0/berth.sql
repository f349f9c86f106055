PRAGMA user_version = 1;
BEGIN TRANSACTION;
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
INSERT INTO "attempt" VALUES(1,1,1,'cd181f9d-8b68-4fdf-8745-88023ddc8ef6',1795252896417569,1795252896420247,2678,'{"code":3,"kind":"exited"}',0,1996,6209536,NULL);
INSERT INTO "attempt" VALUES(3,1,1,'cd181f9d-8b68-4fdf-8745-88023ddc8ef6',NULL,NULL,NULL,NULL,0,0,0,NULL);
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
INSERT INTO "job" VALUES(1,'jaunty-cardinal-6vy5','99b300133a7b7bdea16403cfab798021',0,'root','Failed',0,0,'default',1000,0,0,1,NULL,10000,NULL,NULL,1795252896403276,1795252896423492,1,'{"code":3,"kind":"exited"}','','');
INSERT INTO "job" VALUES(2,'fleet-guanaco-aeym','ca0ecdba508e9dbb647c216d721572b6',0,'root','Queued',0,1,'default',1000,0,0,1,NULL,10000,NULL,NULL,1795252896427813,NULL,0,NULL,'','');
INSERT INTO "job" VALUES(3,'subtle-elephant-jdbz','426d46bf393c8ce2883ca08aea6dda34',0,'root','Running',0,0,'default',1000,0,0,1,NULL,10000,NULL,NULL,1795252896429511,NULL,1,NULL,'','');
CREATE TABLE node (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE request (
  sequence INTEGER PRIMARY KEY REFERENCES job (sequence) ON DELETE CASCADE,
  json TEXT NOT NULL
) STRICT;
INSERT INTO "request" VALUES(1,'{"command":["/bin/sh","-c","echo old output; exit 3"],"diff":null,"environment":{"kind":"none"},"environment_variables":{},"experiment":"default","held":false,"log_cap_bytes":null,"name":"","outputs":[],"priority":0,"properties":{},"resources":{"cpu_milli":1000,"gpus":0,"memory_bytes":0,"slots":1},"retries":{},"snapshot":null,"stop":{"grace_ms":10000,"signal":15},"submission_id":"99b300133a7b7bdea16403cfab798021","tags":{"written":"by 1.0"},"timeout_ms":null,"working_directory":"@PLACE@/work"}');
INSERT INTO "request" VALUES(2,'{"command":["/bin/sh","-c","echo ran at last"],"diff":null,"environment":{"kind":"none"},"environment_variables":{},"experiment":"default","held":true,"log_cap_bytes":null,"name":"","outputs":[],"priority":0,"properties":{},"resources":{"cpu_milli":1000,"gpus":0,"memory_bytes":0,"slots":1},"retries":{},"snapshot":null,"stop":{"grace_ms":10000,"signal":15},"submission_id":"ca0ecdba508e9dbb647c216d721572b6","tags":{},"timeout_ms":null,"working_directory":"@PLACE@/work"}');
INSERT INTO "request" VALUES(3,'{"command":["/bin/sh","-c","echo unread output; while [ ! -e go ]; do sleep 0.05; done; exit 7"],"diff":null,"environment":{"kind":"none"},"environment_variables":{},"experiment":"default","held":false,"log_cap_bytes":null,"name":"","outputs":[],"priority":0,"properties":{},"resources":{"cpu_milli":1000,"gpus":0,"memory_bytes":0,"slots":1},"retries":{},"snapshot":null,"stop":{"grace_ms":10000,"signal":15},"submission_id":"426d46bf393c8ce2883ca08aea6dda34","tags":{},"timeout_ms":null,"working_directory":"@PLACE@/work"}');
CREATE TABLE upload (
  digest BLOB NOT NULL,
  uid INTEGER NOT NULL,
  kind TEXT NOT NULL,
  size INTEGER NOT NULL,
  files INTEGER NOT NULL,
  created INTEGER NOT NULL,
  PRIMARY KEY (digest, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_by_uid ON job (uid);
CREATE INDEX job_by_snapshot ON job (snapshot, uid) WHERE snapshot IS NOT NULL;
CREATE INDEX job_by_diff ON job (diff, uid) WHERE diff IS NOT NULL;
CREATE INDEX job_live ON job (sequence) WHERE finished IS NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('job',3);
COMMIT;

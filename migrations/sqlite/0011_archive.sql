-- Readings go from the inbox into Parquet files in the object store. A job is one such step: begun in one transaction,
-- which says what it takes, and ended in another, which says what came of it. What it writes in between depends on its
-- number alone, so that it can be done again.
CREATE TABLE archive_counters (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) STRICT;
-- The last job, and the last one that took batches from the inbox.
INSERT INTO archive_counters (name, value) VALUES ('job', 0), ('inbox', 0);

CREATE TABLE archive_jobs (
    number INTEGER PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    device_id TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL
) STRICT;

-- A file is read until gone_at, and deleted an hour later. `job` is the one that replaces it.
CREATE TABLE archive_files (
    number INTEGER NOT NULL,
    class TEXT NOT NULL,
    day INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    first_device TEXT NOT NULL,
    last_device TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    job INTEGER NOT NULL,
    gone_at INTEGER NOT NULL,
    PRIMARY KEY (number, class, day)
) STRICT;
CREATE INDEX archive_files_day ON archive_files (day, class, number) WHERE gone_at = 0;
CREATE INDEX archive_files_gone ON archive_files (gone_at, number, class, day) WHERE gone_at > 0;
CREATE INDEX archive_files_job ON archive_files (job) WHERE job > 0;

-- What series there are, with their newest reading in the archive.
CREATE TABLE archive_series (
    device_id TEXT NOT NULL,
    component TEXT NOT NULL,
    metric TEXT NOT NULL,
    class TEXT NOT NULL,
    unit TEXT NOT NULL,
    last_at INTEGER NOT NULL,
    last_value REAL NOT NULL,
    PRIMARY KEY (device_id, component, metric, class)
) STRICT;
CREATE INDEX archive_series_age ON archive_series (class, last_at);

-- archived: 0 not yet in the archive, 1 there, 2 there and its readings no longer here.
ALTER TABLE inbox ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inbox ADD COLUMN archive_job INTEGER NOT NULL DEFAULT 0;
CREATE INDEX inbox_waiting ON inbox (received_at, device_id, sequence, nonce) WHERE archive_job = 0;
CREATE INDEX inbox_job ON inbox (archive_job, device_id, sequence, nonce) WHERE archive_job > 0 AND archived < 2;
CREATE INDEX inbox_readings ON inbox (device_id, sequence, nonce) WHERE archived < 2;

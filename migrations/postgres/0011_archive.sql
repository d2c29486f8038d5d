-- Readings go from the inbox into Parquet files in the object store. A job is one such step: begun in one transaction,
-- which says what it takes, and ended in another, which says what came of it. What it writes in between depends on its
-- number alone, so that it can be done again.
CREATE TABLE archive_counters (
    name TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    value BIGINT NOT NULL
);
-- The last job, and the last one that took batches from the inbox.
INSERT INTO archive_counters (name, value) VALUES ('job', 0), ('inbox', 0);

CREATE TABLE archive_jobs (
    number BIGINT PRIMARY KEY NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    begun_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL
);

-- A file is read until gone_at, and deleted an hour later. `job` is the one that replaces it.
CREATE TABLE archive_files (
    number BIGINT NOT NULL,
    class TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    readings BIGINT NOT NULL,
    first_device TEXT COLLATE "C" NOT NULL,
    last_device TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    job BIGINT NOT NULL,
    gone_at BIGINT NOT NULL,
    PRIMARY KEY (number, class, day)
);
CREATE INDEX archive_files_day ON archive_files (day, class, number) WHERE gone_at = 0;
CREATE INDEX archive_files_gone ON archive_files (gone_at, number, class, day) WHERE gone_at > 0;
CREATE INDEX archive_files_job ON archive_files (job) WHERE job > 0;

-- What series there are, with their newest reading in the archive.
CREATE TABLE archive_series (
    device_id TEXT COLLATE "C" NOT NULL,
    component TEXT COLLATE "C" NOT NULL,
    metric TEXT COLLATE "C" NOT NULL,
    class TEXT COLLATE "C" NOT NULL,
    unit TEXT COLLATE "C" NOT NULL,
    last_at BIGINT NOT NULL,
    last_value DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (device_id, component, metric, class)
);
CREATE INDEX archive_series_age ON archive_series (class, last_at);

-- archived: 0 not yet in the archive, 1 there, 2 there and its readings no longer here.
ALTER TABLE inbox ADD COLUMN archived BIGINT NOT NULL DEFAULT 0;
ALTER TABLE inbox ADD COLUMN archive_job BIGINT NOT NULL DEFAULT 0;
CREATE INDEX inbox_waiting ON inbox (received_at, device_id, sequence, nonce) WHERE archive_job = 0;
CREATE INDEX inbox_job ON inbox (archive_job, device_id, sequence, nonce) WHERE archive_job > 0 AND archived < 2;
CREATE INDEX inbox_readings ON inbox (device_id, sequence, nonce) WHERE archived < 2;

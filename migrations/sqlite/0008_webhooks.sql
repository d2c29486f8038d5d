-- What happened that somebody outside may want to hear, in commit order; `data` is JSON text as it is told.
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY NOT NULL,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- Empty for what is about no single device.
    device_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_at ON outbox (at, position);
CREATE INDEX outbox_subject ON outbox (subject, position);
CREATE INDEX outbox_device ON outbox (device_id);
INSERT INTO changes (kind, generation) VALUES ('outbox', 0);

CREATE TABLE webhooks (
    id TEXT PRIMARY KEY NOT NULL,
    display_name TEXT NOT NULL,
    url TEXT NOT NULL,
    scope TEXT NOT NULL,
    -- JSON list; empty means every kind.
    event_types TEXT NOT NULL,
    signature TEXT NOT NULL,
    secret BLOB NOT NULL,
    -- The one before, signed with as well until then.
    old_secret BLOB,
    old_until INTEGER,
    -- 1 when a client made it: it rests when no token with its scope lives.
    by_client INTEGER NOT NULL,
    -- Everything up to here has been put down as a delivery, or is none.
    position INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    disabled_reason TEXT NOT NULL,
    -- Attempts that failed since the last that did not.
    failures INTEGER NOT NULL,
    failing_since INTEGER,
    succeeded_at INTEGER,
    -- The one process that sends, and until when nobody else does.
    lease_owner TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    generation INTEGER NOT NULL
) STRICT;

CREATE TABLE deliveries (
    webhook_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    first_attempt_at INTEGER,
    last_attempt_at INTEGER,
    -- 0 when there was no answer.
    http_status INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (webhook_id, position)
) STRICT;
CREATE INDEX deliveries_order ON deliveries (webhook_id, subject, position) WHERE state = 'waiting';
CREATE INDEX deliveries_due ON deliveries (webhook_id, next_attempt_at) WHERE state = 'waiting';
CREATE INDEX deliveries_position ON deliveries (position);

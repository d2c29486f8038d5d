-- What happened that somebody outside may want to hear, in commit order; `data` is JSON text as it is told.
CREATE TABLE outbox (
    position BIGINT PRIMARY KEY NOT NULL,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    kind TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    -- Empty for what is about no single device.
    device_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    data TEXT COLLATE "C" NOT NULL
);
CREATE INDEX outbox_at ON outbox (at, position);
CREATE INDEX outbox_subject ON outbox (subject, position);
CREATE INDEX outbox_device ON outbox (device_id);
INSERT INTO changes (kind, generation) VALUES ('outbox', 0);

CREATE TABLE webhooks (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    url TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    -- JSON list; empty means every kind.
    event_types TEXT COLLATE "C" NOT NULL,
    signature TEXT COLLATE "C" NOT NULL,
    secret BYTEA NOT NULL,
    -- The one before, signed with as well until then.
    old_secret BYTEA,
    old_until BIGINT,
    -- 1 when a client made it: it rests when no token with its scope lives.
    by_client BIGINT NOT NULL,
    -- Everything up to here has been put down as a delivery, or is none.
    position BIGINT NOT NULL,
    enabled BIGINT NOT NULL,
    disabled_reason TEXT COLLATE "C" NOT NULL,
    -- Attempts that failed since the last that did not.
    failures BIGINT NOT NULL,
    failing_since BIGINT,
    succeeded_at BIGINT,
    -- The one process that sends, and until when nobody else does.
    lease_owner TEXT COLLATE "C" NOT NULL,
    lease_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);

CREATE TABLE deliveries (
    webhook_id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    first_attempt_at BIGINT,
    last_attempt_at BIGINT,
    -- 0 when there was no answer.
    http_status BIGINT NOT NULL,
    error TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (webhook_id, position)
);
CREATE INDEX deliveries_order ON deliveries (webhook_id, subject, position) WHERE state = 'waiting';
CREATE INDEX deliveries_due ON deliveries (webhook_id, next_attempt_at) WHERE state = 'waiting';
CREATE INDEX deliveries_position ON deliveries (position);

-- Times are milliseconds since the epoch, flags 0 or 1, maps and lists JSON text.

-- Bumped by every transaction that changes what a replica may have cached.
CREATE TABLE changes (
    kind TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    generation BIGINT NOT NULL
);
INSERT INTO changes (kind, generation) VALUES ('tokens', 0), ('devices', 0), ('rollouts', 0), ('trust', 0), ('limits', 0), ('alert_events', 0);

CREATE TABLE tokens (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    secret_sha256 BYTEA NOT NULL UNIQUE,
    display_name TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE claims (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    secret_sha256 BYTEA NOT NULL UNIQUE,
    product TEXT COLLATE "C" NOT NULL,
    hardware TEXT COLLATE "C" NOT NULL,
    labels TEXT COLLATE "C" NOT NULL,
    uses BIGINT NOT NULL,
    used BIGINT NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE devices (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    product TEXT COLLATE "C" NOT NULL,
    hardware TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    spki_sha256 BYTEA NOT NULL UNIQUE,
    certificate_serial TEXT COLLATE "C" NOT NULL,
    certificate_not_after BIGINT NOT NULL,
    claim_id TEXT COLLATE "C" NOT NULL,
    labels TEXT COLLATE "C" NOT NULL,
    inventory_digest BIGINT NOT NULL,
    attributes TEXT COLLATE "C" NOT NULL,
    components TEXT COLLATE "C" NOT NULL,
    consent TEXT COLLATE "C" NOT NULL,
    agent_version TEXT COLLATE "C" NOT NULL,
    boot_id TEXT COLLATE "C" NOT NULL,
    rollback_floor BIGINT NOT NULL,
    blocked_code TEXT COLLATE "C" NOT NULL,
    blocked_detail TEXT COLLATE "C" NOT NULL,
    have TEXT COLLATE "C" NOT NULL,
    failures BIGINT NOT NULL,
    quarantined_until BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX devices_product ON devices (product, id);
CREATE INDEX devices_updated ON devices (updated_at);

-- Hot and soft: apart from the row that matters.
CREATE TABLE presence (
    device_id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    seen_at BIGINT NOT NULL,
    next_check_in_at BIGINT NOT NULL
);

-- Signed documents, byte for byte. role is a TUF role name; roots are kept for ever, of the others the newest counts.
CREATE TABLE metadata (
    role TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (role, version)
);

CREATE TABLE assignments (
    device_id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    version BIGINT NOT NULL,
    release TEXT COLLATE "C" NOT NULL,
    bytes BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE releases (
    product TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    counter BIGINT NOT NULL,
    rollback_floor BIGINT NOT NULL,
    min_from BIGINT NOT NULL,
    hardware TEXT COLLATE "C" NOT NULL,
    artifacts TEXT COLLATE "C" NOT NULL,
    manifest BYTEA NOT NULL,
    manifest_sha256 TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (product, version),
    UNIQUE (product, counter)
);

CREATE TABLE rollouts (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    product TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    selector TEXT COLLATE "C" NOT NULL,
    on_failure TEXT COLLATE "C" NOT NULL,
    standing BIGINT NOT NULL,
    spread_by TEXT COLLATE "C" NOT NULL,
    update_timeout_ms BIGINT NOT NULL,
    seed TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    state_reason TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    generation BIGINT NOT NULL
);
CREATE INDEX rollouts_state ON rollouts (state, product);

CREATE TABLE waves (
    rollout_id TEXT COLLATE "C" NOT NULL REFERENCES rollouts (id),
    number BIGINT NOT NULL,
    upper_ppm BIGINT NOT NULL,
    max_in_flight BIGINT NOT NULL,
    min_success_percent BIGINT NOT NULL,
    min_sample BIGINT NOT NULL,
    max_failures BIGINT NOT NULL,
    max_failure_percent BIGINT NOT NULL,
    soak_ms BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    opened_at BIGINT,
    soaking_since BIGINT,
    in_flight BIGINT NOT NULL,
    admitted BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    -- Finished updates before the last resume, not counted by the gate.
    forgiven_succeeded BIGINT NOT NULL,
    forgiven_failed BIGINT NOT NULL,
    PRIMARY KEY (rollout_id, number),
    CHECK (in_flight >= 0)
);

CREATE TABLE updates (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    rollout_id TEXT COLLATE "C" NOT NULL,
    wave BIGINT NOT NULL,
    product TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    from_version TEXT COLLATE "C" NOT NULL,
    from_counter BIGINT NOT NULL,
    -- 1 when this update brings a device back after a failed gate.
    rolls_back BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reason_code TEXT COLLATE "C" NOT NULL,
    reason_detail TEXT COLLATE "C" NOT NULL,
    bytes_fetched BIGINT NOT NULL,
    bytes_written BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deadline_at BIGINT,
    finished_at BIGINT,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX updates_one_active ON updates (device_id) WHERE finished_at IS NULL;
CREATE INDEX updates_device ON updates (device_id, created_at);
CREATE INDEX updates_rollout ON updates (rollout_id, device_id);
CREATE INDEX updates_deadline ON updates (deadline_at) WHERE finished_at IS NULL;

CREATE TABLE update_history (
    update_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    reason_code TEXT COLLATE "C" NOT NULL,
    reason_detail TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (update_id, number)
);

-- What makes a repeated report a report once.
CREATE TABLE reports (
    device_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    update_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (device_id, sequence)
);

-- Batches of readings, acknowledged once here; `consumed` once the forecasters have seen them.
CREATE TABLE inbox (
    device_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    consumed BIGINT NOT NULL,
    readings BYTEA NOT NULL,
    PRIMARY KEY (device_id, sequence)
);
CREATE INDEX inbox_order ON inbox (consumed, received_at, device_id, sequence);

CREATE TABLE series (
    device_id TEXT COLLATE "C" NOT NULL,
    component TEXT COLLATE "C" NOT NULL,
    metric TEXT COLLATE "C" NOT NULL,
    unit TEXT COLLATE "C" NOT NULL,
    state BYTEA NOT NULL,
    last_value DOUBLE PRECISION NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (device_id, component, metric)
);

CREATE TABLE limits (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    selector TEXT COLLATE "C" NOT NULL,
    component TEXT COLLATE "C" NOT NULL,
    metric TEXT COLLATE "C" NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    is_below BIGINT NOT NULL,
    is_consumable BIGINT NOT NULL,
    lead_time_ms BIGINT NOT NULL,
    horizon_ms BIGINT NOT NULL,
    part TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL
);

CREATE TABLE alerts (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    component TEXT COLLATE "C" NOT NULL,
    -- What makes two findings the same alert: the limit.
    cause TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    severity TEXT COLLATE "C" NOT NULL,
    health TEXT COLLATE "C" NOT NULL,
    summary TEXT COLLATE "C" NOT NULL,
    recommendation TEXT COLLATE "C" NOT NULL,
    act_by BIGINT,
    forecast TEXT COLLATE "C" NOT NULL,
    evidence TEXT COLLATE "C" NOT NULL,
    acknowledged_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    resolved_at BIGINT,
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX alerts_living ON alerts (device_id, component, cause) WHERE resolved_at IS NULL;
CREATE INDEX alerts_device ON alerts (device_id, updated_at);
CREATE INDEX alerts_updated ON alerts (updated_at, id);

-- Every change of an alert in commit order; `position` comes from `changes`, so that no watcher can miss one.
CREATE TABLE alert_events (
    position BIGINT PRIMARY KEY NOT NULL,
    alert_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    alert BYTEA NOT NULL
);

CREATE TABLE requests (
    actor TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (actor, method, request_id)
);

CREATE TABLE audit (
    number BIGINT PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    -- SHA-256 over the previous row's hash and this row.
    hash TEXT COLLATE "C" NOT NULL
);

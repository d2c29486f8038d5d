-- Times are milliseconds since the epoch, flags 0 or 1, maps and lists JSON text.

-- Bumped by every transaction that changes what a replica may have cached.
CREATE TABLE changes (
    kind TEXT PRIMARY KEY NOT NULL,
    generation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO changes (kind, generation) VALUES ('tokens', 0), ('devices', 0), ('rollouts', 0), ('trust', 0), ('limits', 0), ('alert_events', 0);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY NOT NULL,
    secret_sha256 BLOB NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    role TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE claims (
    id TEXT PRIMARY KEY NOT NULL,
    secret_sha256 BLOB NOT NULL UNIQUE,
    product TEXT NOT NULL,
    hardware TEXT NOT NULL,
    labels TEXT NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE devices (
    id TEXT PRIMARY KEY NOT NULL,
    product TEXT NOT NULL,
    hardware TEXT NOT NULL,
    state TEXT NOT NULL,
    spki_sha256 BLOB NOT NULL UNIQUE,
    certificate_serial TEXT NOT NULL,
    certificate_not_after INTEGER NOT NULL,
    claim_id TEXT NOT NULL,
    labels TEXT NOT NULL,
    inventory_digest INTEGER NOT NULL,
    attributes TEXT NOT NULL,
    components TEXT NOT NULL,
    consent TEXT NOT NULL,
    agent_version TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    rollback_floor INTEGER NOT NULL,
    blocked_code TEXT NOT NULL,
    blocked_detail TEXT NOT NULL,
    have TEXT NOT NULL,
    failures INTEGER NOT NULL,
    quarantined_until INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    generation INTEGER NOT NULL
) STRICT;
CREATE INDEX devices_product ON devices (product, id);
CREATE INDEX devices_updated ON devices (updated_at);

-- Hot and soft: apart from the row that matters.
CREATE TABLE presence (
    device_id TEXT PRIMARY KEY NOT NULL,
    seen_at INTEGER NOT NULL,
    next_check_in_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Signed documents, byte for byte. role is a TUF role name; roots are kept for ever, of the others the newest counts.
CREATE TABLE metadata (
    role TEXT NOT NULL,
    version INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (role, version)
) STRICT;

CREATE TABLE assignments (
    device_id TEXT PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,
    release TEXT NOT NULL,
    bytes BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE releases (
    product TEXT NOT NULL,
    version TEXT NOT NULL,
    counter INTEGER NOT NULL,
    rollback_floor INTEGER NOT NULL,
    min_from INTEGER NOT NULL,
    hardware TEXT NOT NULL,
    artifacts TEXT NOT NULL,
    manifest BLOB NOT NULL,
    manifest_sha256 TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (product, version),
    UNIQUE (product, counter)
) STRICT;

CREATE TABLE rollouts (
    id TEXT PRIMARY KEY NOT NULL,
    product TEXT NOT NULL,
    version TEXT NOT NULL,
    selector TEXT NOT NULL,
    on_failure TEXT NOT NULL,
    standing INTEGER NOT NULL,
    spread_by TEXT NOT NULL,
    update_timeout_ms INTEGER NOT NULL,
    seed TEXT NOT NULL,
    state TEXT NOT NULL,
    state_reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    generation INTEGER NOT NULL
) STRICT;
CREATE INDEX rollouts_state ON rollouts (state, product);

CREATE TABLE waves (
    rollout_id TEXT NOT NULL REFERENCES rollouts (id),
    number INTEGER NOT NULL,
    upper_ppm INTEGER NOT NULL,
    max_in_flight INTEGER NOT NULL,
    min_success_percent INTEGER NOT NULL,
    min_sample INTEGER NOT NULL,
    max_failures INTEGER NOT NULL,
    max_failure_percent INTEGER NOT NULL,
    soak_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    opened_at INTEGER,
    soaking_since INTEGER,
    in_flight INTEGER NOT NULL,
    admitted INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    -- Finished updates before the last resume, not counted by the gate.
    forgiven_succeeded INTEGER NOT NULL,
    forgiven_failed INTEGER NOT NULL,
    PRIMARY KEY (rollout_id, number),
    CHECK (in_flight >= 0)
) STRICT;

CREATE TABLE updates (
    id TEXT PRIMARY KEY NOT NULL,
    device_id TEXT NOT NULL,
    rollout_id TEXT NOT NULL,
    wave INTEGER NOT NULL,
    product TEXT NOT NULL,
    version TEXT NOT NULL,
    from_version TEXT NOT NULL,
    from_counter INTEGER NOT NULL,
    -- 1 when this update brings a device back after a failed gate.
    rolls_back INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    reason_detail TEXT NOT NULL,
    bytes_fetched INTEGER NOT NULL,
    bytes_written INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deadline_at INTEGER,
    finished_at INTEGER,
    generation INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX updates_one_active ON updates (device_id) WHERE finished_at IS NULL;
CREATE INDEX updates_device ON updates (device_id, created_at);
CREATE INDEX updates_rollout ON updates (rollout_id, device_id);
CREATE INDEX updates_deadline ON updates (deadline_at) WHERE finished_at IS NULL;

CREATE TABLE update_history (
    update_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    reason_detail TEXT NOT NULL,
    PRIMARY KEY (update_id, number)
) STRICT;

-- What makes a repeated report a report once.
CREATE TABLE reports (
    device_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    update_id TEXT NOT NULL,
    state TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (device_id, sequence)
) STRICT;

-- Batches of readings, acknowledged once here; `consumed` once the forecasters have seen them.
CREATE TABLE inbox (
    device_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    consumed INTEGER NOT NULL,
    readings BLOB NOT NULL,
    PRIMARY KEY (device_id, sequence)
) STRICT;
CREATE INDEX inbox_order ON inbox (consumed, received_at, device_id, sequence);

CREATE TABLE series (
    device_id TEXT NOT NULL,
    component TEXT NOT NULL,
    metric TEXT NOT NULL,
    unit TEXT NOT NULL,
    state BLOB NOT NULL,
    last_value REAL NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (device_id, component, metric)
) STRICT;

CREATE TABLE limits (
    id TEXT PRIMARY KEY NOT NULL,
    selector TEXT NOT NULL,
    component TEXT NOT NULL,
    metric TEXT NOT NULL,
    value REAL NOT NULL,
    is_below INTEGER NOT NULL,
    is_consumable INTEGER NOT NULL,
    lead_time_ms INTEGER NOT NULL,
    horizon_ms INTEGER NOT NULL,
    part TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

CREATE TABLE alerts (
    id TEXT PRIMARY KEY NOT NULL,
    device_id TEXT NOT NULL,
    component TEXT NOT NULL,
    -- What makes two findings the same alert: the limit.
    cause TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    severity TEXT NOT NULL,
    health TEXT NOT NULL,
    summary TEXT NOT NULL,
    recommendation TEXT NOT NULL,
    act_by INTEGER,
    forecast TEXT NOT NULL,
    evidence TEXT NOT NULL,
    acknowledged_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    resolved_at INTEGER,
    generation INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX alerts_living ON alerts (device_id, component, cause) WHERE resolved_at IS NULL;
CREATE INDEX alerts_device ON alerts (device_id, updated_at);
CREATE INDEX alerts_updated ON alerts (updated_at, id);

-- Every change of an alert in commit order; `position` comes from `changes`, so that no watcher can miss one.
CREATE TABLE alert_events (
    position INTEGER PRIMARY KEY NOT NULL,
    alert_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    alert BLOB NOT NULL
) STRICT;

CREATE TABLE requests (
    actor TEXT NOT NULL,
    method TEXT NOT NULL,
    request_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    digest TEXT NOT NULL,
    resource TEXT NOT NULL,
    PRIMARY KEY (actor, method, request_id)
) STRICT;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    detail TEXT NOT NULL,
    -- SHA-256 over the previous row's hash and this row.
    hash TEXT NOT NULL
) STRICT;

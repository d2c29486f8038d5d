-- Wear models: what an operator says of them, and what recorded lives taught. The lives themselves are not kept.
CREATE TABLE wear_models (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    selector TEXT COLLATE "C" NOT NULL,
    component TEXT COLLATE "C" NOT NULL,
    -- JSON, in the order of the lives.
    sensors TEXT COLLATE "C" NOT NULL,
    step_ms BIGINT NOT NULL,
    horizon BIGINT NOT NULL,
    part TEXT COLLATE "C" NOT NULL,
    failure_mode TEXT COLLATE "C" NOT NULL,
    lead_time_ms BIGINT NOT NULL,
    severity TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the lives, and how many rows they had.
    digest BYTEA NOT NULL,
    row_count BIGINT NOT NULL,
    fit BYTEA NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT COLLATE "C" NOT NULL
);

-- The parts that they follow.
CREATE TABLE wear_parts (
    device_id TEXT COLLATE "C" NOT NULL,
    model_id TEXT COLLATE "C" NOT NULL,
    state BYTEA NOT NULL,
    PRIMARY KEY (device_id, model_id)
);
CREATE INDEX wear_parts_model ON wear_parts (model_id);
INSERT INTO changes (kind, generation) VALUES ('wear', 0);

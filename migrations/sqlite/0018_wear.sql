-- Wear models: what an operator says of them, and what recorded lives taught. The lives themselves are not kept.
CREATE TABLE wear_models (
    id TEXT NOT NULL PRIMARY KEY,
    selector TEXT NOT NULL,
    component TEXT NOT NULL,
    -- JSON, in the order of the lives.
    sensors TEXT NOT NULL,
    step_ms INTEGER NOT NULL,
    horizon INTEGER NOT NULL,
    part TEXT NOT NULL,
    failure_mode TEXT NOT NULL,
    lead_time_ms INTEGER NOT NULL,
    severity TEXT NOT NULL,
    source TEXT NOT NULL,
    -- SHA-256 of the lives, and how many rows they had.
    digest BLOB NOT NULL,
    row_count INTEGER NOT NULL,
    fit BLOB NOT NULL,
    updated_at INTEGER NOT NULL,
    updated_by TEXT NOT NULL
) STRICT;

-- The parts that they follow.
CREATE TABLE wear_parts (
    device_id TEXT NOT NULL,
    model_id TEXT NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (device_id, model_id)
) STRICT;
CREATE INDEX wear_parts_model ON wear_parts (model_id);
INSERT INTO changes (kind, generation) VALUES ('wear', 0);

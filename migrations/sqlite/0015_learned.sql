-- A limit whose bound is learned from the fleet: by which factor, and when it was last looked. NULL for one that
-- somebody gave a value.
ALTER TABLE limits ADD COLUMN learn_factor REAL;
ALTER TABLE limits ADD COLUMN learned_at INTEGER;

-- What was learned, by model. Numbers over ten devices or more; of fewer there is only their count, and no value.
CREATE TABLE learned_bounds (
    limit_id TEXT NOT NULL,
    product TEXT NOT NULL,
    hardware TEXT NOT NULL,
    component TEXT NOT NULL,
    unit TEXT NOT NULL,
    devices INTEGER NOT NULL,
    value REAL,
    median REAL,
    beyond INTEGER NOT NULL,
    factor REAL NOT NULL,
    learned_at INTEGER NOT NULL,
    PRIMARY KEY (limit_id, product, hardware, component, unit)
) STRICT;

-- A limit whose bound is learned from the fleet: by which factor, and when it was last looked. NULL for one that
-- somebody gave a value.
ALTER TABLE limits ADD COLUMN learn_factor DOUBLE PRECISION;
ALTER TABLE limits ADD COLUMN learned_at BIGINT;

-- What was learned, by model. Numbers over ten devices or more; of fewer there is only their count, and no value.
CREATE TABLE learned_bounds (
    limit_id TEXT COLLATE "C" NOT NULL,
    product TEXT COLLATE "C" NOT NULL,
    hardware TEXT COLLATE "C" NOT NULL,
    component TEXT COLLATE "C" NOT NULL,
    unit TEXT COLLATE "C" NOT NULL,
    devices BIGINT NOT NULL,
    value DOUBLE PRECISION,
    median DOUBLE PRECISION,
    beyond BIGINT NOT NULL,
    factor DOUBLE PRECISION NOT NULL,
    learned_at BIGINT NOT NULL,
    PRIMARY KEY (limit_id, product, hardware, component, unit)
);

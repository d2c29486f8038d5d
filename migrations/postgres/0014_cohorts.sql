-- How a series that a limit watches went since its part was new, thinned out. A new part begins anew.
CREATE TABLE tracks (
    device_id TEXT COLLATE "C" NOT NULL,
    component TEXT COLLATE "C" NOT NULL,
    metric TEXT COLLATE "C" NOT NULL,
    track BYTEA NOT NULL,
    PRIMARY KEY (device_id, component, metric)
);

-- Those of them that reached a limit. The first five columns are the cohort: what can be compared. `aim` is what the
-- limit says; another value makes another cohort.
CREATE TABLE lives (
    limit_id TEXT COLLATE "C" NOT NULL,
    aim TEXT COLLATE "C" NOT NULL,
    unit TEXT COLLATE "C" NOT NULL,
    product TEXT COLLATE "C" NOT NULL,
    hardware TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    component TEXT COLLATE "C" NOT NULL,
    began_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    track BYTEA NOT NULL,
    PRIMARY KEY (limit_id, aim, unit, product, hardware, device_id, component, began_at)
);
CREATE INDEX lives_device ON lives (device_id);

-- What the lives of a cohort taught: an aggregate of ten devices or more, or nothing.
CREATE TABLE cohorts (
    limit_id TEXT COLLATE "C" NOT NULL,
    aim TEXT COLLATE "C" NOT NULL,
    unit TEXT COLLATE "C" NOT NULL,
    product TEXT COLLATE "C" NOT NULL,
    hardware TEXT COLLATE "C" NOT NULL,
    -- Grows with every life that comes or goes, and what it was when the fit was learned.
    changed BIGINT NOT NULL,
    learned BIGINT NOT NULL,
    -- Empty where there is none.
    fit BYTEA NOT NULL,
    PRIMARY KEY (limit_id, aim, unit, product, hardware)
);
INSERT INTO changes (kind, generation) VALUES ('cohorts', 0);

-- How a series that a limit watches went since its part was new, thinned out. A new part begins anew.
CREATE TABLE tracks (
    device_id TEXT NOT NULL,
    component TEXT NOT NULL,
    metric TEXT NOT NULL,
    track BLOB NOT NULL,
    PRIMARY KEY (device_id, component, metric)
) STRICT;

-- Those of them that reached a limit. The first five columns are the cohort: what can be compared. `aim` is what the
-- limit says; another value makes another cohort.
CREATE TABLE lives (
    limit_id TEXT NOT NULL,
    aim TEXT NOT NULL,
    unit TEXT NOT NULL,
    product TEXT NOT NULL,
    hardware TEXT NOT NULL,
    device_id TEXT NOT NULL,
    component TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    track BLOB NOT NULL,
    PRIMARY KEY (limit_id, aim, unit, product, hardware, device_id, component, began_at)
) STRICT;
CREATE INDEX lives_device ON lives (device_id);

-- What the lives of a cohort taught: an aggregate of ten devices or more, or nothing.
CREATE TABLE cohorts (
    limit_id TEXT NOT NULL,
    aim TEXT NOT NULL,
    unit TEXT NOT NULL,
    product TEXT NOT NULL,
    hardware TEXT NOT NULL,
    -- Grows with every life that comes or goes, and what it was when the fit was learned.
    changed INTEGER NOT NULL,
    learned INTEGER NOT NULL,
    -- Empty where there is none.
    fit BLOB NOT NULL,
    PRIMARY KEY (limit_id, aim, unit, product, hardware)
) STRICT;
INSERT INTO changes (kind, generation) VALUES ('cohorts', 0);

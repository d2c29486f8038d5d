-- What is going wrong, in a word that rollouts select by and releases are said to fix; empty when not known.
ALTER TABLE alerts ADD COLUMN failure_mode TEXT COLLATE "C" NOT NULL DEFAULT '';
-- Which devices, for an alert that is not about one: then device_id is empty.
ALTER TABLE alerts ADD COLUMN selector TEXT COLLATE "C" NOT NULL DEFAULT '';
-- Why nobody is woken: `silences/ID`, or `alerts/ID` of the outage that explains it; empty when they are.
ALTER TABLE alerts ADD COLUMN suppressed_by TEXT COLLATE "C" NOT NULL DEFAULT '';
-- 1 once it was told to those who do not ask for suppressed ones, so that they hear its end too.
ALTER TABLE alerts ADD COLUMN told BIGINT NOT NULL DEFAULT 1;
-- The release that fixes it, `releases/PRODUCT/VERSION`, while the device runs an older one.
ALTER TABLE alerts ADD COLUMN update_to TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX alerts_living_device ON alerts (device_id) WHERE resolved_at IS NULL;

-- The unit that the value is in; a series in another is not judged. Empty takes any.
ALTER TABLE limits ADD COLUMN unit TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE limits ADD COLUMN failure_mode TEXT COLLATE "C" NOT NULL DEFAULT '';
-- Of an alert whose limit is crossed.
ALTER TABLE limits ADD COLUMN severity TEXT COLLATE "C" NOT NULL DEFAULT 'critical';
-- Where the value comes from, for people.
ALTER TABLE limits ADD COLUMN source TEXT COLLATE "C" NOT NULL DEFAULT '';
-- The specification file it was applied from, by its name; empty for one that was set by hand.
ALTER TABLE limits ADD COLUMN managed_by TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Which release fixes a failure mode.
CREATE TABLE fixes (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    failure_mode TEXT COLLATE "C" NOT NULL,
    product TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    selector TEXT COLLATE "C" NOT NULL,
    managed_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL
);

-- Alerts that match are flagged until the silence ends.
CREATE TABLE silences (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    matcher TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    ends_at BIGINT NOT NULL
);
CREATE INDEX silences_end ON silences (ends_at);

-- What is going wrong, in a word that rollouts select by and releases are said to fix; empty when not known.
ALTER TABLE alerts ADD COLUMN failure_mode TEXT NOT NULL DEFAULT '';
-- Which devices, for an alert that is not about one: then device_id is empty.
ALTER TABLE alerts ADD COLUMN selector TEXT NOT NULL DEFAULT '';
-- Why nobody is woken: `silences/ID`, or `alerts/ID` of the outage that explains it; empty when they are.
ALTER TABLE alerts ADD COLUMN suppressed_by TEXT NOT NULL DEFAULT '';
-- 1 once it was told to those who do not ask for suppressed ones, so that they hear its end too.
ALTER TABLE alerts ADD COLUMN told INTEGER NOT NULL DEFAULT 1;
-- The release that fixes it, `releases/PRODUCT/VERSION`, while the device runs an older one.
ALTER TABLE alerts ADD COLUMN update_to TEXT NOT NULL DEFAULT '';
CREATE INDEX alerts_living_device ON alerts (device_id) WHERE resolved_at IS NULL;

-- The unit that the value is in; a series in another is not judged. Empty takes any.
ALTER TABLE limits ADD COLUMN unit TEXT NOT NULL DEFAULT '';
ALTER TABLE limits ADD COLUMN failure_mode TEXT NOT NULL DEFAULT '';
-- Of an alert whose limit is crossed.
ALTER TABLE limits ADD COLUMN severity TEXT NOT NULL DEFAULT 'critical';
-- Where the value comes from, for people.
ALTER TABLE limits ADD COLUMN source TEXT NOT NULL DEFAULT '';
-- The specification file it was applied from, by its name; empty for one that was set by hand.
ALTER TABLE limits ADD COLUMN managed_by TEXT NOT NULL DEFAULT '';

-- Which release fixes a failure mode.
CREATE TABLE fixes (
    id TEXT PRIMARY KEY NOT NULL,
    failure_mode TEXT NOT NULL,
    product TEXT NOT NULL,
    version TEXT NOT NULL,
    selector TEXT NOT NULL,
    managed_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

-- Alerts that match are flagged until the silence ends.
CREATE TABLE silences (
    id TEXT PRIMARY KEY NOT NULL,
    matcher TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT;
CREATE INDEX silences_end ON silences (ends_at);

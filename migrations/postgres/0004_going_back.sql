-- 1 when the device works on it no more, by its own word; only then is known what it left behind.
ALTER TABLE updates ADD COLUMN settled BIGINT NOT NULL DEFAULT 0;
UPDATE updates SET settled = 1 WHERE finished_at IS NOT NULL;

-- 1 when the rollout may bring devices back that run a later release.
ALTER TABLE rollouts ADD COLUMN allow_downgrade BIGINT NOT NULL DEFAULT 0;

-- A device that was restored from a copy counts its reports from an older number: what a report says is part of its key.
CREATE TABLE reports_said (
    device_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    update_id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (device_id, sequence, update_id, state)
);
INSERT INTO reports_said SELECT device_id, sequence, update_id, state, received_at FROM reports;
DROP TABLE reports;
ALTER TABLE reports_said RENAME TO reports;

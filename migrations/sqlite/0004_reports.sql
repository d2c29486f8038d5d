-- A device that was restored from a copy counts its reports from an older number: what a report says is part of its key.
CREATE TABLE reports_said (
    device_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    update_id TEXT NOT NULL,
    state TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (device_id, sequence, update_id, state)
) STRICT;
INSERT INTO reports_said SELECT device_id, sequence, update_id, state, received_at FROM reports;
DROP TABLE reports;
ALTER TABLE reports_said RENAME TO reports;

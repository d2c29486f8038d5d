-- A device that was restored from a copy counts its reports from an older number: what a report says is part of its key.
ALTER TABLE reports DROP CONSTRAINT reports_pkey, ADD PRIMARY KEY (device_id, sequence, update_id, state);

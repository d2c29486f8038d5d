-- What who took care of an alert wrote.
ALTER TABLE alerts ADD COLUMN note TEXT NOT NULL DEFAULT '';

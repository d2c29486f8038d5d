-- A batch is known by the nonce that was drawn when it was made too: a device that was set back to a copy of itself
-- makes other batches under numbers it used before. SQLite changes no primary key, so the table is made anew.
CREATE TABLE inbox_with_nonces (
    device_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    consumed INTEGER NOT NULL,
    readings BLOB NOT NULL,
    PRIMARY KEY (device_id, sequence, nonce)
) STRICT;
INSERT INTO inbox_with_nonces (device_id, sequence, nonce, received_at, consumed, readings)
    SELECT device_id, sequence, x'', received_at, consumed, readings FROM inbox;
DROP TABLE inbox;
ALTER TABLE inbox_with_nonces RENAME TO inbox;
CREATE INDEX inbox_order ON inbox (consumed, received_at, device_id, sequence, nonce);

-- A batch is known by the nonce that was drawn when it was made too: a device that was set back to a copy of itself
-- makes other batches under numbers it used before. As on SQLite the table is made anew.
CREATE TABLE inbox_with_nonces (
    device_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    nonce BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    consumed BIGINT NOT NULL,
    readings BYTEA NOT NULL,
    PRIMARY KEY (device_id, sequence, nonce)
);
INSERT INTO inbox_with_nonces (device_id, sequence, nonce, received_at, consumed, readings)
    SELECT device_id, sequence, '', received_at, consumed, readings FROM inbox;
DROP TABLE inbox;
ALTER TABLE inbox_with_nonces RENAME TO inbox;
CREATE INDEX inbox_order ON inbox (consumed, received_at, device_id, sequence, nonce);

-- Keys that were revoked, and as whose: no registration makes one of them that device again.
CREATE TABLE revoked_keys (
    device_id TEXT NOT NULL,
    spki_sha256 BLOB NOT NULL,
    revoked_at INTEGER NOT NULL,
    -- 1 when the device still waited for an operator's yes: it never was one of the fleet.
    was_pending INTEGER NOT NULL,
    PRIMARY KEY (device_id, spki_sha256)
) STRICT;
INSERT INTO revoked_keys (device_id, spki_sha256, revoked_at, was_pending)
    SELECT id, spki_sha256, updated_at, 0 FROM devices WHERE state = 'revoked';

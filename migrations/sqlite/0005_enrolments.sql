-- By what right a device is one: `claims/ID`, `authorities/ID`, or `keys/SHA-256` of the key that was registered.
ALTER TABLE devices RENAME COLUMN claim_id TO enrolled_by;
UPDATE devices SET enrolled_by = 'claims/' || enrolled_by;

-- Only device ids that match may use the claim; empty means any.
ALTER TABLE claims ADD COLUMN device_id_pattern TEXT NOT NULL DEFAULT '';
-- 1 when its devices wait for an operator's yes.
ALTER TABLE claims ADD COLUMN approve INTEGER NOT NULL DEFAULT 0;

-- Authorities of manufacturers, whose machines may enrol.
CREATE TABLE manufacturers (
    id TEXT PRIMARY KEY NOT NULL,
    certificate_sha256 BLOB NOT NULL UNIQUE,
    certificate BLOB NOT NULL,
    product TEXT NOT NULL,
    hardware TEXT NOT NULL,
    labels TEXT NOT NULL,
    approve INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

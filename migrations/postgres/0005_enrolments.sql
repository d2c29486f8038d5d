-- By what right a device is one: `claims/ID`, `authorities/ID`, or `keys/SHA-256` of the key that was registered.
ALTER TABLE devices RENAME COLUMN claim_id TO enrolled_by;
UPDATE devices SET enrolled_by = 'claims/' || enrolled_by;

-- Only device ids that match may use the claim; empty means any.
ALTER TABLE claims ADD COLUMN device_id_pattern TEXT NOT NULL DEFAULT '';
-- 1 when its devices wait for an operator's yes.
ALTER TABLE claims ADD COLUMN approve BIGINT NOT NULL DEFAULT 0;

-- Authorities of manufacturers, whose machines may enrol.
CREATE TABLE manufacturers (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    certificate_sha256 BYTEA NOT NULL UNIQUE,
    certificate BYTEA NOT NULL,
    product TEXT COLLATE "C" NOT NULL,
    hardware TEXT COLLATE "C" NOT NULL,
    labels TEXT COLLATE "C" NOT NULL,
    approve BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL
);

-- A key that a device announced and has not used yet: SHA-256 of the public key as DER.
ALTER TABLE devices ADD COLUMN next_spki_sha256 BLOB;
CREATE UNIQUE INDEX devices_next_key ON devices (next_spki_sha256) WHERE next_spki_sha256 IS NOT NULL;

-- Whether an expired certificate may be renewed: 'free', 'waiting' for an operator's yes, or 'approved' for once.
ALTER TABLE devices ADD COLUMN renewal TEXT NOT NULL DEFAULT 'free';

-- When the key was seen in use at two addresses at once.
ALTER TABLE devices ADD COLUMN duplicate_at INTEGER;

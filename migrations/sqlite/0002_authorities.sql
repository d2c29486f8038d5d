-- The key of each certificate authority that the fleet relies on: SHA-256 of the public key as DER.
CREATE TABLE authorities (
    name TEXT PRIMARY KEY NOT NULL,
    spki_sha256 BLOB NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT;

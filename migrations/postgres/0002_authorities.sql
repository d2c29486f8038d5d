-- The key of each certificate authority that the fleet relies on: SHA-256 of the public key as DER.
CREATE TABLE authorities (
    name TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    spki_sha256 BYTEA NOT NULL,
    recorded_at BIGINT NOT NULL
);

-- Erasures of devices' data that were begun and are not finished: a server that was cut off goes on with them.
CREATE TABLE erasures (
    device_id TEXT PRIMARY KEY NOT NULL,
    begun_at INTEGER NOT NULL
) STRICT;

-- An erasure may be of one class of data alone; empty: of everything.
ALTER TABLE erasures RENAME TO erasures_before;
CREATE TABLE erasures (
    device_id TEXT NOT NULL,
    class TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    PRIMARY KEY (device_id, class)
) STRICT;
INSERT INTO erasures (device_id, class, begun_at) SELECT device_id, '', begun_at FROM erasures_before;
DROP TABLE erasures_before;

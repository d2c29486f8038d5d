-- An erasure may be of one class of data alone; empty: of everything.
CREATE TABLE erasures_by_class (
    device_id TEXT NOT NULL,
    class TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    PRIMARY KEY (device_id, class)
) STRICT;
INSERT INTO erasures_by_class (device_id, class, begun_at) SELECT device_id, '', begun_at FROM erasures;
DROP TABLE erasures;
ALTER TABLE erasures_by_class RENAME TO erasures;

-- The series of a device, up to 32 in a row: most of them are read and written together. What `series` holds moves here
-- when a device reports next.
CREATE TABLE series_pages (
    device_id TEXT NOT NULL,
    page INTEGER NOT NULL,
    series BLOB NOT NULL,
    PRIMARY KEY (device_id, page)
) STRICT;

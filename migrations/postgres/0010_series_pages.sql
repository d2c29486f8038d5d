-- The series of a device, up to 32 in a row: most of them are read and written together. What `series` holds moves here
-- when a device reports next.
CREATE TABLE series_pages (
    device_id TEXT COLLATE "C" NOT NULL,
    page BIGINT NOT NULL,
    series BYTEA NOT NULL,
    PRIMARY KEY (device_id, page)
);
-- Numbers of seven digits do not compress.
ALTER TABLE series_pages ALTER COLUMN series SET STORAGE EXTERNAL;

-- An erasure may be of one class of data alone; empty: of everything.
ALTER TABLE erasures ADD COLUMN class TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE erasures DROP CONSTRAINT erasures_pkey;
ALTER TABLE erasures ADD PRIMARY KEY (device_id, class);

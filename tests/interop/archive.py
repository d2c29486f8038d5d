"""Reads the archive of a server with pyarrow and with DuckDB: archive.py FOLDER. Prints one line each."""

import sys

import duckdb
import pyarrow.compute as pc
import pyarrow.dataset as ds

folder = sys.argv[1]

table = ds.dataset(folder, format="parquet", partitioning="hive").to_table()
assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]", table.schema
print(
    "pyarrow",
    table.num_rows,
    pc.sum(table["value"]).as_py(),
    ",".join(sorted(set(table["device"].to_pylist()))),
    ",".join(sorted(set(table["class"].to_pylist()))),
)

rows, total, devices, classes = duckdb.sql(
    f"""
    SELECT count(*), sum(value), string_agg(DISTINCT device, ',' ORDER BY device),
           string_agg(DISTINCT class, ',' ORDER BY class)
    FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)
    """
).fetchall()[0]
print("duckdb", rows, total, devices, classes)

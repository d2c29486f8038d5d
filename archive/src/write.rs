//! Rows into a file.

use std::{
    io::Write,
    sync::{Arc, LazyLock},
};

use parquet::{
    basic::{Compression, ZstdLevel},
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::{parser::parse_message_type, types::TypePtr},
};

use crate::{Error, Row};

/// Rows of one group, the unit in which a file is read: 3 MB in memory, and some 100 KB in the file.
pub const GROUP: usize = 32_768;

/// What stands in every file, beside the name of the column.
const TEXT: &str = "BYTE_ARRAY";
const STORED: [(&str, &str, &str); 7] = [
    (TEXT, "device", "(UTF8)"),
    (TEXT, "component", "(UTF8)"),
    (TEXT, "metric", "(UTF8)"),
    (TEXT, "unit", "(UTF8)"),
    ("INT64", "time", "(TIMESTAMP(MILLIS,true))"),
    ("DOUBLE", "value", ""),
    (TEXT, "boot_id", "(UTF8)"),
];

static PROPERTIES: LazyLock<WriterPropertiesPtr> = LazyLock::new(|| {
    let layout = KeyValue::new("slipway.layout".to_owned(), "1".to_owned());
    Arc::new(
        WriterProperties::builder()
            // No version of a library: the bytes depend on the rows alone.
            .set_created_by("slipway".to_owned())
            .set_key_value_metadata(Some(vec![layout]))
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // Smallest and largest of a group let a reader pass it over; pages are too small to.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build(),
    )
});

/// Which columns a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// As the archive keeps it: the class stands in the file's name.
    Stored,
    /// As it is handed to people: with the class.
    Exported,
}

impl Columns {
    fn schema(self) -> Result<TypePtr, ParquetError> {
        let class = (self == Columns::Exported).then_some((TEXT, "class", "(UTF8)"));
        let fields: String = STORED
            .into_iter()
            .chain(class)
            .map(|(kind, name, logical)| format!("required {kind} {name} {logical};"))
            .collect();
        parse_message_type(&format!("message reading {{ {fields} }}")).map(Arc::new)
    }
}

/// What a finished file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows.
    pub rows: u64,
    /// Smallest device id.
    pub first_device: String,
    /// Largest device id.
    pub last_device: String,
    /// Earliest time, ms since 1970.
    pub first_time: i64,
    /// Latest time, ms since 1970.
    pub last_time: i64,
}

/// A file on its way to `W`. Holds one group of rows in memory.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Columns,
    rows: Vec<Row>,
    summary: Summary,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file.
    pub fn new(to: W, columns: Columns) -> Result<Self, Error> {
        let schema = columns.schema().map_err(Error::Write)?;
        let file = SerializedFileWriter::new(to, schema, PROPERTIES.clone()).map_err(Error::Write)?;
        Ok(Writer { file, columns, rows: Vec::new(), summary: Summary::default() })
    }

    /// Adds a row. Whoever writes a stored file gives them in the order of [`Row::order`].
    pub fn push(&mut self, row: Row) -> Result<(), Error> {
        self.summary.add(&row);
        self.rows.push(row);
        if self.rows.len() >= GROUP { self.flush() } else { Ok(()) }
    }

    /// Ends the file; what it was written to, and what it holds.
    pub fn finish(mut self) -> Result<(W, Summary), Error> {
        self.flush()?;
        let to = self.file.into_inner().map_err(Error::Write)?;
        Ok((to, self.summary))
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(Error::Write)?;
        let written = write_group(&mut group, &self.rows, self.columns);
        self.rows.clear();
        written.and_then(|()| group.close().map(drop)).map_err(Error::Write)
    }
}

impl Summary {
    fn add(&mut self, row: &Row) {
        let is_first = self.rows == 0;
        self.rows += 1;
        if is_first || *row.device < *self.first_device {
            self.first_device = row.device.to_string();
        }
        if is_first || *row.device > *self.last_device {
            self.last_device = row.device.to_string();
        }
        self.first_time = if is_first { row.time } else { self.first_time.min(row.time) };
        self.last_time = if is_first { row.time } else { self.last_time.max(row.time) };
    }
}

/// One column after the other, in the order of the schema.
fn write_group<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Row],
    columns: Columns,
) -> Result<(), ParquetError> {
    let text = |of: fn(&Row) -> &Arc<str>| -> Vec<ByteArray> {
        rows.iter().map(|row| ByteArray::from(&**of(row))).collect()
    };
    column::<ByteArrayType, W>(group, &text(|row| &row.device))?;
    column::<ByteArrayType, W>(group, &text(|row| &row.component))?;
    column::<ByteArrayType, W>(group, &text(|row| &row.metric))?;
    column::<ByteArrayType, W>(group, &text(|row| &row.unit))?;
    column::<Int64Type, W>(group, &rows.iter().map(|row| row.time).collect::<Vec<_>>())?;
    column::<DoubleType, W>(group, &rows.iter().map(|row| row.value).collect::<Vec<_>>())?;
    column::<ByteArrayType, W>(group, &text(|row| &row.boot_id))?;
    if columns == Columns::Exported {
        column::<ByteArrayType, W>(group, &text(|row| &row.class))?;
    }
    Ok(())
}

fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("the schema has fewer columns than a row".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

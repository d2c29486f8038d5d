//! Rows out of a file, a group at a time, from the bytes of that group alone.
//!
//! Nothing here fetches: the caller hands over the end of the file ([`TAIL`], or as much as [`footer_length`] says) and then
//! the bytes of each group that it wants.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::{Buf as _, Bytes, buf::Reader};
use parquet::{
    column::reader::ColumnReaderImpl,
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, FooterTail, ParquetMetaData, ParquetMetaDataReader},
        reader::{ChunkReader, Length},
        serialized_reader::SerializedPageReader,
    },
};

use crate::{Error, Names, Row};

/// How much of the end of a file to fetch first: all of a small file, the footer of nearly every large one.
pub const TAIL: u64 = 64 * 1024;
/// The length of the footer and four magic bytes, at the very end.
const END: usize = 8;
/// More than any writer of ours puts in a group; a damaged footer shall not reserve memory.
const MOST_ROWS: usize = 1 << 20;

/// Which rows are wanted. What is none is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this device.
    pub device: Option<Arc<str>>,
    /// Of this component.
    pub component: Option<Arc<str>>,
    /// Of this metric.
    pub metric: Option<Arc<str>>,
}

/// The directory of a file.
#[derive(Clone, Debug)]
pub struct Footer {
    metadata: Arc<ParquetMetaData>,
    class: Arc<str>,
}

/// One group of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    index: usize,
    /// Its bytes in the file.
    pub range: Range<u64>,
    /// Smallest and largest device in it.
    pub devices: (String, String),
    metrics: (String, String),
}

impl Wanted {
    /// Whether it may be in there.
    pub fn may_be_in(&self, group: &Group) -> bool {
        let within = |text: &Option<Arc<str>>, (first, last): &(String, String)| {
            text.as_ref().is_none_or(|text| **text >= **first && **text <= **last)
        };
        // Of several devices, the metrics of a group say nothing of one of them.
        within(&self.device, &group.devices) && within(&self.metric, &group.metrics)
    }
}

/// How many bytes from the end of the file on the footer needs, from at least its last eight.
pub fn footer_length(tail: &[u8]) -> Result<u64, Error> {
    let end = tail.len().checked_sub(END).map(|at| &tail[at..]).unwrap_or_default();
    let end = FooterTail::try_from(end).map_err(Error::Damaged)?;
    Ok((end.metadata_length() + END) as u64)
}

impl Footer {
    /// Reads the directory from the end of a file, of at least [`footer_length`]; rows will be of that `class`.
    pub fn read(tail: &[u8], class: Arc<str>) -> Result<Self, Error> {
        let length = usize::try_from(footer_length(tail)?).unwrap_or(usize::MAX);
        let bytes = tail.len().checked_sub(length).map(|from| &tail[from..tail.len() - END]);
        let bytes = bytes.ok_or_else(|| Error::Foreign("the end of the file is missing".to_owned()))?;
        let metadata = guarded(|| ParquetMetaDataReader::decode_metadata(bytes).map_err(Error::Damaged))?;
        Ok(Footer { metadata: Arc::new(metadata), class })
    }

    /// The groups, in the order of the file.
    pub fn groups(&self) -> Result<Vec<Group>, Error> {
        (0..self.metadata.num_row_groups()).map(|index| self.group(index)).collect()
    }

    fn group(&self, index: usize) -> Result<Group, Error> {
        let metadata = self.metadata.row_group(index);
        let mut range: Option<Range<u64>> = None;
        for column in metadata.columns() {
            let own = bytes_of(column)?;
            range = Some(range.map_or(own.clone(), |all| all.start.min(own.start)..all.end.max(own.end)));
        }
        let range = range.unwrap_or_default();
        let bounds = |name: &str| -> Result<(String, String), Error> {
            let statistics = self.column(index, name)?.statistics();
            let bound = |bytes: Option<&[u8]>, otherwise: &str| {
                bytes.map_or(otherwise.to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            Ok((
                bound(statistics.and_then(|bounds| bounds.min_bytes_opt()), ""),
                bound(statistics.and_then(|bounds| bounds.max_bytes_opt()), "\u{10ffff}"),
            ))
        };
        Ok(Group { index, range, devices: bounds("device")?, metrics: bounds("metric")? })
    }

    /// The wanted rows of a group, from its bytes.
    pub fn rows(
        &self,
        group: &Group,
        bytes: Bytes,
        wanted: &Wanted,
        names: &mut Names,
    ) -> Result<Vec<Row>, Error> {
        guarded(|| self.decode(group, bytes, wanted, names))
    }

    fn decode(
        &self,
        group: &Group,
        bytes: Bytes,
        wanted: &Wanted,
        names: &mut Names,
    ) -> Result<Vec<Row>, Error> {
        let rows = self.metadata.row_group(group.index).num_rows();
        let rows = usize::try_from(rows).ok().filter(|rows| *rows <= MOST_ROWS);
        let rows = rows.ok_or_else(|| Error::Foreign("a group has too many rows".to_owned()))?;
        let part = Part { start: group.range.start, bytes };
        let read = Columns { footer: self, index: group.index, rows, part: Arc::new(part) };

        // Sorted by device, component and metric: what is wanted lies together, as far as it is given.
        let mut span = 0..rows;
        let devices = read.texts("device", &span, names)?;
        let devices = narrow(devices, wanted.device.as_ref(), &mut span);
        let components = read.texts("component", &span, names)?;
        let metrics = read.texts("metric", &span, names)?;
        let units = read.texts("unit", &span, names)?;
        let times = read.values::<Int64Type>("time", &span)?;
        let values = read.values::<DoubleType>("value", &span)?;
        let boots = read.texts("boot_id", &span, names)?;
        let is = |text: &Arc<str>, wanted: &Option<Arc<str>>| wanted.as_ref().is_none_or(|w| **w == **text);
        let columns =
            devices.into_iter().zip(components).zip(metrics).zip(units).zip(times).zip(values).zip(boots);
        Ok(columns
            .map(|((((((device, component), metric), unit), time), value), boot_id)| Row {
                device,
                component,
                metric,
                unit,
                class: self.class.clone(),
                time,
                value,
                boot_id,
            })
            .filter(|row| is(&row.component, &wanted.component) && is(&row.metric, &wanted.metric))
            .collect())
    }

    fn column(&self, group: usize, name: &str) -> Result<&ColumnChunkMetaData, Error> {
        let columns = self.metadata.row_group(group).columns();
        let found = columns.iter().find(|column| column.column_path().string() == name);
        found.ok_or_else(|| Error::Foreign(format!("there is no column {name}")))
    }
}

/// The decoders below assert what a good file holds, and panic at a damaged one. A disk that lies must not take a
/// server down: nothing of what they leave behind is looked at again.
fn guarded<T>(read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let panicked = |_| Err(Error::Foreign("it cannot be decoded".to_owned()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(panicked)
}

/// Keeps the rows of one device, if one is wanted, of a column that is sorted.
fn narrow(texts: Vec<Arc<str>>, wanted: Option<&Arc<str>>, span: &mut Range<usize>) -> Vec<Arc<str>> {
    let Some(wanted) = wanted else { return texts };
    let first = texts.partition_point(|text| **text < **wanted);
    let last = texts.partition_point(|text| **text <= **wanted);
    *span = first..last;
    texts[first..last].to_vec()
}

struct Columns<'a> {
    footer: &'a Footer,
    index: usize,
    rows: usize,
    part: Arc<Part>,
}

impl Columns<'_> {
    fn texts(&self, name: &str, span: &Range<usize>, names: &mut Names) -> Result<Vec<Arc<str>>, Error> {
        let values: Vec<ByteArray> = self.values::<ByteArrayType>(name, span)?;
        values
            .iter()
            .map(|value| value.as_utf8().map(|text| names.share(text)).map_err(Error::Damaged))
            .collect()
    }

    fn values<T: DataType>(&self, name: &str, span: &Range<usize>) -> Result<Vec<T::T>, Error> {
        let column = self.footer.column(self.index, name)?;
        if column.column_type() != T::get_physical_type() || column.column_descr().max_def_level() > 0 {
            return Err(Error::Foreign(format!("the column {name} is of another kind")));
        }
        bytes_of(column)?;
        let mut values = Vec::new();
        let pages = SerializedPageReader::new(self.part.clone(), column, self.rows, None);
        let read = pages.and_then(|pages| {
            let mut reader = ColumnReaderImpl::<T>::new(column.column_descr_ptr(), Box::new(pages));
            reader.skip_records(span.start)?;
            let mut left = span.len();
            while left > 0 {
                let (records, _, _) = reader.read_records(left, None, None, &mut values)?;
                if records == 0 {
                    return Err(ParquetError::EOF(format!("the column {name} is too short")));
                }
                left -= records;
            }
            Ok(())
        });
        read.map_err(Error::Damaged)?;
        Ok(values)
    }
}

/// Where a column lies; what a damaged footer says is refused before anything relies on it.
fn bytes_of(column: &ColumnChunkMetaData) -> Result<Range<u64>, Error> {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let range = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
    let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?));
    range.ok_or_else(|| Error::Foreign("a column lies nowhere".to_owned()))
}

/// The bytes of one group, which the reader asks for by their places in the file.
struct Part {
    start: u64,
    bytes: Bytes,
}

impl Part {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at <= self.bytes.len());
        at.map(|at| self.bytes.slice(at..))
            .ok_or_else(|| ParquetError::EOF("outside of the group".to_owned()))
    }
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Part {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let rest = self.from(start)?;
        if length > rest.len() {
            return Err(ParquetError::EOF("the group is too short".to_owned()));
        }
        Ok(rest.slice(..length))
    }
}

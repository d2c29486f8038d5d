//! The recording: a line for each disk and day, as Backblaze publishes them, gzipped.

use std::{
    io::{BufRead as _, BufReader, Lines},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

/// What one disk said on one day.
#[derive(Debug)]
pub struct Row {
    /// `2013-04-10`.
    pub date: String,
    /// Serial number.
    pub serial: String,
    /// Whether this was its last day.
    pub failed: bool,
    /// Raw values in the order of [`ATTRIBUTES`]; none where the disk gives none.
    pub values: [Option<f64>; ATTRIBUTES.len()],
}

/// What is sent of SMART: column, metric, unit.
pub const ATTRIBUTES: [(&str, &str, &str); 5] = [
    ("smart_1_raw", "slipway.smart.read_error_rate", "1"),
    ("smart_5_raw", "slipway.smart.reallocated_sectors", "{sector}"),
    ("smart_9_raw", "slipway.smart.power_on_time", "h"),
    ("smart_194_raw", "slipway.smart.temperature", "Cel"),
    ("smart_197_raw", "slipway.smart.pending_sectors", "{sector}"),
];

/// Reads the rows in the order of the file, which is that of the days.
pub struct Recording {
    lines: Lines<BufReader<ChildStdout>>,
    columns: Columns,
    gzip: Child,
}

struct Columns {
    date: usize,
    serial: usize,
    failed: usize,
    attributes: [usize; ATTRIBUTES.len()],
}

impl Recording {
    /// Opens the one `.csv.gz` below `folder`/drives.
    ///
    /// # Panics
    ///
    /// When there is none, or it is not what it should be.
    pub fn open(folder: &Path) -> Self {
        let path = find(&folder.join("drives"));
        let mut gzip = Command::new("gzip")
            .arg("-dc")
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("gzip, which unpacks the recording");
        let mut lines = BufReader::new(gzip.stdout.take().expect("its output")).lines();
        let header = lines.next().expect("a header").expect("text");
        let names: Vec<&str> = header.split(',').collect();
        let column = |name: &str| {
            names.iter().position(|other| *other == name).unwrap_or_else(|| panic!("no column {name}"))
        };
        let columns = Columns {
            date: column("date"),
            serial: column("serial_number"),
            failed: column("failure"),
            attributes: ATTRIBUTES.map(|(name, ..)| column(name)),
        };
        Recording { lines, columns, gzip }
    }
}

impl Iterator for Recording {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let Some(line) = self.lines.next() else {
            // Reaped, and heard: a file that is cut off is no recording.
            assert!(self.gzip.wait().expect("an end").success(), "gzip could not unpack all of it");
            return None;
        };
        let line = line.expect("text");
        let fields: Vec<&str> = line.split(',').collect();
        let values = self.columns.attributes.map(|column| fields[column].parse().ok());
        Some(Row {
            date: fields[self.columns.date].to_owned(),
            serial: fields[self.columns.serial].to_owned(),
            failed: fields[self.columns.failed] == "1",
            values,
        })
    }
}

fn find(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "gz"))
        .collect();
    assert_eq!(files.len(), 1, "one .csv.gz in {}", folder.display());
    files.remove(0)
}

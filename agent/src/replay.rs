//! A recorded series as if it were happening: for demonstrations, and for trying limits.
//!
//! A CSV file with the header `seconds,component,metric,unit,class,value`, sorted by time. The last
//! row is now, and the rows before it lie as far in the past as they were recorded before it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use slipway_proto::v1::{DataClass, Reading};

use crate::collect::wire_time;

const HEADER: &str = "seconds,component,metric,unit,class,value";
/// A year of ten series at one value a minute is 5 million rows and 250 MB: not a demonstration.
const ROW_LIMIT: usize = 1_000_000;
const FILE_LIMIT: u64 = 64 << 20;

/// What is wrong with a recorded series.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line does not say what it should.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// A recorded series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    millis: i64,
    component: String,
    metric: String,
    unit: String,
    class: DataClass,
    value: f64,
}

impl Series {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ReplayError::Io`], and [`ReplayError::Line`] with the number of the line.
    pub fn read(path: &Path) -> Result<Self, ReplayError> {
        let failed = |source| ReplayError::Io { path: path.to_path_buf(), source };
        let length = fs::metadata(path).map_err(failed)?.len();
        if length > FILE_LIMIT {
            let text = format!("{length} bytes are more than {FILE_LIMIT}");
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, text)));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let on_line = |(line, problem)| ReplayError::Line { path: path.to_path_buf(), line, problem };
        parse(&text).map(|rows| Self { rows }).map_err(on_line)
    }

    /// The readings, the last of them at `now` in milliseconds.
    pub fn readings(&self, now: i64) -> Vec<Reading> {
        let end = self.rows.last().map_or(0, |row| row.millis);
        let reading = |row: &Row| Reading {
            component: row.component.clone(),
            metric: row.metric.clone(),
            unit: row.unit.clone(),
            data_class: row.class.into(),
            time: Some(wire_time(now - (end - row.millis))),
            value: row.value,
            boot_id: String::new(),
        };
        self.rows.iter().map(reading).collect()
    }
}

fn parse(text: &str) -> Result<Vec<Row>, (usize, String)> {
    let mut lines = text.lines().enumerate();
    match lines.next() {
        Some((_, header)) if header.trim_end() == HEADER => {}
        _ => return Err((1, format!("the header has to be {HEADER}"))),
    }
    let mut rows: Vec<Row> = Vec::new();
    for (index, line) in lines {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let number = index + 1;
        let row = parse_row(line).map_err(|problem| (number, problem))?;
        if rows.last().is_some_and(|before| before.millis > row.millis) {
            return Err((number, "it is earlier than the line before".to_owned()));
        }
        if rows.len() == ROW_LIMIT {
            return Err((number, format!("at most {ROW_LIMIT} rows are replayed")));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err((2, "there are no rows".to_owned()));
    }
    Ok(rows)
}

fn parse_row(line: &str) -> Result<Row, String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [seconds, component, metric, unit, class, value] = fields[..] else {
        return Err(format!("it has {} fields, not 6", fields.len()));
    };
    let seconds = number("seconds", seconds)?;
    // A hundred years: what is larger is no time since a start.
    if !(0.0..=3.2e9).contains(&seconds) {
        return Err(format!("seconds: {seconds} is not a time since the start"));
    }
    if !slipway_trust::plain_name(component) {
        return Err(format!("component: {component:?} is not a name"));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '/');
    if metric.is_empty() || metric.len() > 128 || !metric.chars().all(allowed) {
        return Err(format!("metric: {metric:?} is not 1 to 128 of a-z, 0-9, '_', '.' and '/'"));
    }
    if unit.is_empty() || unit.len() > 32 {
        return Err(format!("unit: {unit:?} is not a unit; a number without one has the unit 1"));
    }
    let class = match class {
        "essential" => DataClass::Essential,
        "diagnostic" => DataClass::Diagnostic,
        "usage" => DataClass::Usage,
        "location" => DataClass::Location,
        _ => return Err(format!("class: {class:?} is not essential, diagnostic, usage or location")),
    };
    Ok(Row {
        millis: (seconds * 1000.0).round() as i64,
        component: component.to_owned(),
        metric: metric.to_owned(),
        unit: unit.to_owned(),
        class,
        value: number("value", value)?,
    })
}

fn number(field: &str, text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("{field}: {text:?} is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(text: &str) -> Result<Series, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("series.csv");
        fs::write(&path, text).unwrap();
        Series::read(&path)
            .map_err(|error| error.to_string().split_once("series.csv, ").unwrap().1.to_owned())
    }

    #[test]
    fn the_last_row_is_now() {
        let text = format!(
            "{HEADER}\r\n10,filter,slipway.pressure,Pa,diagnostic,1.5\r\n\n70.25,filter,slipway.pressure,Pa,usage,-2e3\n"
        );
        let readings = series(&text).unwrap().readings(1_000_000);
        let seen: Vec<_> = readings.iter().map(|r| (r.time.unwrap(), r.value, r.data_class())).collect();
        let past = prost_types::Timestamp { seconds: 939, nanos: 750_000_000 };
        let now = prost_types::Timestamp { seconds: 1000, nanos: 0 };
        assert_eq!(seen, [(past, 1.5, DataClass::Diagnostic), (now, -2000.0, DataClass::Usage)]);
        assert_eq!(readings[0].component, "filter");
    }

    #[test]
    fn errors_name_the_line() {
        for (rows, expected) in [
            ("", "line 2: there are no rows"),
            ("1,a,b,1,usage\n", "line 2: it has 5 fields, not 6"),
            ("1,a,b,1,usage,1,2\n", "line 2: it has 7 fields, not 6"),
            ("1,a,b,1,usage,1\n0,a,b,1,usage,1\n", "line 3: it is earlier than the line before"),
            ("x,a,b,1,usage,1\n", "line 2: seconds: \"x\" is not a number"),
            ("-1,a,b,1,usage,1\n", "line 2: seconds: -1 is not a time since the start"),
            ("1,a,b,1,usage,NaN\n", "line 2: value: \"NaN\" is not a number"),
            ("1,a,b,1,usage,inf\n", "line 2: value: \"inf\" is not a number"),
            ("1,,b,1,usage,1\n", "line 2: component: \"\" is not a name"),
            ("1,a,B,1,usage,1\n", "line 2: metric: \"B\" is not 1 to 128 of a-z, 0-9, '_', '.' and '/'"),
            ("1,a,b,,usage,1\n", "line 2: unit: \"\" is not a unit; a number without one has the unit 1"),
            (
                "1,a,b,1,secret,1\n",
                "line 2: class: \"secret\" is not essential, diagnostic, usage or location",
            ),
        ] {
            assert_eq!(series(&format!("{HEADER}\n{rows}")), Err(expected.to_owned()));
        }
        assert_eq!(series("a,b\n").unwrap_err(), format!("line 1: the header has to be {HEADER}"));
        assert!(matches!(Series::read(Path::new("/nowhere.csv")), Err(ReplayError::Io { .. })));
    }
}

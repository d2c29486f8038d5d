//! Recorded lives as a CSV file: `unit,<sensor>,<sensor>…`, a row per step, the last one of each unit its failure.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use slipway_proto::v1;

use crate::{csv, error::Failure};

/// Longest file: half a million rows of 32 sensors.
const MOST: u64 = 256 << 20;
/// What the server takes.
const MAX_LIVES: usize = 2_000;
const MAX_ROWS: usize = 500_000;
/// Most mistakes that are shown; with more, one of them is behind all the others.
const SHOWN: usize = 20;
/// Values of one message: half of what the server takes.
const VALUES: usize = 60_000;
const HEADER: &str = "the first line names the columns: unit, and each sensor of the model";

/// The lives of a file.
#[derive(Debug, Default, PartialEq)]
pub struct Lives {
    /// Each with its rows, one value after the other in the order of the sensors.
    pub lives: Vec<v1::RecordedLife>,
    /// How many rows there are in all.
    pub rows: usize,
    /// Columns that are no sensor of the model.
    pub left_out: Vec<String>,
}

/// Reads the lives of the file at `path`, with these sensors.
///
/// # Errors
/// A file that cannot be read; every mistake with its line, up to twenty.
pub fn read(path: &Path, sensors: &[&str]) -> Result<Lives, Failure> {
    let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    let mut lines = BufReader::new(file.take(MOST + 1));
    let mut reader = Reader { sensors, places: Vec::new(), ended: HashMap::new(), lives: Lives::default() };
    let (mut line, mut number, mut bytes) = (String::new(), 0, 0);
    let mut mistakes = Vec::new();
    loop {
        line.clear();
        bytes += lines.read_line(&mut line).map_err(|error| Failure::file("read", path, &error))? as u64;
        number += 1;
        if line.is_empty() || bytes > MOST || mistakes.len() > SHOWN {
            break;
        }
        if let Err(wrong) = reader.line(number, &line) {
            mistakes.push(format!("\n  line {number}: {wrong}"));
            if reader.places.is_empty() {
                break;
            }
        }
    }
    if bytes > MOST {
        mistakes.push("\n  it is longer than 256 MiB".to_owned());
    } else if mistakes.is_empty() && reader.lives.lives.is_empty() {
        mistakes.push(format!("\n  line {number}: there are no rows; {HEADER}"));
    }
    if mistakes.is_empty() {
        return Ok(reader.lives);
    }
    let more = if mistakes.len() > SHOWN { "\n  and more" } else { "" };
    mistakes.truncate(SHOWN);
    Err(Failure::new(format!("{} holds no lives to learn from:{}{more}", path.display(), mistakes.concat()))
        .hint("docs/wear.md shows what such a file holds; nothing was changed")
        .reason("LIVES_INVALID"))
}

struct Reader<'a> {
    sensors: &'a [&'a str],
    /// The column of each sensor; empty before the header.
    places: Vec<usize>,
    /// The last line of each unit.
    ended: HashMap<String, usize>,
    lives: Lives,
}

impl Reader<'_> {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        let mut records =
            csv::parse(line).map_err(|(place, what)| format!("column {}: {what}", place.column))?;
        let Some(record) = records.pop() else { return Ok(()) };
        let fields: Vec<&str> = record.iter().map(|field| field.text.trim()).collect();
        if self.places.is_empty() { self.header(&fields) } else { self.row(number, &fields) }
    }

    fn header(&mut self, fields: &[&str]) -> Result<(), String> {
        let Some((&"unit", columns)) = fields.split_first() else {
            return Err(format!(
                "the first column is {:?}, not unit; {HEADER}",
                fields.first().unwrap_or(&"")
            ));
        };
        if let Some(twice) = columns.iter().enumerate().find(|(at, column)| columns[..*at].contains(column)) {
            return Err(format!("the column {:?} is there twice", twice.1));
        }
        let place = |sensor: &&str| columns.iter().position(|column| column == sensor);
        let missing: Vec<&str> =
            self.sensors.iter().filter(|sensor| place(sensor).is_none()).copied().collect();
        if !missing.is_empty() {
            return Err(format!("there is no column {} for that sensor of the model", missing.join(", ")));
        }
        self.places = self.sensors.iter().filter_map(place).map(|at| at + 1).collect();
        let is_other = |column: &&&str| !self.sensors.contains(*column);
        self.lives.left_out = columns.iter().filter(is_other).map(|column| (*column).to_owned()).collect();
        Ok(())
    }

    fn row(&mut self, number: usize, fields: &[&str]) -> Result<(), String> {
        let unit = fields.first().copied().unwrap_or_default();
        let columns = 1 + self.sensors.len() + self.lives.left_out.len();
        if fields.len() != columns {
            return Err(format!("{} fields, where the header has {columns}", fields.len()));
        }
        if unit.is_empty() {
            return Err("the unit has no name".to_owned());
        }
        let mut values = Vec::with_capacity(self.places.len());
        for (place, sensor) in self.places.iter().zip(self.sensors) {
            let text = fields.get(*place).copied().unwrap_or_default();
            let value: Option<f64> = text.parse().ok().filter(|value: &f64| value.is_finite());
            values.push(value.ok_or_else(|| format!("{sensor} is {text:?}, which is no number"))?);
        }
        let goes_on = self.lives.lives.last().is_some_and(|life| life.unit == unit);
        if !goes_on {
            if let Some(line) = self.ended.get(unit) {
                return Err(format!(
                    "unit {unit} ended on line {line}: all of its rows have to stand together"
                ));
            }
            if self.lives.lives.len() == MAX_LIVES {
                return Err(format!("more than {MAX_LIVES} units"));
            }
            self.lives.lives.push(v1::RecordedLife { unit: unit.to_owned(), values: Vec::new() });
        }
        if self.lives.rows == MAX_ROWS {
            return Err(format!("more than {MAX_ROWS} rows: make the steps longer, or leave units out"));
        }
        self.lives.rows += 1;
        self.ended.insert(unit.to_owned(), number);
        if let Some(life) = self.lives.lives.last_mut() {
            life.values.append(&mut values);
        }
        Ok(())
    }
}

/// What is sent of them: messages of a bounded size, in which a life goes on that did not fit.
pub fn messages(lives: Vec<v1::RecordedLife>, sensors: usize) -> Vec<v1::ApplyWearModelRequest> {
    let most = VALUES / sensors.max(1) * sensors.max(1);
    let mut messages: Vec<v1::ApplyWearModelRequest> = Vec::new();
    let mut room = 0;
    for v1::RecordedLife { unit, mut values } in lives {
        while !values.is_empty() {
            if room == 0 {
                messages.push(v1::ApplyWearModelRequest::default());
                room = most;
            }
            let rest = values.split_off(room.min(values.len()));
            room -= values.len();
            if let Some(message) = messages.last_mut() {
                message.lives.push(v1::RecordedLife { unit: unit.clone(), values });
            }
            values = rest;
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Lives, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lives.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, &["speed", "current"]).map_err(|failure| failure.to_string())
    }

    #[test]
    fn columns_stand_in_any_order() {
        let lives =
            parsed("\u{feff}unit,hour,current,speed\r\n1,0,2.5,900\r\n1,1,2.6,901\n\n\"b,2\",0,2,1e3\n")
                .unwrap();
        let life =
            |unit: &str, values: &[f64]| v1::RecordedLife { unit: unit.into(), values: values.to_vec() };
        assert_eq!(lives.lives, [life("1", &[900.0, 2.5, 901.0, 2.6]), life("b,2", &[1000.0, 2.0])]);
        assert_eq!((lives.rows, lives.left_out), (3, vec!["hour".to_owned()]));
    }

    #[test]
    fn mistakes_are_told_with_their_lines() {
        for (text, wrong) in [
            ("", "line 1: there are no rows"),
            ("unit,speed,current\n", "line 2: there are no rows"),
            ("id,speed,current\n1,2,3\n", "line 1: the first column is \"id\", not unit"),
            ("unit,speed\n1,2\n", "line 1: there is no column current"),
            ("unit,speed,current,speed\n", "line 1: the column \"speed\" is there twice"),
            ("unit,speed,current\n1,2\n", "line 2: 2 fields, where the header has 3"),
            ("unit,speed,current\n1,2,3\n1,2,warm\n", "line 3: current is \"warm\", which is no number"),
            ("unit,speed,current\n1,2,inf\n", "line 2: current is \"inf\", which is no number"),
            ("unit,speed,current\n,2,3\n", "line 2: the unit has no name"),
            ("unit,speed,current\n1,2,3\n2,2,3\n1,2,3\n", "line 4: unit 1 ended on line 2"),
            ("unit,speed,current\n\"1,2,3\n", "line 2: column 1: this quote is never closed"),
        ] {
            let problem = parsed(text).unwrap_err();
            assert!(problem.contains(wrong), "{problem}");
        }
        let many = format!("unit,speed,current\n{}", "1,x,3\n".repeat(50));
        let problem = parsed(&many).unwrap_err();
        assert!(
            problem.contains("line 21:") && !problem.contains("line 22:") && problem.contains("and more"),
            "{problem}"
        );
    }

    #[test]
    fn a_life_that_does_not_fit_goes_on() {
        let life =
            |unit: &str, values: usize| v1::RecordedLife { unit: unit.into(), values: vec![1.0; values] };
        let sent = messages(vec![life("a", 70_000), life("b", 7), life("c", 100_002)], 7);
        let cut: Vec<Vec<(String, usize)>> = sent
            .iter()
            .map(|message| message.lives.iter().map(|life| (life.unit.clone(), life.values.len())).collect())
            .collect();
        // 59,997 values are the most that are whole rows of seven.
        let part = |unit: &str, values: usize| (unit.to_owned(), values);
        assert_eq!(
            cut,
            [
                vec![part("a", 59_997)],
                vec![part("a", 10_003), part("b", 7), part("c", 49_987)],
                vec![part("c", 50_015)],
            ]
        );
        assert_eq!(messages(Vec::new(), 7), []);
    }
}

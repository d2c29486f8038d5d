//! `docs/THREATS.md` and the tests of threats say the same: every row is there, every test that it names exists, and what
//! a test says of its row stands in the table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::RangeInclusive,
};

use crate::source::{Source, files, root};

/// Every attack has a row.
const ROWS: RangeInclusive<u32> = 1..=83;
/// The transparency log, which is not there yet.
const LATER: RangeInclusive<u32> = 58..=62;
/// In these, every test says its rows in its documentation.
const LISTS: &str = "trust/tests/threats/";

/// A test: its file and its name.
type Test = (String, String);

/// A line of the table.
struct Row {
    by: String,
    tests: BTreeSet<Test>,
    text: String,
}

#[test]
fn every_row_is_there_once_and_names_its_tests() {
    let table = table();
    let mut wrong = Vec::new();
    for number in ROWS {
        let Some(row) = table.get(&number) else {
            wrong.push(format!("row {number} is missing"));
            continue;
        };
        let is_later = LATER.contains(&number);
        let is_upstream = row.by == "C";
        if is_later != row.text.starts_with("later") || (is_later && !row.tests.is_empty()) {
            wrong.push(format!("row {number}: the transparency log, and nothing else, is for later"));
        } else if row.tests.is_empty() && !is_later && !(is_upstream && row.text.contains("upstream")) {
            wrong.push(format!("row {number} names no test"));
        }
        if row.by.is_empty() || !row.by.split(' ').all(|by| ["C", "U", "N"].contains(&by)) {
            wrong.push(format!("row {number} is demanded by {:?}", row.by));
        }
    }
    wrong
        .extend(table.keys().filter(|number| !ROWS.contains(number)).map(|n| format!("there is no row {n}")));
    assert!(wrong.is_empty(), "docs/THREATS.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_test_of_the_table_exists() {
    let mut missing = Vec::new();
    for (number, row) in table() {
        for (file, name) in row.tests {
            let tests = fs::read_to_string(root().join(&file)).map(|text| tests(&text)).unwrap_or_default();
            if !tests.contains_key(&name) {
                missing.push(format!("row {number}: {file} has no test {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/THREATS.md:\n{}", missing.join("\n"));
}

#[test]
fn tests_and_table_agree_on_the_rows() {
    let table = table();
    let listed = |number: u32, test: &Test| table.get(&number).is_some_and(|row| row.tests.contains(test));
    let mut wrong = Vec::new();
    let mut said = 0;
    for folder in ["trust", "agent", "server", "cli", "tests"] {
        for Source { path, text } in files(folder, &[".rs"]) {
            for (name, rows) in tests(&text) {
                let test = (path.clone(), name);
                said += rows.len();
                for number in &rows {
                    if !listed(*number, &test) {
                        wrong.push(format!("row {number} does not name {}: {}", test.0, test.1));
                    }
                }
                // Elsewhere a test may stand beside a row for a part of what it tries.
                if test.0.starts_with(LISTS) || !rows.is_empty() {
                    let others = table
                        .iter()
                        .filter(|(number, row)| row.tests.contains(&test) && !rows.contains(number));
                    wrong.extend(
                        others.map(|(number, _)| format!("{}: {} does not say row {number}", test.0, test.1)),
                    );
                }
            }
        }
    }
    assert!(said > 120, "only {said} rows are said by tests: they are looked for in the wrong way");
    assert!(wrong.is_empty(), "docs/THREATS.md and the tests disagree:\n{}", wrong.join("\n"));
}

/// The lines of the table, by number.
fn table() -> BTreeMap<u32, Row> {
    let text = fs::read_to_string(root().join("docs/THREATS.md")).expect("docs/THREATS.md");
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _, _, by, tests] = cells[..] else { continue };
        let Ok(number) = number.parse() else { continue };
        let row = Row { by: by.to_owned(), tests: named(tests), text: tests.to_owned() };
        assert!(rows.insert(number, row).is_none(), "row {number} is there twice");
    }
    rows
}

/// Reads `` `file`: `test`, `test`; `file`: `test` ``.
fn named(cell: &str) -> BTreeSet<Test> {
    let mut tests = BTreeSet::new();
    let mut file = "";
    for word in cell.split('`').skip(1).step_by(2) {
        if word.contains('/') {
            file = word;
        } else {
            tests.insert((file.to_owned(), word.to_owned()));
        }
    }
    tests
}

/// The tests of a file and the rows that each says are its own: by its name (`row_54_…`, `rows_45_to_47_…`) or in
/// its documentation (`Row 54`, `Rows 30 and 36`). Those of a macro are written `name: "what it is about",`.
fn tests(text: &str) -> BTreeMap<String, BTreeSet<u32>> {
    let mut found = BTreeMap::new();
    let (mut documentation, mut is_test, mut is_list) = (String::new(), false, false);
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            documentation.push_str(words);
            continue;
        }
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            continue;
        }
        is_list = (is_list || line.starts_with("attacks! {")) && line != "}";
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        let name = match (function, line.split_once(": \"")) {
            (Some(function), _) if is_test => function.split(['(', '<']).next(),
            (_, Some((name, _))) if is_list => Some(name),
            _ => None,
        };
        if let Some(name) = name {
            let mut rows = rows_of(&documentation, [' ', ',', '.', ':']);
            rows.extend(rows_of(name, ['_', '_', '_', '_']));
            found.insert(name.to_owned(), rows);
        }
        documentation.clear();
        is_test = false;
    }
    found
}

/// The numbers behind the first `Row` or `Rows`: one, several with `and`, or a range with `to`.
fn rows_of(text: &str, gaps: [char; 4]) -> BTreeSet<u32> {
    let words: Vec<&str> = text.split(gaps).filter(|word| !word.is_empty()).collect();
    let Some(at) = words.iter().position(|word| ["row", "rows"].contains(&word.to_lowercase().as_str()))
    else {
        return BTreeSet::new();
    };
    let mut rows = BTreeSet::new();
    let mut is_range = false;
    for word in &words[at + 1..] {
        match (word.parse::<u32>(), *word) {
            (Ok(number), _) if is_range => {
                rows.extend(rows.last().copied().unwrap_or(number)..=number);
                is_range = false;
            }
            (Ok(number), _) => drop(rows.insert(number)),
            (Err(_), "and") => {}
            (Err(_), "to") => is_range = true,
            (Err(_), _) => break,
        }
    }
    rows
}

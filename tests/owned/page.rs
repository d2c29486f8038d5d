//! `docs/owned-server.md`, held to what the tests saw.

use std::{fmt::Write as _, fs, path::Path};

use crate::attempt::Attempt;

/// The table of what was tried, as it stands in the document.
pub fn table<'a>(attempts: impl IntoIterator<Item = &'a Attempt>) -> String {
    let mut out =
        "| whoever owns the server … | what comes of it | the device | then runs | brought back by |\n\
                   |---|---|---|---|---|\n"
            .to_owned();
    for Attempt { name, outcome, says, runs, after, .. } in attempts {
        let _ = writeln!(out, "| {name} | {outcome} | {says} | {runs} | {after} |");
    }
    out
}

/// Prints a table, and finds it in the document as it is.
pub fn assert_holds(table: &str) {
    println!("{table}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/owned-server.md")).expect("docs/owned-server.md");
    assert!(page.contains(table), "docs/owned-server.md does not say what was seen:\n{table}");
    // Every code that people are shown has a page.
    for code in
        table.split('`').skip(1).step_by(2).filter(|word| word.bytes().all(|b| !b.is_ascii_lowercase()))
    {
        assert!(root.join(format!("docs/errors/{code}.md")).is_file(), "docs/errors/{code}.md is missing");
    }
}

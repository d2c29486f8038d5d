//! Both databases get the same migrations.

use std::collections::BTreeSet;

use crate::source::files;

fn names(folder: &str) -> BTreeSet<String> {
    files(folder, &[".sql"])
        .into_iter()
        .map(|f| f.path.rsplit('/').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn both_folders_hold_the_same_files() {
    assert_eq!(names("migrations/sqlite"), names("migrations/postgres"));
}

/// Table and column names of a folder, in order, without types.
fn shape(folder: &str) -> Vec<String> {
    let mut out = Vec::new();
    for file in files(folder, &[".sql"]) {
        for line in
            file.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--"))
        {
            let first: Vec<&str> = line.split_whitespace().take(3).collect();
            match first.as_slice() {
                ["CREATE", "TABLE", name] => out.push(format!("table {name}")),
                ["CREATE", "INDEX" | "UNIQUE", ..] => out.push(line.to_owned()),
                [column, ..]
                    if column.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()) =>
                {
                    out.push((*column).to_owned());
                }
                _ => {}
            }
        }
    }
    out
}

#[test]
fn both_folders_make_the_same_tables() {
    assert_eq!(shape("migrations/sqlite"), shape("migrations/postgres"));
}

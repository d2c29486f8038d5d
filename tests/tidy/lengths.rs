//! A file is one room: 400 lines, up to 600 with a reason.

use crate::source::files;

const SOFT: usize = 400;
const HARD: usize = 600;

/// Files above the soft limit, each with the reason why it is one room all the same.
const LONG: &[(&str, &str)] = &[];

#[test]
fn files_are_short_or_say_why_not() {
    let mut found = Vec::new();
    for folder in
        ["proto/src", "trust", "payload", "insight", "archive", "server", "agent", "cli", "xtask", "tests"]
    {
        for source in files(folder, &[".rs"]) {
            let lines = source.text.lines().count();
            let excused = LONG.iter().any(|(path, _)| *path == source.path);
            if lines > HARD || (lines > SOFT && !excused) {
                found.push(format!("{}: {lines} lines", source.path));
            }
            if excused && lines <= SOFT {
                found.push(format!("{}: {lines} lines: needs no excuse any more", source.path));
            }
        }
    }
    assert!(found.is_empty(), "cut these (or give a reason in LONG):\n{}", found.join("\n"));
}

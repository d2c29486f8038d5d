use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::Path};

use super::*;

const BEGIN: &str = "<!-- the dictionary: written by the test `the_page_is_the_dictionary` -->\n";
const END: &str = "<!-- end of the dictionary -->\n";

#[test]
fn every_name_is_one_that_the_interface_takes() {
    let mut names = BTreeSet::new();
    for Entry { metric, meaning, source } in ALL {
        let name = metric.name();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.');
        assert!(name.len() <= 128 && name.chars().all(allowed) && name.contains('.'), "{name}");
        assert!(names.insert(name), "{name} stands there twice");
        let unit = metric.unit();
        assert!(
            (1..=16).contains(&unit.len()) && unit.bytes().all(|b| b.is_ascii_graphic()),
            "{name}: {unit}"
        );
        assert!(!meaning.is_empty() && !source.is_empty() && !meaning.contains('|') && !source.contains('|'));
        assert_ne!(metric.class(), DataClass::Unspecified);
    }
}

fn table() -> String {
    let mut text = String::from(
        "| metric | unit | class | kind | what it says | read from |\n|---|---|---|---|---|---|\n",
    );
    for Entry { metric, meaning, source } in ALL {
        let class = format!("{:?}", metric.class()).to_lowercase();
        let kind = format!("{:?}", metric.kind()).to_lowercase();
        let (name, unit) = (metric.name(), metric.unit());
        let path = |part: &str| if part.starts_with('/') { format!("`{part}`") } else { part.to_owned() };
        let source = source.split_inclusive([',', ';']).map(|part| {
            let (part, end) =
                part.strip_suffix([',', ';']).map_or((part, ""), |bare| (bare, &part[bare.len()..]));
            path(part.trim()) + end
        });
        let source = source.collect::<Vec<_>>().join(" ");
        writeln!(text, "| `{name}` | `{unit}` | {class} | {kind} | {meaning} | {source} |").unwrap();
    }
    text
}

/// With `SLIPWAY_WRITE_DOCS=1` in its environment it writes the page instead.
#[test]
fn the_page_is_the_dictionary() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("where the dictionary begins");
    let (written, after) = rest.split_once(END).expect("where it ends");
    let table = table();
    if env::var_os("SLIPWAY_WRITE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(
        written == table,
        "docs/metrics.md is of another dictionary; run this test with SLIPWAY_WRITE_DOCS=1"
    );
}

//! What the metrics of our agent mean: `docs/metrics.md`, which a test of the agent holds to what it measures.

use std::{collections::BTreeMap, sync::LazyLock};

use super::device::DataClass;

const PAGE: &str = include_str!("../../../docs/metrics.md");
const BEGIN: &str = "<!-- the dictionary:";
const END: &str = "<!-- end of the dictionary -->";

static ENTRIES: LazyLock<BTreeMap<&'static str, Entry>> = LazyLock::new(|| {
    let (_, table) = PAGE.split_once(BEGIN).unwrap_or_default();
    let (table, _) = table.split_once(END).unwrap_or_default();
    table.lines().filter_map(row).map(|entry| (entry.name, entry)).collect()
});

/// A metric, as it is explained to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// The consent it needs.
    pub class: DataClass,
    /// From where it counts: `gauge`, `counter`, `run` or `total`.
    pub kind: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

/// What a metric means; none of one that is the owner's.
pub fn find(metric: &str) -> Option<&'static Entry> {
    ENTRIES.get(metric)
}

/// A row of the table; none of its head.
fn row(line: &'static str) -> Option<Entry> {
    let mut cells = line.strip_prefix('|')?.split('|').map(|cell| cell.trim().trim_matches('`'));
    let (name, unit) = (cells.next()?, cells.next()?);
    let class = DataClass::parse(cells.next()?)?;
    Some(Entry { name, unit, class, kind: cells.next()?, meaning: cells.next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_page_is_read() {
        let table = PAGE.split_once(BEGIN).unwrap().1.split_once(END).unwrap().0;
        let rows = table.lines().filter(|line| line.starts_with("| `")).count();
        assert!(rows > 50 && ENTRIES.len() == rows, "{} of {rows}", ENTRIES.len());
        for entry in ENTRIES.values() {
            assert!(matches!(entry.kind, "gauge" | "counter" | "run" | "total"), "{entry:?}");
            // Each stands for itself in an export.
            let begins = entry.meaning.chars().next().unwrap();
            assert!(begins.is_uppercase() || begins.is_ascii_digit(), "{entry:?}");
            assert!(!entry.meaning.starts_with("The same"), "{entry:?}");
        }
        let heat = find("hw.temperature").unwrap();
        assert_eq!((heat.unit, heat.class, heat.kind), ("Cel", DataClass::Diagnostic, "gauge"));
        assert_eq!(heat.meaning, "Temperature of a chip, a zone or a disk");
        assert_eq!(find("door.opened"), None);
    }
}

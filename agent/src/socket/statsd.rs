//! StatsD: `name:value|type[|@rate][|#tag:value,…]`, lines in a datagram.
//!
//! Of the types, `c` counts, `g` is what is now (with a sign: by how much it changed), and `ms`, `h` and `d` are
//! told as `NAME.count` and `NAME.sum`. Of the tags, `component` and `unit` are heeded; the others, which other
//! collectors make series of, are not.

use super::table::{Table, Value, shown};

/// A datagram of at most so many bytes is read; those of clients are shorter than 1,432, for the network's sake.
pub const LONGEST: usize = 8192;

/// Takes what is in a datagram; a line that is wrong does not spoil the others.
pub fn read(datagram: &[u8], table: &mut Table) {
    let Ok(text) = str::from_utf8(datagram) else {
        table.refuse("a datagram is not text");
        return;
    };
    for line in text.lines().filter(|line| !line.is_empty()) {
        let Some(told) = parse(line) else {
            table.refuse(&format!("{} is not StatsD as it is understood here", shown(line)));
            continue;
        };
        // Counted by the table.
        let _ = told.put(table);
    }
}

struct Told<'a> {
    name: &'a str,
    kind: &'a str,
    signed: bool,
    value: f64,
    rate: f64,
    component: &'a str,
    unit: &'a str,
}

fn parse(line: &str) -> Option<Told<'_>> {
    let mut parts = line.split('|');
    let (name, text) = parts.next()?.split_once(':')?;
    let kind = parts.next().filter(|kind| matches!(*kind, "c" | "g" | "ms" | "h" | "d"))?;
    let signed = text.starts_with(['+', '-']);
    let mut told = Told { name, kind, signed, value: text.parse().ok()?, rate: 1.0, component: "", unit: "" };
    for part in parts {
        if let Some(rate) = part.strip_prefix('@') {
            told.rate = rate.parse().ok().filter(|rate| *rate > 0.0 && *rate <= 1.0)?;
        } else if let Some(tags) = part.strip_prefix('#') {
            for (key, value) in tags.split(',').filter_map(|tag| tag.split_once(':')) {
                match key {
                    "component" => told.component = value,
                    "unit" => told.unit = value,
                    _ => {}
                }
            }
        }
        // Later versions of the protocol add further parts, which are nobody's value.
    }
    Some(told)
}

impl Told<'_> {
    fn put(&self, table: &mut Table) -> Result<(), String> {
        let mut take = |name: &str, unit: &str, value| table.take(self.component, name, unit, value);
        match self.kind {
            "c" => take(self.name, self.unit, Value::More(self.value / self.rate)),
            "g" if self.signed => take(self.name, self.unit, Value::Moved(self.value)),
            "g" => take(self.name, self.unit, Value::Is(self.value)),
            kind => {
                let unit = if self.unit.is_empty() && kind == "ms" { "ms" } else { self.unit };
                take(&format!("{}.sum", self.name), unit, Value::More(self.value / self.rate))?;
                take(&format!("{}.count", self.name), "1", Value::More(1.0 / self.rate))
            }
        }
    }
}

//! The keys of a specification file. What is wrong with them is told all at once: a parser that knows what to expect
//! stops at the first.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Fault;

/// What stands behind a key.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Number,
    Switch,
    Entries(&'static [Key]),
    /// A list in which each entry is judged when it is read.
    List,
}

/// A key there may be.
#[derive(Clone, Copy, PartialEq)]
struct Key {
    name: &'static str,
    kind: Kind,
    is_required: bool,
}

const fn required(name: &'static str) -> Key {
    Key { name, kind: Kind::Text, is_required: true }
}

const fn optional(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, is_required: false }
}

const fn needed(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, is_required: true }
}

const FILE: &[Key] =
    &[required("name"), optional("limit", Kind::Entries(LIMIT)), optional("fix", Kind::Entries(FIX))];

const LIMIT: &[Key] = &[
    required("id"),
    required("metric"),
    optional("above", Kind::Number),
    optional("below", Kind::Number),
    optional("learn", Kind::Text),
    optional("factor", Kind::Number),
    optional("unit", Kind::Text),
    optional("selector", Kind::Text),
    optional("component", Kind::Text),
    optional("part", Kind::Text),
    optional("consumable", Kind::Switch),
    optional("lead_time", Kind::Text),
    optional("horizon", Kind::Text),
    optional("failure_mode", Kind::Text),
    optional("severity", Kind::Text),
    optional("source", Kind::Text),
];

const FIX: &[Key] =
    &[required("id"), required("failure_mode"), required("release"), optional("selector", Kind::Text)];

const WEAR: &[Key] = &[
    required("id"),
    optional("selector", Kind::Text),
    required("component"),
    needed("sensors", Kind::List),
    required("step"),
    needed("horizon", Kind::Number),
    optional("part", Kind::Text),
    optional("failure_mode", Kind::Text),
    optional("lead_time", Kind::Text),
    optional("severity", Kind::Text),
    optional("source", Kind::Text),
];

/// The same of a file of a wear model.
pub(crate) fn wear_faults(file: &Spanned<DeTable<'_>>) -> Vec<Fault> {
    let mut faults = Vec::new();
    check(0, file.get_ref(), WEAR, &mut faults);
    faults
}

/// Keys that are none, keys that are missing, and values of another kind than their key's.
pub(super) fn faults(file: &Spanned<DeTable<'_>>) -> Vec<Fault> {
    let mut faults = Vec::new();
    check(0, file.get_ref(), FILE, &mut faults);
    faults
}

fn check(at: usize, table: &DeTable<'_>, keys: &[Key], faults: &mut Vec<Fault>) {
    for (name, value) in table {
        let Some(key) = keys.iter().find(|key| key.name == name.get_ref().as_ref()) else {
            let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
            let wrong = format!("there is no `{}` here; there is {}", name.get_ref(), known.join(", "));
            faults.push(Fault { at: name.span().start, wrong });
            continue;
        };
        let wrong = match (key.kind, value.get_ref()) {
            (Kind::Text, DeValue::String(_))
            | (Kind::Number, DeValue::Integer(_) | DeValue::Float(_))
            | (Kind::Switch, DeValue::Boolean(_))
            | (Kind::List, DeValue::Array(_)) => continue,
            (Kind::Entries(keys), DeValue::Array(entries)) => {
                for entry in entries.iter() {
                    match entry.get_ref() {
                        DeValue::Table(table) => check(entry.span().start, table, keys, faults),
                        _ => faults.push(Fault { at: entry.span().start, wrong: heading(key.name) }),
                    }
                }
                continue;
            }
            (Kind::Text, _) => format!("`{}` is a text: put it in quotes", key.name),
            (Kind::Number, _) => format!("`{}` is a number, without quotes and unit", key.name),
            (Kind::Switch, _) => format!("`{}` is true or false", key.name),
            (Kind::Entries(_), _) => heading(key.name),
            (Kind::List, _) => format!("`{}` is a list: [\"…\", \"…\"]", key.name),
        };
        faults.push(Fault { at: name.span().start, wrong });
    }
    for key in keys.iter().filter(|key| key.is_required && !table.contains_key(key.name)) {
        let example = match key.kind {
            Kind::Number => "…",
            Kind::List => "[\"…\"]",
            _ => "\"…\"",
        };
        faults.push(Fault { at, wrong: format!("`{}` is missing: say {0} = {example}", key.name) });
    }
}

fn heading(name: &str) -> String {
    format!("write [[{name}]] on a line of its own, and what belongs to it below")
}

//! Specification files of limits and fixes: TOML, read whole, with the line of whatever is wrong.

use std::{ops::Range, path::Path};

use serde::Deserialize;
use slipway_proto::v1;
use toml::{Spanned, de::DeTable};

use crate::{duration, error::Failure, input, names};

pub(crate) mod keys;

/// Longest file: some thousand limits.
const MOST: u64 = 1 << 20;

/// What a file says, and where.
#[derive(Debug)]
pub struct Specification {
    /// What is asked of the server.
    pub request: v1::ApplyLimitsRequest,
    text: String,
    limits: Vec<Place>,
    fixes: Vec<Place>,
}

/// Where an entry and its fields stand.
#[derive(Debug)]
struct Place {
    entry: Range<usize>,
    fields: Vec<(&'static str, Range<usize>)>,
}

/// The keys were looked at before (`keys`): what is not here is none.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    name: String,
    #[serde(default)]
    limit: Vec<Spanned<LimitEntry>>,
    #[serde(default)]
    fix: Vec<Spanned<FixEntry>>,
}

#[derive(Deserialize)]
struct LimitEntry {
    id: Option<Spanned<String>>,
    metric: Option<Spanned<String>>,
    above: Option<Spanned<f64>>,
    below: Option<Spanned<f64>>,
    /// The side that is bad, where nobody knows the bound.
    learn: Option<Spanned<String>>,
    factor: Option<Spanned<f64>>,
    unit: Option<Spanned<String>>,
    selector: Option<Spanned<String>>,
    component: Option<Spanned<String>>,
    part: Option<Spanned<String>>,
    #[serde(default)]
    consumable: bool,
    lead_time: Option<Spanned<String>>,
    horizon: Option<Spanned<String>>,
    failure_mode: Option<Spanned<String>>,
    severity: Option<Spanned<String>>,
    source: Option<Spanned<String>>,
}

#[derive(Deserialize)]
struct FixEntry {
    id: Option<Spanned<String>>,
    failure_mode: Option<Spanned<String>>,
    release: Option<Spanned<String>>,
    selector: Option<Spanned<String>>,
}

/// Something wrong at a place of the file.
pub(crate) struct Fault {
    /// Bytes before it.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) wrong: String,
}

impl Specification {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A file that cannot be read, is no TOML, or has fields and values that are none; with the line.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = input::read_text(path, MOST)?;
        Self::parse(text).map_err(|problem| {
            Failure::new(format!("{}: {problem}", path.display()))
                .hint("docs/limits.md shows what such a file holds; nothing was changed")
                .reason("LIMIT_INVALID")
        })
    }

    fn parse(text: String) -> Result<Self, String> {
        let no_toml = |error: toml::de::Error| error.to_string().trim_end().to_owned();
        let mut faults = keys::faults(&DeTable::parse(&text).map_err(no_toml)?);
        let file: File = match toml::from_str(&text) {
            Ok(file) => file,
            Err(_) if !faults.is_empty() => return Err(told(&text, faults)),
            Err(error) => return Err(no_toml(error)),
        };
        let limits: Vec<_> = file.limit.into_iter().map(|entry| limit(entry, &mut faults)).collect();
        let fixes: Vec<_> = file.fix.into_iter().map(fix).collect();
        if !faults.is_empty() {
            return Err(told(&text, faults));
        }
        let (limits, limit_places) = limits.into_iter().unzip();
        let (fixes, fix_places) = fixes.into_iter().unzip();
        let request = v1::ApplyLimitsRequest { set: file.name, limits, fixes, ..Default::default() };
        Ok(Self { request, text, limits: limit_places, fixes: fix_places })
    }

    /// What the server refused, with the lines of the fields it names, in the order of the file.
    pub fn refused(&self, path: &Path, violations: &[(String, String)]) -> Option<Failure> {
        let mut faults = Vec::new();
        for (field, wrong) in violations {
            faults.push(Fault { at: self.place(field)?, wrong: wrong.clone() });
        }
        if faults.is_empty() {
            return None;
        }
        let failure = Failure::new(format!("{}: {}", path.display(), told(&self.text, faults)));
        Some(
            failure
                .hint("correct them and apply the file again: nothing was changed")
                .reason("LIMIT_INVALID"),
        )
    }

    /// Where the field of the request stands in the file: `limits[2].metric`.
    fn place(&self, field: &str) -> Option<usize> {
        if field == "set" {
            return Some(self.text.find("name").unwrap_or(0));
        }
        let (list, rest) = field.split_once('[')?;
        let (index, field) = rest.split_once(']')?;
        let places = if list == "limits" { &self.limits } else { &self.fixes };
        let place = places.get(index.parse::<usize>().ok()?)?;
        let field = field.trim_start_matches('.');
        let at = place.fields.iter().find(|(name, _)| *name == field).map_or(&place.entry, |(_, at)| at);
        Some(at.start)
    }
}

/// The faults in the order of the file, each with its line and the text of it.
pub(crate) fn told(text: &str, mut faults: Vec<Fault>) -> String {
    faults.sort_by_key(|fault| fault.at);
    let lines: Vec<String> = faults
        .iter()
        .map(|fault| {
            let before = text.get(..fault.at).unwrap_or_default();
            let number = before.matches('\n').count() + 1;
            let line = text.lines().nth(number - 1).unwrap_or_default();
            format!("line {number}: {}\n  {}", fault.wrong, line.trim())
        })
        .collect();
    match lines.as_slice() {
        [one] => one.clone(),
        many => format!("{} faults\n{}", many.len(), many.join("\n")),
    }
}

fn limit(entry: Spanned<LimitEntry>, faults: &mut Vec<Fault>) -> (v1::Limit, Place) {
    let whole = entry.span();
    let entry = entry.into_inner();
    let mut place = Place { entry: whole.clone(), fields: Vec::new() };
    place.note("name", entry.id.as_ref());
    place.note("metric", entry.metric.as_ref());
    place.note("value", entry.above.as_ref().or(entry.below.as_ref()));
    place.note("learned", entry.factor.as_ref());
    place.note("unit", entry.unit.as_ref());
    place.note("selector", entry.selector.as_ref());
    place.note("component", entry.component.as_ref());
    place.note("part", entry.part.as_ref());
    place.note("lead_time", entry.lead_time.as_ref());
    place.note("horizon", entry.horizon.as_ref());
    place.note("failure_mode", entry.failure_mode.as_ref());
    place.note("source", entry.source.as_ref());
    let (value, below) = bound(&entry, &place).unwrap_or_else(|fault| {
        faults.push(fault);
        (0.0, false)
    });
    let learned = entry.learn.as_ref().map(|_| v1::LearnedLimit {
        factor: entry.factor.as_ref().map(|factor| *factor.get_ref()).unwrap_or_default(),
        ..v1::LearnedLimit::default()
    });
    let mut span = |text: Option<Spanned<String>>| {
        let text = text?;
        match duration::parse(text.get_ref()) {
            Ok(span) => Some(duration::to_wire(span)),
            Err(wrong) => {
                faults.push(Fault { at: text.span().start, wrong });
                None
            }
        }
    };
    let (lead_time, horizon) = (span(entry.lead_time), span(entry.horizon));
    let severity = match entry.severity.as_ref().map(|word| word.get_ref().as_str()) {
        None if learned.is_some() => v1::AlertSeverity::Unspecified,
        None | Some("critical") => v1::AlertSeverity::Critical,
        Some("warning") => v1::AlertSeverity::Warning,
        Some("info") => v1::AlertSeverity::Info,
        Some(other) => {
            let at = entry.severity.as_ref().map_or(whole.start, |word| word.span().start);
            faults.push(Fault { at, wrong: format!("severity {other:?} is not info, warning or critical") });
            v1::AlertSeverity::Critical
        }
    };
    let limit = v1::Limit {
        name: names::full("limits", &text(entry.id)),
        selector: text(entry.selector),
        component: text(entry.component),
        metric: text(entry.metric),
        value,
        below,
        consumable: entry.consumable,
        lead_time,
        horizon,
        part: text(entry.part),
        unit: text(entry.unit),
        failure_mode: text(entry.failure_mode),
        severity: severity.into(),
        source: text(entry.source),
        learned,
        ..v1::Limit::default()
    };
    (limit, place)
}

/// The bound, and whether small values are bad.
fn bound(entry: &LimitEntry, place: &Place) -> Result<(f64, bool), Fault> {
    let fault = |at: usize, wrong: &str| Err(Fault { at, wrong: wrong.to_owned() });
    if let (None, Some(factor)) = (&entry.learn, &entry.factor) {
        return fault(
            factor.span().start,
            "factor is for bounds that are learned: say learn = \"above\" as well",
        );
    }
    match (&entry.above, &entry.below, &entry.learn) {
        (Some(above), None, None) => Ok((*above.get_ref(), false)),
        (None, Some(below), None) => Ok((*below.get_ref(), true)),
        (None, None, Some(learn)) => match learn.get_ref().as_str() {
            "above" => Ok((0.0, false)),
            "below" => Ok((0.0, true)),
            _ => fault(
                learn.span().start,
                "say learn = \"above\" (large values are bad) or learn = \"below\" (small ones are)",
            ),
        },
        _ => fault(
            place.at("value"),
            "say either above = NUMBER (large values are bad) or below = NUMBER (small ones are), or learn = \"above\" \
             or \"below\" where nobody knows a number",
        ),
    }
}

fn fix(entry: Spanned<FixEntry>) -> (v1::Fix, Place) {
    let mut place = Place { entry: entry.span(), fields: Vec::new() };
    let entry = entry.into_inner();
    place.note("name", entry.id.as_ref());
    place.note("failure_mode", entry.failure_mode.as_ref());
    place.note("release", entry.release.as_ref());
    place.note("selector", entry.selector.as_ref());
    let fix = v1::Fix {
        name: names::full("fixes", &text(entry.id)),
        failure_mode: text(entry.failure_mode),
        release: names::full("releases", &text(entry.release)),
        selector: text(entry.selector),
        managed_by: String::new(),
    };
    (fix, place)
}

fn text(text: Option<Spanned<String>>) -> String {
    text.map(Spanned::into_inner).unwrap_or_default()
}

impl Place {
    fn note<T>(&mut self, field: &'static str, value: Option<&Spanned<T>>) {
        self.fields.extend(value.map(|value| (field, value.span())));
    }

    fn at(&self, field: &str) -> usize {
        self.fields.iter().find(|(name, _)| *name == field).map_or(&self.entry, |(_, at)| at).start
    }
}

#[cfg(test)]
#[path = "specification_tests.rs"]
mod tests;

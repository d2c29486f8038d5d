//! Specification files of limits and fixes: TOML, read whole, with the line of whatever is wrong.

use std::{ops::Range, path::Path};

use serde::Deserialize;
use slipway_proto::v1;
use toml::Spanned;

use crate::{duration, error::Failure, input, names};

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    limit: Vec<Spanned<LimitEntry>>,
    #[serde(default)]
    fix: Vec<Spanned<FixEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitEntry {
    id: Spanned<String>,
    metric: Spanned<String>,
    #[serde(default)]
    above: Option<Spanned<f64>>,
    #[serde(default)]
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
#[serde(deny_unknown_fields)]
struct FixEntry {
    id: Spanned<String>,
    failure_mode: Spanned<String>,
    release: Spanned<String>,
    selector: Option<Spanned<String>>,
}

/// Something wrong at a place of the file.
struct Fault {
    at: usize,
    wrong: String,
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
        let file: File = toml::from_str(&text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let mut faults = Vec::new();
        let limits: Vec<_> = file.limit.into_iter().map(|entry| limit(entry, &mut faults)).collect();
        let fixes: Vec<_> = file.fix.into_iter().map(fix).collect();
        if !faults.is_empty() {
            return Err(told(&text, &faults));
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
        faults.sort_by_key(|fault| fault.at);
        let failure = Failure::new(format!("{}: {}", path.display(), told(&self.text, &faults)));
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

/// The faults, each with its line and the text of it.
fn told(text: &str, faults: &[Fault]) -> String {
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
    place.note("name", Some(&entry.id));
    place.note("metric", Some(&entry.metric));
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
    let text = |text: Option<Spanned<String>>| text.map(Spanned::into_inner).unwrap_or_default();
    let limit = v1::Limit {
        name: names::full("limits", entry.id.get_ref()),
        selector: text(entry.selector),
        component: text(entry.component),
        metric: entry.metric.into_inner(),
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
    place.note("name", Some(&entry.id));
    place.note("failure_mode", Some(&entry.failure_mode));
    place.note("release", Some(&entry.release));
    place.note("selector", entry.selector.as_ref());
    let fix = v1::Fix {
        name: names::full("fixes", entry.id.get_ref()),
        failure_mode: entry.failure_mode.into_inner(),
        release: names::full("releases", entry.release.get_ref()),
        selector: entry.selector.map(Spanned::into_inner).unwrap_or_default(),
        managed_by: String::new(),
    };
    (fix, place)
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
mod tests {
    use super::*;

    const FILE: &str = r#"name = "pumps"

[[limit]]
id = "air-filter"
metric = "hw.filter.differential_pressure"
above = 250
unit = "Pa"
lead_time = "5d"
failure_mode = "clogged"

[[limit]]
id = "salt"
metric = "pump.salt.level"
below = 10.5
consumable = true
severity = "warning"

[[fix]]
id = "valve-leak"
failure_mode = "leak"
release = "pump/2.1.0"
"#;

    #[test]
    fn a_file_is_what_is_asked_of_the_server() {
        let request = Specification::parse(FILE.to_owned()).unwrap().request;
        assert_eq!((request.set.as_str(), request.limits.len(), request.fixes.len()), ("pumps", 2, 1));
        let air = &request.limits[0];
        assert_eq!((air.name.as_str(), air.value, air.below), ("limits/air-filter", 250.0, false));
        assert_eq!(air.lead_time, Some(prost_types::Duration { seconds: 432_000, nanos: 0 }));
        assert_eq!(air.severity(), v1::AlertSeverity::Critical);
        let salt = &request.limits[1];
        assert_eq!((salt.value, salt.below, salt.consumable), (10.5, true, true));
        assert_eq!(salt.severity(), v1::AlertSeverity::Warning);
        assert_eq!(request.fixes[0].release, "releases/pump/2.1.0");
    }

    #[test]
    fn says_all_that_is_wrong_with_its_line() {
        let bad = FILE.replace("lead_time = \"5d\"", "lead_time = \"5 days\"").replace("below = 10.5\n", "");
        let problem = Specification::parse(bad).unwrap_err();
        assert!(problem.starts_with("2 faults\nline 8: "), "{problem}");
        assert!(problem.contains("\n  lead_time = \"5 days\"\nline 11: say either above"), "{problem}");
        let unknown = Specification::parse(FILE.replace("unit", "units")).unwrap_err();
        assert!(unknown.contains("line 7") && unknown.contains("unknown field `units`"), "{unknown}");
    }

    #[test]
    fn a_bound_may_be_left_to_be_learned() {
        let learned = FILE.replace("above = 250", "learn = \"below\"\nfactor = 4");
        let request = Specification::parse(learned).unwrap().request;
        let air = &request.limits[0];
        assert_eq!((air.value, air.below, air.severity()), (0.0, true, v1::AlertSeverity::Unspecified));
        assert_eq!(air.learned.as_ref().unwrap().factor, 4.0);
        for (wrong, said) in [
            ("above = 250\nlearn = \"above\"", "line 6: say either above"),
            ("learn = \"high\"", "line 6: say learn = "),
            ("above = 250\nfactor = 4", "line 7: factor is for bounds"),
        ] {
            let problem = Specification::parse(FILE.replace("above = 250", wrong)).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
    }

    #[test]
    fn what_the_server_refuses_gets_its_line() {
        let file = Specification::parse(FILE.to_owned()).unwrap();
        let violation = |field: &str| (field.to_owned(), "is wrong".to_owned());
        let all = [violation("fixes[0].release"), violation("limits[1].metric"), violation("set")];
        let failure = file.refused(Path::new("pumps.toml"), &all).unwrap().to_string();
        let expected = "error: pumps.toml: 3 faults\nline 1: is wrong\n  name = \"pumps\"\n\
            line 13: is wrong\n  metric = \"pump.salt.level\"\nline 21: is wrong\n  release = \"pump/2.1.0\"\n";
        assert!(failure.starts_with(expected), "{failure}");
        assert!(file.refused(Path::new("pumps.toml"), &[violation("page_size")]).is_none());
    }
}

//! Files of wear models: TOML, with the line of whatever is wrong, and the lives that go with them.

use std::path::Path;

use serde::Deserialize;
use slipway_proto::v1;
use toml::{Spanned, de::DeTable};

use crate::{
    duration,
    error::Failure,
    input, names,
    specification::{Fault, keys, told},
};

pub mod lives;

/// What a file says, and where.
#[derive(Debug)]
pub struct WearFile {
    /// What is asked of the server.
    pub model: v1::WearModel,
    text: String,
    /// Where its fields stand, by their paths in the message.
    places: Vec<(String, usize)>,
}

/// The keys were looked at before (`keys`): what is not here is none.
#[derive(Deserialize)]
struct File {
    id: Spanned<String>,
    selector: Option<Spanned<String>>,
    component: Spanned<String>,
    sensors: Spanned<Vec<Spanned<SensorEntry>>>,
    step: Spanned<String>,
    horizon: Spanned<u32>,
    part: Option<Spanned<String>>,
    failure_mode: Option<Spanned<String>>,
    lead_time: Option<Spanned<String>>,
    severity: Option<Spanned<String>>,
    source: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a sensor is \"METRIC\" or { metric = \"METRIC\", unit = \"UNIT\" }")]
enum SensorEntry {
    Metric(String),
    WithUnit(WithUnit),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithUnit {
    metric: String,
    #[serde(default)]
    unit: String,
}

impl WearFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A file that cannot be read, is no TOML, or has fields and values that are none; with the line.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = input::read_text(path, input::SMALL)?;
        Self::parse(text).map_err(|problem| {
            Failure::new(format!("{}: {problem}", path.display()))
                .hint("docs/wear.md shows what such a file holds; nothing was changed")
                .reason("WEAR_MODEL_INVALID")
        })
    }

    fn parse(text: String) -> Result<Self, String> {
        let no_toml = |error: toml::de::Error| error.to_string().trim_end().to_owned();
        let mut faults = keys::wear_faults(&DeTable::parse(&text).map_err(no_toml)?);
        let file: File = match toml::from_str(&text) {
            Ok(file) => file,
            Err(_) if !faults.is_empty() => return Err(told(&text, faults)),
            Err(error) => return Err(no_toml(error)),
        };
        let mut places = Vec::new();
        let mut note = |field: &str, at: usize| places.push((field.to_owned(), at));
        note("name", file.id.span().start);
        note("component", file.component.span().start);
        note("sensors", file.sensors.span().start);
        note("step", file.step.span().start);
        note("horizon", file.horizon.span().start);
        for (field, value) in [
            ("selector", &file.selector),
            ("part", &file.part),
            ("failure_mode", &file.failure_mode),
            ("lead_time", &file.lead_time),
            ("source", &file.source),
        ] {
            note(field, value.as_ref().map_or(0, |value| value.span().start));
        }
        for (at, sensor) in file.sensors.get_ref().iter().enumerate() {
            note(&format!("sensors[{at}]"), sensor.span().start);
        }
        let severity = severity(file.severity.as_ref()).unwrap_or_else(|fault| {
            faults.push(fault);
            v1::AlertSeverity::Unspecified
        });
        let mut span = |text: &Spanned<String>| match duration::parse(text.get_ref()) {
            Ok(span) => Some(duration::to_wire(span)),
            Err(wrong) => {
                faults.push(Fault { at: text.span().start, wrong });
                None
            }
        };
        let step = span(&file.step);
        let lead_time = file.lead_time.as_ref().and_then(span);
        if !faults.is_empty() {
            return Err(told(&text, faults));
        }
        let words = |text: Option<Spanned<String>>| text.map(Spanned::into_inner).unwrap_or_default();
        let sensor = |entry: Spanned<SensorEntry>| match entry.into_inner() {
            SensorEntry::Metric(metric) => v1::WearSensor { metric, unit: String::new() },
            SensorEntry::WithUnit(WithUnit { metric, unit }) => v1::WearSensor { metric, unit },
        };
        let model = v1::WearModel {
            name: names::full("wearModels", file.id.get_ref()),
            selector: words(file.selector),
            component: file.component.into_inner(),
            sensors: file.sensors.into_inner().into_iter().map(sensor).collect(),
            step,
            horizon: file.horizon.into_inner(),
            part: words(file.part),
            failure_mode: words(file.failure_mode),
            lead_time,
            severity: severity.into(),
            source: words(file.source),
            ..v1::WearModel::default()
        };
        Ok(Self { model, text, places })
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
        let hint = "correct them and apply the file again: nothing was changed";
        Some(failure.hint(hint).reason("WEAR_MODEL_INVALID"))
    }

    /// Where the field of the request stands in the file: `wear_model.sensors[2].metric`.
    fn place(&self, field: &str) -> Option<usize> {
        let field = field.strip_prefix("wear_model.")?;
        let whole = field.split('.').next().unwrap_or(field);
        self.places.iter().find(|(known, _)| known == whole).map(|(_, at)| *at)
    }
}

fn severity(word: Option<&Spanned<String>>) -> Result<v1::AlertSeverity, Fault> {
    let Some(word) = word else { return Ok(v1::AlertSeverity::Critical) };
    match word.get_ref().as_str() {
        "critical" => Ok(v1::AlertSeverity::Critical),
        "warning" => Ok(v1::AlertSeverity::Warning),
        "info" => Ok(v1::AlertSeverity::Info),
        other => {
            let wrong = format!("severity {other:?} is not info, warning or critical");
            Err(Fault { at: word.span().start, wrong })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAN: &str = r#"id = "fan"
selector = "hardware = \"gw-a\""
component = "fan"
sensors = ["fan.speed", { metric = "fan.current", unit = "A" }]
step = "1h"
horizon = 125
part = "exhaust fan"
failure_mode = "bearing"
lead_time = "2d"
source = "test bench, 2025"
"#;

    #[test]
    fn a_file_is_what_it_says() {
        let model = WearFile::parse(FAN.to_owned()).unwrap().model;
        assert_eq!((model.name.as_str(), model.horizon), ("wearModels/fan", 125));
        assert_eq!(model.step.unwrap().seconds, 3600);
        assert_eq!(model.lead_time.unwrap().seconds, 2 * 86_400);
        let sensors: Vec<_> = model.sensors.iter().map(|s| (s.metric.as_str(), s.unit.as_str())).collect();
        assert_eq!(sensors, [("fan.speed", ""), ("fan.current", "A")]);
        assert_eq!(model.severity(), v1::AlertSeverity::Critical);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (before, after, line, wrong) in [
            ("horizon = 125", "horizon = \"long\"", 6, "`horizon` is a number"),
            ("id = \"fan\"\n", "", 1, "`id` is missing"),
            ("part =", "parts =", 7, "there is no `parts` here"),
            ("step = \"1h\"", "step = \"1 hour\"", 5, "1 hour"),
            ("source =", "severity = \"bad\"\nsource =", 10, "is not info, warning or critical"),
            ("\"fan.speed\"", "7", 4, "a sensor is"),
        ] {
            let problem = WearFile::parse(FAN.replace(before, after)).unwrap_err();
            assert!(problem.contains(wrong), "{problem}");
            assert!(problem.contains(&format!("line {line}")), "{problem}");
        }
    }

    #[test]
    fn what_the_server_refuses_is_told_with_its_line() {
        let file = WearFile::parse(FAN.to_owned()).unwrap();
        let violation = |field: &str| (format!("wear_model.{field}"), "no good".to_owned());
        let refused =
            |field: &str| file.refused(Path::new("f.toml"), &[violation(field)]).unwrap().to_string();
        assert!(refused("sensors[1].unit").contains("f.toml: line 4: no good"));
        assert!(refused("lead_time").contains("line 9"));
        assert!(file.refused(Path::new("f.toml"), &[("lives".to_owned(), "no".to_owned())]).is_none());
    }
}

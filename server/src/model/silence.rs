//! Silences: which alerts wake nobody, until when, and why.

use std::borrow::Cow;

use super::{
    alert::{Alert, AlertState, Kind, Severity},
    filter::{Field, Filter, Subject},
    refusal::{Reason, Refusal},
    text::is_hidden,
    time::{DAY, Timestamp},
};

/// What a silence may match: fields of the alert, and of the device it is about.
pub const MATCHER_FIELDS: &[Field] = &[
    Field::words("state", AlertState::words),
    Field::text("device"),
    Field::text("component"),
    Field::words("kind", Kind::words),
    Field::words("severity", Severity::words),
    Field::text("metric"),
    Field::text("failure_mode"),
    Field::text("product"),
    Field::text("hardware"),
    Field::version("version"),
    Field::text("labels."),
];
/// A silence that lasts longer is one that somebody forgot: a season's maintenance fits.
pub const LONGEST: std::time::Duration = DAY.saturating_mul(92);
/// All of them are held against every alert that changes.
pub const MAX_SILENCES: usize = 1000;
/// Longest reason, in bytes: a sentence or two.
const MAX_REASON: usize = 500;

/// One silence.
#[derive(Clone, Debug)]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// Which alerts.
    pub matcher: Filter,
    /// Why, for whoever asks.
    pub reason: String,
    /// From when.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Until when.
    pub ends_at: Timestamp,
}

impl Silence {
    /// Reads a matcher; the empty one is refused: it would silence everything by a slip of the hand.
    pub fn matcher(text: &str) -> Result<Filter, Refusal> {
        let matcher = Filter::parse(text, MATCHER_FIELDS, Reason::FilterInvalid)
            .map_err(|refusal| refusal.field("silence.matcher"))?;
        if matcher.is_empty() {
            let hint =
                "say which alerts, for example 'labels.site = \"north\"'; 'severity:*' matches all of them";
            return Err(invalid("matcher", "a silence without a matcher", hint));
        }
        Ok(matcher)
    }

    /// Refuses what no silence may be, naming the field.
    pub fn check(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.reason.trim().is_empty() {
            let hint = "say why, for whoever wonders at night: the work that is going on, the ticket";
            return Err(invalid("reason", "a silence without a reason", hint));
        }
        if self.reason.len() > MAX_REASON || self.reason.chars().any(is_hidden) {
            let hint = "use at most 500 bytes, all of them of characters that can be seen";
            return Err(invalid("reason", "the reason does not fit a sentence or two", hint));
        }
        if self.ends_at <= now {
            return Err(invalid(
                "end_time",
                "the silence is over before it begins",
                "give an end in the future",
            ));
        }
        if self.ends_at.since(now) > LONGEST {
            let hint = "end it within 92 days, and extend it while the reason stands; what nobody wants to hear of at all \
                        is a limit to be changed";
            return Err(invalid("end_time", "the silence lasts longer than anybody remembers it", hint));
        }
        Ok(())
    }

    /// Whether it counts now.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        now < self.ends_at
    }

    /// Whether it is about this alert of this device.
    pub fn covers(&self, alert: &Alert, device: Option<&impl Subject>) -> bool {
        self.matcher.matches(&Suspect { alert, device })
    }
}

fn invalid(field: &str, wrong: &str, hint: &str) -> Refusal {
    Refusal::new(Reason::SilenceInvalid, wrong, hint).field(format!("silence.{field}"))
}

/// An alert with the device it is about.
struct Suspect<'a, D> {
    alert: &'a Alert,
    device: Option<&'a D>,
}

impl<D: Subject> Subject for Suspect<'_, D> {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        match path {
            "product" | "hardware" | "version" => self.device?.field(path),
            _ if path.starts_with("labels.") => self.device?.field(path),
            _ => self.alert.field(path),
        }
    }
}

impl Subject for Alert {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        Some(match path {
            "state" => self.state.as_str().into(),
            "device" => self.device_id.as_str().into(),
            "component" => self.component.as_str().into(),
            "kind" => self.kind.as_str().into(),
            "severity" => self.severity.as_str().into(),
            "metric" => self.evidence.metric.as_str().into(),
            "failure_mode" => self.failure_mode.as_str().into(),
            "suppressed_by" => self.suppressed_by.as_str().into(),
            _ => return None,
        })
    }
}

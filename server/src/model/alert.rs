//! Alerts: what a service desk acts on, and how one comes, changes and goes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slipway_insight::{Finding, Forecast, NoForecast, Standing};

use super::{
    alert_text,
    limit::Limit,
    refusal::{Reason, Refusal},
    time::{DAY, Timestamp, span_millis},
};

/// An alert whose cause returns within this opens again under its id.
pub const REOPEN_WITHIN: Duration = DAY;
/// To act within this is a warning; later is something to plan.
const SOON: Duration = DAY.saturating_mul(14);

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every one there is, as it is written.
            pub fn words() -> Vec<&'static str> {
                vec![$($word,)*]
            }

            /// As it is stored and filtered by.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// Reads what `as_str` wrote.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some($name::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// Where an alert stands.
    AlertState {
        /// Nobody has taken it yet.
        Open = "open",
        /// Somebody takes care.
        Acknowledged = "acknowledged",
        /// The cause is gone.
        Resolved = "resolved",
    }
}

words! {
    /// How urgent; in rising order.
    Severity {
        /// Plan it.
        Info = "info",
        /// Act before the date.
        Warning = "warning",
        /// Act now.
        Critical = "critical",
    }
}

words! {
    /// What it is about.
    Kind {
        /// A limit is crossed now.
        StateDetection = "state_detection",
        /// A limit will be crossed.
        Prognosis = "prognosis",
        /// Something runs out, or has run out.
        Consumable = "consumable",
        /// Readings are unlike what the series is used to.
        Anomaly = "anomaly",
        /// Many devices of one sort show the same.
        Fleet = "fleet",
        /// Nothing is heard of it any more.
        Offline = "offline",
    }
}

words! {
    /// NAMUR NE 107 status.
    Health {
        /// The part does not work.
        Failure = "failure",
        /// The part is being worked on.
        CheckFunction = "check_function",
        /// Outside what it is made for.
        OutOfSpecification = "out_of_specification",
        /// Works, and will need care.
        MaintenanceRequired = "maintenance_required",
    }
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Metric.
    pub metric: String,
    /// UCUM unit.
    pub unit: String,
    /// Last value.
    pub value: f64,
    /// When it was read, ms since the epoch.
    pub at_ms: i64,
    /// The limit.
    pub limit: f64,
    /// Change per day by the trend.
    pub slope_per_day: f64,
    /// Readings the trend stands on.
    pub readings: u32,
}

/// The living thing: one per device, component and cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its id.
    pub id: String,
    /// The device; empty when it is about several.
    pub device_id: String,
    /// Which devices, when it is about several; empty otherwise.
    pub selector: String,
    /// Part of the device.
    pub component: String,
    /// What makes two findings the same alert: the id of the limit, or `wear/ID` of a wear model, `anomaly/METRIC`,
    /// `fleet/COHORT/METRIC`, `offline`.
    pub cause: String,
    /// What is going wrong, in a word that rollouts select by and releases fix; empty when not known.
    pub failure_mode: String,
    /// What it is about.
    pub kind: Kind,
    /// Life-cycle.
    pub state: AlertState,
    /// Urgency.
    pub severity: Severity,
    /// NE 107.
    pub health: Health,
    /// What is the matter, one sentence.
    pub summary: String,
    /// What to do, one sentence.
    pub recommendation: String,
    /// By when.
    pub act_by: Option<Timestamp>,
    /// When the limit will be crossed; none for what is crossed.
    pub forecast: Option<Forecast>,
    /// What was seen.
    pub evidence: Evidence,
    /// Why nobody is woken: `silences/ID`, or `alerts/ID` of the outage that explains it; empty
    /// when they are.
    pub suppressed_by: String,
    /// Those who do not ask for suppressed alerts have heard of it, so they hear its end too.
    pub told: bool,
    /// The release that fixes it, `releases/PRODUCT/VERSION`, while the device runs an older one.
    pub update_to: String,
    /// Who takes care.
    pub acknowledged_by: String,
    /// What who took care, or put it right, wrote last; empty when nothing.
    pub note: String,
    /// When it first opened.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
    /// Grows by one with every change.
    pub generation: i64,
}

/// Who acknowledged an alert, to those who may not know.
pub const SOMEBODY_ELSE: &str = "somebody else";

/// A finding and what it is about.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The device.
    pub device_id: &'a str,
    /// The component.
    pub component: &'a str,
    /// The limit.
    pub limit: &'a Limit,
    /// What was seen.
    pub evidence: &'a Evidence,
    /// What it means.
    pub finding: &'a Finding,
}

impl Alert {
    /// Whether it is not resolved.
    pub fn is_living(&self) -> bool {
        self.state != AlertState::Resolved
    }

    /// Whether it came of a limit.
    pub fn is_of_limit(&self) -> bool {
        self.is_of_part() && self.wear_model().is_none()
    }

    /// What the forecaster said last, for its hysteresis.
    pub fn standing(&self) -> Standing {
        match (self.is_living(), &self.forecast) {
            (false, _) => Standing::Clear,
            (true, Some(_)) => Standing::Expected,
            (true, None) => Standing::Crossed,
        }
    }

    /// What to do: the recommendation, and the release that ends it where one is known.
    pub fn advice(&self) -> String {
        match self.update_to.strip_prefix("releases/").and_then(|release| release.split_once('/')) {
            None => self.recommendation.clone(),
            Some((product, version)) => {
                format!("{} Update to {product} {version} first: that release fixes it.", self.recommendation)
            }
        }
    }

    /// Changes with every change.
    pub fn etag(&self) -> String {
        format!("{:x}", self.generation)
    }

    /// Somebody takes care. Repeated by the same it changes nothing.
    pub fn acknowledge(&self, by: &str, now: Timestamp) -> Result<Option<Alert>, Refusal> {
        match self.state {
            AlertState::Open => Ok(Some(Alert {
                state: AlertState::Acknowledged,
                acknowledged_by: by.to_owned(),
                ..self.changed(now)
            })),
            AlertState::Acknowledged if self.acknowledged_by == by => Ok(None),
            AlertState::Acknowledged => Err(self.refused(
                format!("alert {} is already acknowledged by {}", self.id, self.acknowledged_by),
                "talk to them, or resolve it when the cause is gone",
            )),
            AlertState::Resolved => Err(self.refused(
                format!("alert {} is resolved", self.id),
                "nothing is left to do; if the cause returns within a day it opens again",
            )),
        }
    }

    /// The cause is gone, somebody says.
    pub fn resolve(&self, now: Timestamp) -> Result<Alert, Refusal> {
        if self.is_living() {
            return Ok(self.cleared("Resolved by hand; it opens again if the cause shows again.", now));
        }
        Err(self.refused(
            format!("alert {} is already resolved", self.id),
            "nothing is left to do; if the cause returns within a day it opens again",
        ))
    }

    /// The cause is gone; `outcome` takes the place of the recommendation.
    pub fn cleared(&self, outcome: &str, now: Timestamp) -> Alert {
        Alert {
            state: AlertState::Resolved,
            resolved_at: Some(now),
            act_by: None,
            update_to: String::new(),
            // Who was told of it is told that it is over.
            suppressed_by: if self.told { String::new() } else { self.suppressed_by.clone() },
            recommendation: outcome.to_owned(),
            ..self.changed(now)
        }
    }

    /// Whether its cause, if it shows again, opens it again under its id.
    pub(super) fn reopens(&self, now: Timestamp) -> bool {
        self.resolved_at.is_some_and(|at| now.since(at) < REOPEN_WITHIN || at > now)
    }

    pub(super) fn changed(&self, now: Timestamp) -> Alert {
        Alert { updated_at: now, generation: self.generation + 1, ..self.clone() }
    }

    fn refused(&self, message: String, hint: &str) -> Refusal {
        Refusal::new(Reason::AlertStateRefused, message, hint).fact("state", self.state.as_str())
    }
}

/// What an observation makes of the newest alert of its device, component and cause: the alert as
/// it is to be from now on, or none when nothing changed that anybody would act on.
///
/// `fresh_id` is used when a new alert opens.
pub fn advance(
    current: Option<&Alert>,
    seen: &Observation,
    fresh_id: String,
    now: Timestamp,
) -> Option<Alert> {
    let living = current.filter(|alert| alert.is_living());
    let (finding, forecast) = match seen.finding {
        Finding::Crossed { .. } => (seen.finding, None),
        Finding::Expected(forecast) => (seen.finding, Some(forecast.clone())),
        // Right after a restart nobody knows; what was said stays said.
        Finding::Clear(NoForecast::TooFewReadings) => return None,
        Finding::Clear(reason) => {
            return living.map(|alert| {
                let outcome = format!("Nothing to do any more: {reason}.");
                Alert { evidence: seen.evidence.clone(), ..alert.cleared(&outcome, now) }
            });
        }
    };
    let reopened = current.filter(|alert| alert.reopens(now));
    let act_by = forecast
        .as_ref()
        .map(|forecast| Timestamp::from_millis(forecast.p10_ms).before(seen.limit.lead_time));
    let text = alert_text::write(seen, finding, act_by, now);
    let next = Alert {
        id: living.or(reopened).map_or(fresh_id, |alert| alert.id.clone()),
        device_id: seen.device_id.to_owned(),
        selector: String::new(),
        component: seen.component.to_owned(),
        cause: seen.limit.id.clone(),
        failure_mode: seen.limit.failure_mode.clone(),
        kind: kind(seen.limit, finding),
        state: living.map_or(AlertState::Open, |alert| alert.state),
        severity: severity(act_by, living.map(|alert| alert.severity), now).min(seen.limit.severity),
        health: health(seen.limit, finding),
        summary: text.summary,
        recommendation: text.recommendation,
        act_by,
        forecast,
        evidence: seen.evidence.clone(),
        suppressed_by: living.map(|alert| alert.suppressed_by.clone()).unwrap_or_default(),
        told: living.is_none_or(|alert| alert.told),
        update_to: living.map(|alert| alert.update_to.clone()).unwrap_or_default(),
        acknowledged_by: living.map(|alert| alert.acknowledged_by.clone()).unwrap_or_default(),
        note: living.map(|alert| alert.note.clone()).unwrap_or_default(),
        created_at: living.or(reopened).map_or(now, |alert| alert.created_at),
        updated_at: now,
        resolved_at: None,
        generation: living.or(reopened).map_or(1, |alert| alert.generation + 1),
    };
    match living {
        Some(alert) if !worth_saying(alert, &next, now) => None,
        _ => Some(next),
    }
}

fn kind(limit: &Limit, finding: &Finding) -> Kind {
    match finding {
        _ if limit.consumable => Kind::Consumable,
        Finding::Crossed { .. } => Kind::StateDetection,
        Finding::Expected(_) | Finding::Clear(_) => Kind::Prognosis,
    }
}

fn health(limit: &Limit, finding: &Finding) -> Health {
    match finding {
        Finding::Crossed { .. } if !limit.consumable => Health::OutOfSpecification,
        _ => Health::MaintenanceRequired,
    }
}

/// By the date to act; none means the limit is crossed. It falls only when the date has moved
/// clearly away, so that noise around a border does not change it to and fro.
pub(super) fn severity(act_by: Option<Timestamp>, before: Option<Severity>, now: Timestamp) -> Severity {
    let at = |act_by: Timestamp| match act_by {
        _ if act_by <= now => Severity::Critical,
        _ if act_by.since(now) <= SOON => Severity::Warning,
        _ => Severity::Info,
    };
    let Some(act_by) = act_by else { return Severity::Critical };
    let present = at(act_by);
    match before {
        Some(before) if before > present => at(act_by.before(DAY)).min(before),
        _ => present,
    }
}

/// Whether a client would act on the difference.
pub(super) fn worth_saying(before: &Alert, after: &Alert, now: Timestamp) -> bool {
    let claims = |alert: &Alert| alert.forecast.as_ref().map(|forecast| forecast.percent.is_some());
    let moved = match (before.act_by, after.act_by) {
        (Some(old), Some(new)) => {
            let slack = span_millis(old.since(now) / 10).max(span_millis(DAY));
            (new.millis() - old.millis()).abs() > slack
        }
        (old, new) => old.is_some() != new.is_some(),
    };
    moved
        || before.kind != after.kind
        || before.severity != after.severity
        || before.health != after.health
        || before.failure_mode != after.failure_mode
        || before.evidence.limit.to_bits() != after.evidence.limit.to_bits()
        || (claims(before) == Some(false) && claims(after) == Some(true))
}

#[cfg(test)]
#[path = "alert_tests.rs"]
mod tests;

//! What is said of a part whose end a wear model foretells.

use slipway_insight::{
    ByLives, DAY_MS, Forecast,
    cohort::{Remaining, Shows, follow::Follower},
};

use super::{
    alert::{Alert, Evidence, Health, Kind, severity},
    alert_raise::{Raised, clear, raise},
    alert_text::{day, when},
    time::{Timestamp, span_millis},
    wear::{CALM_STEPS, CAUSE, Sensor, WearModel},
};

impl Alert {
    /// Whether it says that a part is worn, or will be: it came of a limit or of a wear model.
    pub fn is_of_part(&self) -> bool {
        matches!(self.kind, Kind::StateDetection | Kind::Prognosis | Kind::Consumable)
    }

    /// The id of the wear model that it came of.
    pub fn wear_model(&self) -> Option<&str> {
        self.cause.strip_prefix(CAUSE)
    }
}

/// A part that is followed, and has just made a step.
#[derive(Clone, Copy, Debug)]
pub struct Followed<'a> {
    /// The device.
    pub device_id: &'a str,
    /// The model that follows it.
    pub model: &'a WearModel,
    /// As the step left it.
    pub part: &'a Follower,
}

impl Followed<'_> {
    /// What the step makes of the newest alert of the part and the model: the alert as it is to be from now on, or none
    /// when nothing changed that anybody would act on. `fresh_id` is used when a new alert opens.
    pub fn advance(&self, current: Option<&Alert>, fresh_id: String, now: Timestamp) -> Option<Alert> {
        let told = self.part.remaining(&self.model.cohort)?;
        let living = current.filter(|alert| alert.is_living());
        if living.is_some() && self.part.calm() >= CALM_STEPS {
            let outcome = "Nothing to do any more: its sensors say that it has longer to go.";
            return clear(current, outcome, now);
        }
        if living.is_none() && !self.model.terms.is_near(told.p10) {
            return None;
        }
        let evidence = self.evidence(living)?;
        let forecast = self.forecast(&told)?;
        let terms = &self.model.terms;
        let act_by = Timestamp::from_millis(forecast.p10_ms);
        let urgency = severity(Some(act_by), living.map(|alert| alert.severity), now).min(terms.severity);
        let cause = terms.cause();
        let raised = Raised {
            device_id: self.device_id,
            selector: "",
            component: &terms.component,
            cause: &cause,
            kind: Kind::Prognosis,
            failure_mode: &terms.failure_mode,
            severity: urgency,
            health: Health::MaintenanceRequired,
            summary: self.summary(&forecast, now),
            recommendation: self.recommendation(act_by, now),
            act_by: Some(act_by),
            forecast: Some(forecast),
            evidence,
        };
        raise(current, &raised, fresh_id, now)
    }

    /// In dates, from the end of the last step on.
    fn forecast(&self, told: &Remaining) -> Option<Forecast> {
        let (terms, cohort) = (&self.model.terms, &self.model.cohort);
        let from = self.part.stepped_at(terms.step_ms())?;
        let at = |steps: f64| from.saturating_add(terms.millis(steps));
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let measured = cohort.measured();
        let steps = self.part.unit().readings();
        Some(Forecast {
            p10_ms: at(told.p10),
            p50_ms: at(told.p50),
            p90_ms: told.p90.map(at),
            percent: Some(percent(measured.coverage)),
            slope_per_day: 0.0,
            slope_error: 0.0,
            spread: 0.0,
            readings: steps,
            span_days: days(terms.millis(f64::from(steps))),
            half_life_days: 0.0,
            comparable: count(cohort.lives()),
            by_lives: Some(ByLives {
                sensors: count(cohort.shows().count()),
                error_days: days(terms.millis(measured.error)),
            }),
        })
    }

    /// The sensor that has moved furthest when it was first told; later that same one, so that nothing seems to change when
    /// others move as far.
    fn evidence(&self, living: Option<&Alert>) -> Option<Evidence> {
        let sensors = &self.model.terms.sensors;
        let metric_of = |place: usize| sensors.get(place).map(|sensor| &sensor.metric);
        let is_told =
            |place: usize| living.is_some_and(|alert| Some(&alert.evidence.metric) == metric_of(place));
        let cohort = &self.model.cohort;
        let told = cohort.shows().find(|shows| is_told(shows.place));
        let furthest = || cohort.shows().find(|shows| Some(shows.place) == self.part.unit().furthest(cohort));
        let Shows { place, new, .. } = told.or_else(furthest)?;
        let Sensor { metric, unit } = sensors.get(place)?;
        let (at_ms, value) = self.part.last(place)?;
        Some(Evidence {
            metric: metric.clone(),
            unit: unit.clone(),
            value,
            at_ms,
            limit: new,
            slope_per_day: 0.0,
            readings: self.part.unit().readings(),
        })
    }

    fn place(&self) -> String {
        let terms = &self.model.terms;
        let part = if terms.part.is_empty() { &terms.component } else { &terms.part };
        format!("{part} of {}", self.device_id)
    }

    fn summary(&self, forecast: &Forecast, now: Timestamp) -> String {
        format!(
            "The {} wears as {} others did before they failed, and will fail {}.",
            self.place(),
            forecast.comparable,
            when(forecast, now)
        )
    }

    fn recommendation(&self, act_by: Timestamp, now: Timestamp) -> String {
        let by = |date: Timestamp| match date > now {
            true => format!("by {}", day(date.millis(), now)),
            false => "now".to_owned(),
        };
        let inspect = format!("Inspect the {} {}", self.place(), by(act_by));
        match self.model.terms.lead_time {
            lead_time if span_millis(lead_time) > 0 => {
                format!("{inspect}, and order a new one {}.", by(act_by.before(lead_time)))
            }
            _ => format!("{inspect}."),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "spans of at most five years")]
fn days(millis: i64) -> f64 {
    millis as f64 / DAY_MS as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a hundred")]
fn percent(share: f64) -> u8 {
    (100.0 * share).round().clamp(0.0, 100.0) as u8
}

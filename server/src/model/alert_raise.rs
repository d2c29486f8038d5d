//! How an alert comes, changes and goes whose cause is not a limit: an anomaly, a finding about a
//! fleet, silence.

use slipway_insight::Forecast;

use super::{
    alert::{Alert, AlertState, Evidence, Health, Kind, Severity, worth_saying},
    time::Timestamp,
};

/// What was found, with everything an alert says of it.
#[derive(Clone, Debug)]
pub struct Raised<'a> {
    /// The device; empty when it is about several.
    pub device_id: &'a str,
    /// Which devices, when it is about several; empty otherwise.
    pub selector: &'a str,
    /// Part of the device.
    pub component: &'a str,
    /// What makes two findings the same alert: `anomaly/METRIC`, `fleet/COHORT/METRIC`, `offline`.
    pub cause: &'a str,
    /// What it is about.
    pub kind: Kind,
    /// What is going wrong, in a word; empty when not known.
    pub failure_mode: &'a str,
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
    /// When it will be crossed, where something will be.
    pub forecast: Option<Forecast>,
    /// What was seen.
    pub evidence: Evidence,
}

/// What a finding makes of the newest alert of its device, component and cause: the alert as it is to
/// be from now on, or none when nothing changed that anybody would act on. A cause that returns
/// within a day opens the same alert again.
///
/// `fresh_id` is used when a new alert opens.
pub fn raise(current: Option<&Alert>, seen: &Raised, fresh_id: String, now: Timestamp) -> Option<Alert> {
    let living = current.filter(|alert| alert.is_living());
    let known = living.or(current.filter(|alert| alert.reopens(now)));
    let next = Alert {
        id: known.map_or(fresh_id, |alert| alert.id.clone()),
        device_id: seen.device_id.to_owned(),
        selector: seen.selector.to_owned(),
        component: seen.component.to_owned(),
        cause: seen.cause.to_owned(),
        failure_mode: seen.failure_mode.to_owned(),
        kind: seen.kind,
        state: living.map_or(AlertState::Open, |alert| alert.state),
        severity: seen.severity,
        health: seen.health,
        summary: seen.summary.clone(),
        recommendation: seen.recommendation.clone(),
        act_by: seen.act_by,
        forecast: seen.forecast.clone(),
        evidence: seen.evidence.clone(),
        suppressed_by: living.map(|alert| alert.suppressed_by.clone()).unwrap_or_default(),
        told: living.is_none_or(|alert| alert.told),
        update_to: living.map(|alert| alert.update_to.clone()).unwrap_or_default(),
        acknowledged_by: living.map(|alert| alert.acknowledged_by.clone()).unwrap_or_default(),
        note: living.map(|alert| alert.note.clone()).unwrap_or_default(),
        created_at: known.map_or(now, |alert| alert.created_at),
        updated_at: now,
        resolved_at: None,
        generation: known.map_or(1, |alert| alert.generation + 1),
    };
    match living {
        Some(alert) if !worth_saying(alert, &next, now) => None,
        _ => Some(next),
    }
}

/// The cause is gone: the alert as it is to be, or none when it is not living. `outcome` takes the
/// place of the recommendation.
pub fn clear(current: Option<&Alert>, outcome: &str, now: Timestamp) -> Option<Alert> {
    current.filter(|alert| alert.is_living()).map(|alert| alert.cleared(outcome, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::DAY;

    const NOW: Timestamp = Timestamp::from_seconds(1_772_323_200);

    fn odd(severity: Severity) -> Raised<'static> {
        Raised {
            device_id: "pump-3",
            selector: "",
            component: "motor",
            cause: "anomaly/hw.temperature",
            kind: Kind::Anomaly,
            failure_mode: "overheating",
            severity,
            health: Health::MaintenanceRequired,
            summary: "The motor of pump-3 is warmer than usual.".to_owned(),
            recommendation: "Inspect the motor of pump-3.".to_owned(),
            act_by: None,
            forecast: None,
            evidence: Evidence {
                metric: "hw.temperature".to_owned(),
                unit: "Cel".to_owned(),
                value: 71.0,
                at_ms: NOW.millis(),
                limit: 64.0,
                slope_per_day: 0.0,
                readings: 900,
            },
        }
    }

    #[test]
    fn opens_once_and_says_what_got_worse() {
        let open = raise(None, &odd(Severity::Info), "a".to_owned(), NOW).unwrap();
        assert_eq!((open.id.as_str(), open.state, open.generation), ("a", AlertState::Open, 1));
        assert!(open.told && open.suppressed_by.is_empty());
        let taken = open.acknowledge("desk", NOW).unwrap().unwrap();
        assert_eq!(raise(Some(&taken), &odd(Severity::Info), "b".to_owned(), NOW), None);
        let worse = raise(Some(&taken), &odd(Severity::Warning), "b".to_owned(), NOW).unwrap();
        assert_eq!((worse.id.as_str(), worse.generation), ("a", 3));
        assert_eq!((worse.state, worse.acknowledged_by.as_str()), (AlertState::Acknowledged, "desk"));
    }

    #[test]
    fn returns_under_its_id_within_a_day() {
        let open = raise(None, &odd(Severity::Info), "a".to_owned(), NOW).unwrap();
        let over = clear(Some(&open), "It is as usual again.", NOW).unwrap();
        assert_eq!(
            (over.state, over.recommendation.as_str()),
            (AlertState::Resolved, "It is as usual again.")
        );
        assert_eq!(clear(Some(&over), "again", NOW), None);
        assert_eq!(clear(None, "again", NOW), None);
        let again = raise(Some(&over), &odd(Severity::Info), "b".to_owned(), NOW.after(DAY / 2)).unwrap();
        assert_eq!((again.id.as_str(), again.generation, again.state), ("a", 3, AlertState::Open));
        let other = raise(Some(&over), &odd(Severity::Info), "b".to_owned(), NOW.after(DAY)).unwrap();
        assert_eq!((other.id.as_str(), other.generation, other.created_at), ("b", 1, NOW.after(DAY)));
    }

    #[test]
    fn who_was_told_of_it_hears_its_end() {
        let open = raise(None, &odd(Severity::Info), "a".to_owned(), NOW).unwrap();
        let silenced = Alert { suppressed_by: "silences/s".to_owned(), ..open.clone() };
        assert_eq!(clear(Some(&silenced), "over", NOW).unwrap().suppressed_by, "");
        let never_told = Alert { told: false, ..silenced };
        assert_eq!(clear(Some(&never_told), "over", NOW).unwrap().suppressed_by, "silences/s");
    }
}

//! What a device says that goes further than the others of its model: an alert of a limit that was learned.

use slipway_insight::{
    Side,
    fence::{Fence, Level},
};

use super::{
    alert::{Alert, Evidence, Health, Kind, Severity},
    alert_raise::{Raised, clear, raise},
    alert_text::{metric_words, quantity},
    learned::Model,
    limit::Limit,
    time::Timestamp,
};

/// A device beside the others of its model.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// The device.
    pub device_id: &'a str,
    /// The limit, whose bound is learned.
    pub limit: &'a Limit,
    /// Whose devices.
    pub model: &'a Model,
    /// What was learned of them.
    pub fence: Fence,
    /// How far the device's readings go.
    pub level: Level,
    /// Of a gauge what its last readings agree on.
    pub settled: Option<f64>,
    /// When it was read last, ms since the epoch.
    pub at_ms: i64,
    /// Readings that the level stands on.
    pub readings: u32,
}

impl Beside<'_> {
    /// The alert as it is to be from now on, if it changes. `current` is the newest of the device, component and limit.
    pub fn advance(&self, current: Option<&Alert>, fresh_id: String, now: Timestamp) -> Option<Alert> {
        let living = current.filter(|alert| alert.is_living());
        if !self.is_beyond(living.is_some()) {
            return clear(living, "Nothing to do any more: it is as with the others again.", now);
        }
        raise(current, &self.raised(), fresh_id, now)
    }

    /// Of a gauge the last readings have to say it as well: one absurd reading moves a level for an hour.
    fn is_beyond(&self, before: bool) -> bool {
        let is_beyond = |value: f64| self.fence.is_beyond(value, self.limit.side, before);
        let agrees = self.level.is_rate || self.settled.is_some_and(is_beyond);
        is_beyond(self.level.now) && agrees
    }

    fn raised(&self) -> Raised<'_> {
        let limit = self.limit;
        let part = if limit.part.is_empty() { &self.model.component } else { &limit.part };
        let what = metric_words(&limit.metric);
        let more = if limit.side == Side::Above { "higher" } else { "lower" };
        let (far, near) = if limit.side == Side::Above { ("above", "below") } else { ("below", "above") };
        let say = |value: f64| {
            let text = quantity(value, &self.model.unit);
            if self.level.is_rate { format!("{text} a second") } else { text }
        };
        let inside = self.fence.devices.saturating_sub(self.fence.beyond);
        let summary = format!(
            "The {part} of {}: {what} is at {}, {more} than of {inside} of {} devices of {} on hardware {}. Half of them \
             stay {near} {}; {far} {} is learned to be unusual.",
            self.device_id,
            say(self.level.now),
            self.fence.devices,
            self.model.product,
            self.model.hardware,
            say(self.fence.median),
            say(self.fence.value),
        );
        let recommendation = format!(
            "Look at the {part} of {} when somebody is there: what it has that the others do not.",
            self.device_id
        );
        Raised {
            device_id: self.device_id,
            selector: "",
            component: &self.model.component,
            cause: &limit.id,
            kind: Kind::StateDetection,
            failure_mode: &limit.failure_mode,
            severity: limit.severity.min(Severity::Warning),
            health: Health::MaintenanceRequired,
            summary,
            recommendation,
            act_by: None,
            forecast: None,
            evidence: Evidence {
                metric: limit.metric.clone(),
                unit: self.model.unit.clone(),
                value: self.level.now,
                at_ms: self.at_ms,
                limit: self.fence.value,
                slope_per_day: 0.0,
                readings: self.readings,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{alert::AlertState, learned::Learned, limit::tests::filter_limit};

    const NOW: Timestamp = Timestamp::from_seconds(1_772_323_200);

    fn advance(now: f64, settled: f64, current: Option<&Alert>, change: fn(&mut Beside)) -> Option<Alert> {
        let limit = Limit {
            value: 0.0,
            learned: Some(Learned::default()),
            severity: Severity::Warning,
            ..filter_limit()
        };
        let text = str::to_owned;
        let model = Model {
            product: text("pump"),
            hardware: text("gw-a"),
            component: text("filter"),
            unit: text("Pa"),
        };
        let mut beside = Beside {
            device_id: "pump-3",
            limit: &limit,
            model: &model,
            fence: Fence { value: 260.0, median: 180.0, devices: 250, beyond: 10 },
            level: Level { now, long: now, high: now, low: now, deviation: 1.0, is_rate: false },
            settled: Some(settled),
            at_ms: NOW.millis(),
            readings: 900,
        };
        change(&mut beside);
        beside.advance(current, "fresh".to_owned(), NOW)
    }

    #[test]
    fn says_beside_whom_it_stands_out() {
        let alert = advance(290.0, 291.0, None, |_| {}).unwrap();
        assert_eq!(
            alert.summary,
            "The air filter of pump-3: pressure drop is at 290 Pa, higher than of 240 of 250 devices of pump on hardware \
             gw-a. Half of them stay below 180 Pa; above 260 Pa is learned to be unusual."
        );
        assert_eq!((alert.kind, alert.severity), (Kind::StateDetection, Severity::Warning));
        assert_eq!((alert.cause.as_str(), alert.forecast, alert.act_by), ("filter", None, None));
    }

    #[test]
    fn one_reading_is_nothing_and_what_was_told_stays_until_it_is_clearly_over() {
        assert_eq!(advance(290.0, 181.0, None, |_| {}), None, "the readings are as usual again");
        assert_eq!(advance(255.0, 300.0, None, |_| {}), None, "and no level yet");
        let open = advance(290.0, 291.0, None, |_| {}).unwrap();
        assert_eq!(advance(255.0, 254.0, Some(&open), |_| {}), None);
        let over = advance(250.0, 249.0, Some(&open), |_| {}).unwrap();
        assert_eq!(over.state, AlertState::Resolved);
        // Of a rate there is no settled value.
        assert!(advance(290.0, 0.0, None, |beside| beside.level.is_rate = true).is_some());
    }
}

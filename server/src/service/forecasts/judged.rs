//! What a series that was stepped means for the alerts of its device.

use slipway_insight::{
    DAY_MS, Finding, Series, Standing, State,
    cohort::{approach::Precedent, track::Track},
    detector::{ALERT, Anomaly},
    judge_with,
};

use super::super::{cohorts::Fits, device_cache::DeviceEntry};
use crate::{
    model::{
        alert::{self, Alert, Evidence, Observation},
        alert_raise,
        anomaly::{self, Oddity},
        limit::{Limit, wear},
        time::Timestamp,
    },
    store::series::SeriesRow,
};

/// Wear is what lasts for days: the trend that looks ahead so far has a half-life of five.
const WEAR_MS: i64 = 30 * DAY_MS;
/// Standard deviations that are no accident.
const SURE: f64 = 3.0;

/// The most unusual reading of a batch.
pub(super) struct Oddest {
    pub anomaly: Anomaly,
    at: Timestamp,
    is_rate: bool,
}

impl Oddest {
    /// None when it is not so unusual that somebody should be told.
    pub fn new(anomaly: Anomaly, at: Timestamp, is_rate: bool) -> Option<Self> {
        (anomaly.score >= ALERT).then_some(Oddest { anomaly, at, is_rate })
    }
}

/// A series that was stepped, and the alerts of its device.
pub(super) struct Judged<'a> {
    pub device: &'a DeviceEntry,
    pub row: &'a SeriesRow,
    pub state: &'a State,
    pub series: &'a Series,
    /// How it went since its part was new, where a limit watches it.
    pub track: Option<&'a Track>,
    pub fits: &'a Fits,
}

impl Judged<'_> {
    /// The alerts of limits as they are to be from now on, as far as they change. `alerts` are those of the device,
    /// newest first.
    pub fn by_limits(
        &self,
        alerts: &[Alert],
        limits: &[&Limit],
        mint: &impl Fn() -> String,
        now: Timestamp,
    ) -> Vec<Alert> {
        let mut changes = Vec::new();
        for limit in limits.iter().filter(|limit| limit.takes_unit(&self.row.unit)) {
            // Newest first: the living one, or the one that was resolved last.
            let current = self.of_series(alerts).find(|alert| alert.cause == limit.id);
            let standing = current.map_or(Standing::Clear, Alert::standing);
            if limit.learned.is_some() {
                changes.extend(self.by_learned(current, limit, mint, now));
                continue;
            }
            let precedent = self.precedent(limit);
            let finding = judge_with(self.series, &limit.bound(), standing, precedent.as_ref());
            let evidence = self.evidence(limit, &finding);
            let seen = Observation {
                device_id: self.device.id(),
                component: &self.row.component,
                limit,
                evidence: &evidence,
                finding: &finding,
            };
            changes.extend(alert::advance(current, &seen, mint(), now));
        }
        // A series that changed its unit is another series, too.
        let judges =
            |limit: &&Limit, alert: &Alert| limit.id == alert.cause && limit.takes_unit(&self.row.unit);
        let orphans = self.of_series(alerts).filter(|alert| {
            alert.is_of_limit() && alert.is_living() && !limits.iter().any(|limit| judges(limit, alert))
        });
        changes.extend(orphans.map(|alert| {
            alert.cleared("Nothing to do any more: the limit no longer applies to this device.", now)
        }));
        changes
    }

    /// The alert of what is unusual, if it changes. While a limit tells something about the same series, which says
    /// more, none is opened.
    pub fn by_itself(
        &self,
        alerts: &[Alert],
        limits: &[&Limit],
        oddest: Option<Oddest>,
        is_told: bool,
        mint: &impl Fn() -> String,
        now: Timestamp,
    ) -> Option<Alert> {
        let cause = anomaly::cause(&self.row.metric);
        let current = self.of_series(alerts).find(|alert| alert.cause == cause);
        let living = current.filter(|alert| alert.is_living());
        if !is_told {
            return alert_raise::clear(living, anomaly::SWITCHED_OFF, now);
        }
        let Some(oddest) = oddest else {
            let is_over = |alert: &&Alert| self.row.last_at - alert.evidence.at_ms >= anomaly::QUIET_MS;
            return alert_raise::clear(living.filter(is_over), anomaly::OVER, now);
        };
        let is_known = self.of_series(alerts).any(|alert| alert.is_of_part() && alert.is_living());
        // Away from every limit: it was refilled, or is a new part.
        let is_relief = wear(limits.iter().copied())
            .is_some_and(|side| (oddest.anomaly.value - oddest.anomaly.usual) * side.sign() < 0.0);
        if living.is_none() && (is_known || is_relief || self.is_wear(&oddest)) {
            return None;
        }
        let oddity = Oddity {
            device_id: self.device.id(),
            component: &self.row.component,
            metric: &self.row.metric,
            unit: &self.row.unit,
            is_rate: oddest.is_rate,
            anomaly: &oddest.anomaly,
            at: oddest.at,
            readings: self.series.readings(),
        };
        alert_raise::raise(current, &oddity.raised(&cause), mint(), now)
    }

    /// Whether a level is unusual only because it goes on as it went: that is wear, and how far it may go is for limits.
    fn is_wear(&self, oddest: &Oddest) -> bool {
        let Some(line) = self.series.trend_for(WEAR_MS).trend.line() else { return false };
        let is_level = matches!(oddest.anomaly.view(), 1 | 3);
        let goes_on = line.slope.abs() > SURE * line.slope_error();
        let is_on_line = (self.row.last_value - line.level).abs() <= SURE * line.spread;
        is_level && !oddest.is_rate && goes_on && is_on_line
    }

    /// How comparable parts went on from here, where that is known to say more than the line does.
    fn precedent(&self, limit: &Limit) -> Option<Precedent> {
        let track = self.track.filter(|track| track.is_whole())?;
        let fit = self.fits.of(limit, &self.row.unit, &self.device.product, &self.device.hardware)?;
        let (newest, _) = self.series.last()?;
        track.approach((newest, self.series.settled(limit.side)?)).precedent(fit, limit.value)
    }

    fn of_series<'s>(&'s self, alerts: &'s [Alert]) -> impl Iterator<Item = &'s Alert> {
        alerts
            .iter()
            .filter(|alert| alert.component == self.row.component && alert.evidence.metric == self.row.metric)
    }

    fn evidence(&self, limit: &Limit, finding: &Finding) -> Evidence {
        let view = self.series.trend_for(limit.bound().horizon_ms);
        let value = match finding {
            Finding::Crossed { value } => *value,
            Finding::Expected(_) | Finding::Clear(_) => self.row.last_value,
        };
        Evidence {
            metric: self.row.metric.clone(),
            unit: self.row.unit.clone(),
            value,
            at_ms: self.row.last_at,
            limit: limit.value,
            slope_per_day: view.trend.line().map_or(0.0, |line| line.slope),
            readings: view.trend.count(),
        }
    }
}

//! How the series of a device that limits watch went since their parts were new, while a chunk of its batches is taken in.

use slipway_insight::{Series, Step, cohort::track::Track};

use super::super::device_cache::DeviceEntry;
use crate::{
    model::{
        cohort::{Cohort, LEAST_SAMPLES, MAX_TRACKS},
        limit::{Limit, wear},
    },
    store::{cohorts::LifeRow, series::SeriesRow, tracks::TrackRow},
};

/// A silence of this part of a life is too long to know when it ended.
const SILENCE: i64 = 10;

/// The course of one series.
pub(super) struct Tracked {
    pub track: Track,
    is_changed: bool,
}

/// What is common to the courses of a device.
pub(super) struct Tracks {
    /// How many more there may be.
    room: usize,
    /// Parts that reached a limit.
    pub lives: Vec<(Cohort, LifeRow)>,
}

/// A reading that a series took in.
pub(super) struct Reading<'a> {
    pub device: &'a DeviceEntry,
    pub row: &'a SeriesRow,
    /// As the reading left it.
    pub series: &'a Series,
    /// When the reading before it was made, and what was settled then.
    pub before: Option<(i64, f64)>,
    pub step: Step,
    /// The series was known before and begins anew: its part is not a new one.
    pub is_known: bool,
    pub limits: &'a [&'a Limit],
}

impl Tracked {
    /// What was saved; none when that cannot be read.
    pub fn restored(row: &TrackRow) -> Option<Self> {
        match Track::decode(&row.track) {
            Ok(track) => Some(Tracked { track, is_changed: false }),
            Err(error) => {
                let TrackRow { device_id, component, metric, .. } = row;
                tracing::error!(device = device_id, component, metric, %error, "the course of a series begins anew");
                None
            }
        }
    }

    /// As it is to be saved, if there is something new.
    pub fn into_row(self, device_id: &str, row: &SeriesRow) -> Option<TrackRow> {
        self.is_changed.then(|| {
            let mut track = Vec::new();
            self.track.encode(&mut track);
            TrackRow {
                device_id: device_id.to_owned(),
                component: row.component.clone(),
                metric: row.metric.clone(),
                track,
            }
        })
    }
}

impl Tracks {
    /// Of a device with so many.
    pub fn new(known: usize) -> Self {
        Tracks { room: MAX_TRACKS.saturating_sub(known), lives: Vec::new() }
    }

    /// Follows a series with the reading that it took in: the course goes on, or begins anew with a new part. A part
    /// that reaches a limit for the first time has lived, as far as that limit is concerned.
    pub fn follow(&mut self, tracked: &mut Option<Tracked>, reading: &Reading<'_>) {
        let Reading { row, series, limits, step, .. } = reading;
        if matches!(step, Step::Late | Step::NotFinite) {
            return;
        }
        // A bound that is learned moves: nothing is forecast towards it.
        let asks = |limit: &&Limit| limit.takes_unit(&row.unit) && limit.learned.is_none();
        let asking = || limits.iter().copied().filter(asks);
        let (Some(first), Some((at_ms, value))) = (asking().next(), series.last()) else { return };
        let value = series.settled(first.side).unwrap_or(value);
        // Where limits do not agree what wear is, a part comes and goes unnoticed.
        let wears = wear(asking()).map(|_| first);
        self.step(tracked, reading, wears, (at_ms, value));
        let Some(Tracked { track, .. }) = tracked else { return };
        if !track.is_whole() || track.samples() < LEAST_SAMPLES {
            return;
        }
        let Some((before_ms, before)) = reading.before else { return };
        // A series that was silent for long does not say when its part reached anything.
        if at_ms.saturating_sub(before_ms) > at_ms.saturating_sub(track.began_ms()) / SILENCE {
            return;
        }
        let reached = |limit: &&Limit| {
            let bound = limit.bound();
            bound.excess(before) < 0.0 && bound.excess(value) >= 0.0
        };
        self.lives.extend(asking().filter(reached).map(|limit| ended(reading, track, limit, at_ms)));
    }

    fn step(
        &mut self,
        tracked: &mut Option<Tracked>,
        reading: &Reading<'_>,
        limit: Option<&Limit>,
        (at_ms, value): (i64, f64),
    ) {
        let begin =
            |is_whole| Some(Tracked { track: Track::begin(at_ms, value, is_whole), is_changed: true });
        let Some(known) = tracked else {
            if let Some(room) = self.room.checked_sub(1) {
                self.room = room;
                *tracked = begin(reading.series.readings() == 1 && !reading.is_known);
            }
            return;
        };
        // The longest memory begins with this reading: what was known of the series is lost, of another unit, of
        // another clock, or years old. Whether its part is the same nobody knows.
        if reading.series.trend_for(i64::MAX).trend.count() == 1 {
            *tracked = begin(false);
            return;
        }
        let jumped = reading.step == Step::Restarted;
        if limit.is_some_and(|limit| known.track.is_left_behind_by(at_ms, value, &limit.bound(), jumped)) {
            *tracked = begin(true);
        } else {
            known.is_changed |= known.track.step(at_ms, value);
        }
    }
}

fn ended(reading: &Reading<'_>, track: &Track, limit: &Limit, ended_at: i64) -> (Cohort, LifeRow) {
    let Reading { device, row, .. } = reading;
    let mut bytes = Vec::new();
    track.encode(&mut bytes);
    let life = LifeRow {
        device_id: device.id().to_owned(),
        component: row.component.clone(),
        began_at: track.began_ms(),
        ended_at,
        track: bytes,
    };
    (Cohort::of(limit, &row.unit, &device.product, &device.hardware), life)
}

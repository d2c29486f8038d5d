//! The parts of one device that wear models follow, while a chunk of its batches is taken in.

use std::{collections::BTreeMap, time::Duration};

use slipway_insight::cohort::follow::Follower;

use super::super::{device_cache::DeviceEntry, wear::WearModels};
use crate::{
    model::{
        alert::Alert,
        alert_raise,
        reading::Reading,
        time::Timestamp,
        wear::{WearModel, WearTerms},
        wear_alert::Followed,
    },
    store::wear::PartRow,
};

/// Why an alert is over whose model no longer asks for its part.
const NOT_FOLLOWED: &str = "Nothing to do any more: no wear model follows this part any longer.";

/// See the module.
pub(super) struct Worn<'a> {
    device: &'a DeviceEntry,
    models: &'a WearModels,
    /// By the place of the model; of the models that select the device.
    parts: BTreeMap<usize, Part>,
    /// Models whose parts are not followed any longer.
    gone: Vec<String>,
    /// Readings of a batch that models ask for.
    taken: Vec<Taken>,
}

struct Part {
    /// None before the first reading.
    follower: Option<Follower>,
    is_changed: bool,
    /// When the reading was made that ended the last step of this batch.
    stepped_by: Option<Timestamp>,
}

struct Taken {
    at: i64,
    model: usize,
    sensor: usize,
    value: f64,
}

impl<'a> Worn<'a> {
    /// The parts of a device as they were saved.
    pub fn new(device: &'a DeviceEntry, models: &'a WearModels, rows: &[PartRow]) -> Self {
        let mut parts = BTreeMap::new();
        for (place, model) in models.all().iter().enumerate() {
            if model.terms.selector.matches(&**device) {
                let saved = rows.iter().find(|row| row.model_id == model.terms.id);
                let follower = saved.and_then(|row| restored(row, model));
                parts.insert(place, Part { follower, is_changed: false, stepped_by: None });
            }
        }
        let is_followed =
            |row: &&PartRow| parts.keys().any(|place| id_of(models, *place) == Some(&row.model_id));
        let gone = rows.iter().filter(|row| !is_followed(row)).map(|row| row.model_id.clone()).collect();
        Worn { device, models, parts, gone, taken: Vec::new() }
    }

    /// Notes the readings of a series, if a model asks for them. One that was made later than now by more than a step was
    /// made by a clock that is ahead, and would end steps that are to come.
    pub fn note(&mut self, readings: &[Reading], now: Timestamp) {
        let Some(first) = readings.first().filter(|_| !self.parts.is_empty()) else { return };
        for reads in self.models.reading(&first.metric) {
            let Some(WearModel { terms, .. }) = self.models.all().get(reads.model) else { continue };
            if terms.component != first.component || !self.parts.contains_key(&reads.model) {
                continue;
            }
            let Some(sensor) = terms.sensors.get(reads.sensor) else { continue };
            let latest = now.after(terms.step).millis();
            let fits = |reading: &&Reading| sensor.unit.is_empty() || sensor.unit == reading.unit;
            for reading in readings.iter().filter(fits) {
                let Some(at) = reading.at.map(Timestamp::millis).filter(|at| *at <= latest) else { continue };
                self.taken.push(Taken { at, model: reads.model, sensor: reads.sensor, value: reading.value });
            }
        }
    }

    /// Steps the parts with what was noted, and returns the alerts of wear models that change. `alerts` are those of the
    /// device, newest first; of steps that readings ended which are older than `fresh` nothing new is told.
    pub fn step(
        &mut self,
        alerts: &[Alert],
        fresh: Duration,
        now: Timestamp,
        mint: &impl Fn() -> String,
    ) -> Vec<Alert> {
        let mut changes = self.orphans(alerts, now);
        // Sensors of a batch stand one after the other; steps are of all of them.
        self.taken.sort_by_key(|taken| taken.at);
        for Taken { at, model, sensor, value } in std::mem::take(&mut self.taken) {
            let (Some(known), Some(part)) = (self.models.all().get(model), self.parts.get_mut(&model)) else {
                continue;
            };
            part.take(known, sensor, at, value);
        }
        for (place, part) in &mut self.parts {
            let Some(stepped_by) = part.stepped_by.take() else { continue };
            let (Some(model), Some(follower)) = (self.models.all().get(*place), &part.follower) else {
                continue;
            };
            if now.since(stepped_by) > fresh {
                continue;
            }
            let cause = model.terms.cause();
            let current =
                alerts.iter().find(|alert| alert.cause == cause && alert.component == model.terms.component);
            let followed = Followed { device_id: self.device.id(), model, part: follower };
            changes.extend(followed.advance(current, mint(), now));
        }
        changes
    }

    /// Ends the alerts of models that do not select the device any more.
    fn orphans(&self, alerts: &[Alert], now: Timestamp) -> Vec<Alert> {
        let is_followed = |id: &str| {
            self.parts.keys().any(|place| id_of(self.models, *place).is_some_and(|known| known == id))
        };
        let is_orphan = |alert: &&Alert| alert.wear_model().is_some_and(|id| !is_followed(id));
        let orphans = alerts.iter().filter(is_orphan);
        orphans.filter_map(|alert| alert_raise::clear(Some(alert), NOT_FOLLOWED, now)).collect()
    }

    /// What is to be saved, and the models whose parts are to be forgotten.
    pub fn into_rows(self) -> (Vec<PartRow>, Vec<String>) {
        let Worn { device, models, parts, gone, .. } = self;
        let row = |(place, part): (usize, Part)| {
            let state = part.follower.filter(|_| part.is_changed)?.encode();
            let model_id = id_of(models, place)?.clone();
            Some(PartRow { device_id: device.id().to_owned(), model_id, state })
        };
        (parts.into_iter().filter_map(row).collect(), gone)
    }
}

impl Part {
    fn take(&mut self, model: &WearModel, sensor: usize, at: i64, value: f64) {
        let WearModel { terms, cohort, .. } = model;
        let follower = self.follower.get_or_insert_with(|| Follower::new(cohort));
        self.is_changed = true;
        if follower.take(cohort, terms.step_ms(), sensor, at, value) {
            let is_calm =
                |terms: &WearTerms| follower.remaining(cohort).is_some_and(|told| terms.is_calm(told.p10));
            let is_calm = is_calm(terms);
            follower.note(is_calm);
            self.stepped_by = Some(Timestamp::from_millis(at));
        }
    }
}

fn id_of(models: &WearModels, place: usize) -> Option<&String> {
    models.all().get(place).map(|model| &model.terms.id)
}

fn restored(row: &PartRow, model: &WearModel) -> Option<Follower> {
    let follower = Follower::decode(&row.state);
    match follower {
        Ok(follower) if follower.sensors() == model.terms.sensors.len() => Some(follower),
        Ok(_) => None,
        Err(error) => {
            let PartRow { device_id, model_id, .. } = row;
            tracing::error!(device = device_id, model = model_id, %error, "a part is followed anew");
            None
        }
    }
}

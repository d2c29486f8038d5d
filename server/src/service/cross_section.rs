//! Looks at the fleet as a whole: what bounds are learned from its devices, and what versions do to their readings.
//!
//! One walk over what is kept of the series of chosen devices serves both. It reads outside of the transaction that
//! writes, some devices at a time, and what it keeps of them meanwhile is bounded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use slipway_insight::{
    Side, State,
    fence::{self, Level},
};

use super::{Context, Result, device_cache::DeviceEntry, fleet_findings, forecasts::append};
use crate::{
    model::{
        alert::Alert,
        cross_section::{COMPARED, Groups, LEARNED_FROM, sample},
        device::DeviceState,
        fleet::FleetFinding,
        fleet_shift::{self, Compared, LEAST_DEVICES, Measure},
        learned::{MAX_BOUNDS, Model},
        limit::{Limit, MAX_LIMITS},
        time::{DAY, Timestamp},
    },
    store::{
        inbox::inbox_try_lock,
        learned::learned_put,
        limits::limits_page,
        series::{SeriesRow, series_of_sample},
    },
};

/// A device that is silent for longer says nothing of what is usual.
const LEARNED_WITHIN: Duration = DAY.saturating_mul(7);
/// And one that is silent for longer nothing of what is now.
const COMPARED_WITHIN: Duration = DAY.saturating_mul(2);
/// Devices read at once: at most 3 MB where each has 100 series.
const TOGETHER: usize = 64;
/// Limits whose bounds are learned in one look; the others wait for the next.
const LIMITS: usize = 20;
/// Models and components that one limit is learned for at a time; of more those with fewest devices give way.
const MODELS: usize = 2_000;
/// Devices of all of them: 5 MB.
const LEVELS: usize = 100_000;
/// Metrics of models that are compared at a time.
const MEASURES: usize = 20_000;
/// Values of all of them: 50 MB.
const VALUES: usize = 1_000_000;
/// Devices of all versions that are compared.
const DEVICES: usize = 20_000;

/// What a look came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Devices that were read.
    pub devices: usize,
    /// Limits whose bounds were learned.
    pub limits: usize,
    /// Alerts that changed.
    pub changes: usize,
}

/// A device, and what it is asked for.
struct Asked {
    device: Arc<DeviceEntry>,
    /// Places among the limits that are due.
    limits: Vec<usize>,
    is_compared: bool,
}

/// What was seen of all of them.
struct Seen {
    /// For each limit that is due.
    levels: Vec<Groups<Model, Level>>,
    compared: Groups<Measure, Compared>,
}

/// Whether there is a limit for which nobody has ever looked.
pub async fn is_wanted(ctx: &Context) -> Result<bool> {
    let limits = limits(ctx).await?;
    Ok(limits.iter().filter_map(|limit| limit.learned.as_ref()).any(|learned| learned.learned_at.is_none()))
}

/// Learns the bounds that are due, and opens, keeps and resolves the alerts about versions. None while another replica is
/// at it, or readings are being consumed: then the next run will do.
pub async fn look(ctx: &Context) -> Result<Option<Looked>> {
    let now = ctx.clock.now();
    let limits = limits(ctx).await?;
    let is_due = |limit: &&Limit| limit.learned.as_ref().is_some_and(|learned| learned.is_due(now));
    let mut due: Vec<&Limit> = limits.iter().filter(is_due).collect();
    due.sort_by_key(|limit| limit.learned.as_ref().and_then(|learned| learned.learned_at));
    due.truncate(LIMITS);
    let asked = plan(ctx, &due).await;
    let seen = walk(ctx, &due, &asked, now).await?;

    let mut tx = ctx.db.write().await?;
    if !inbox_try_lock(&mut tx).await? {
        return Ok(None);
    }
    let mut looked = Looked { devices: asked.len(), ..Looked::default() };
    let present = limits_page(&mut tx, "", i64::try_from(MAX_LIMITS).unwrap_or(i64::MAX)).await?;
    for (limit, levels) in due.iter().zip(&seen.levels) {
        // Not when somebody changed it meanwhile: the next look learns it.
        let Some(present) = present.iter().find(|known| known.id == limit.id) else { continue };
        let Some(learned) = present.learned.as_ref().filter(|_| present.judges_same(limit)) else { continue };
        let relearned = learned.relearned(levels.iter(), limit.side, now);
        learned_put(&mut tx, &limit.id, &relearned).await?;
        looked.limits += 1;
    }
    let known = fleet_findings::known(&mut tx, now).await?;
    let living: Vec<Alert> = known.iter().filter(|alert| alert.is_living()).cloned().collect();
    let found = fleet_shift::shifts(&seen.compared, &living, |metric| bad_side(&present, metric), now);
    let known: Vec<Alert> = known.into_iter().filter(fleet_shift::is_one).collect();
    let raised = found.iter().map(FleetFinding::raised).collect();
    let over = "Nothing to do any more: it is as with the other versions again.";
    let written = fleet_findings::settle(ctx, &mut tx, known, raised, over).await?;
    looked.changes = written.len();
    let position = append(&mut tx, &written).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok(Some(looked))
}

async fn limits(ctx: &Context) -> Result<Vec<Limit>> {
    let mut tx = ctx.db.read().await?;
    Ok(limits_page(&mut tx, "", i64::try_from(MAX_LIMITS).unwrap_or(i64::MAX)).await?)
}

/// The side of a metric that every limit about it calls bad.
fn bad_side(limits: &[Limit], metric: &str) -> Option<Side> {
    let mut sides = limits.iter().filter(|limit| limit.metric == metric).map(|limit| limit.side);
    let first = sides.next()?;
    sides.all(|side| side == first).then_some(first)
}

/// Chooses whom to ask, by id.
async fn plan(ctx: &Context, due: &[&Limit]) -> BTreeMap<String, Asked> {
    let devices = ctx.devices.all();
    let lives = |device: &&Arc<DeviceEntry>| {
        matches!(device.state(), DeviceState::Active | DeviceState::Quarantined)
            && !device.hardware.is_empty()
    };
    let devices: BTreeMap<&str, &Arc<DeviceEntry>> =
        devices.iter().filter(lives).map(|device| (device.id(), device)).collect();
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    let mut ask = |id: &str, limit: Option<usize>| {
        let Some(device) = devices.get(id) else { return };
        let asked = asked.entry(id.to_owned()).or_insert_with(|| Asked {
            device: (*device).clone(),
            limits: Vec::new(),
            is_compared: false,
        });
        asked.is_compared |= limit.is_none();
        asked.limits.extend(limit);
    };
    for (place, limit) in due.iter().enumerate() {
        let mut models: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (id, device) in &devices {
            if limit.selector.matches(&****device) {
                models.entry((&device.product, &device.hardware)).or_default().push(id);
            }
        }
        for ids in models.into_values() {
            sample(ids, LEARNED_FROM).into_iter().for_each(|id| ask(id, Some(place)));
        }
        tokio::task::yield_now().await;
    }
    let mut models: BTreeMap<(&str, &str), BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for (id, device) in devices.iter().filter(|(_, device)| !device.version.is_empty()) {
        let versions = models.entry((&device.product, &device.hardware)).or_default();
        versions.entry(&device.version).or_default().push(id);
    }
    let mut compared: Vec<&str> = Vec::new();
    for versions in models.into_values() {
        let all: usize = versions.values().map(Vec::len).sum();
        let is_enough = |ids: &&Vec<&str>| ids.len() >= LEAST_DEVICES && all - ids.len() >= LEAST_DEVICES;
        if versions.values().any(|ids| is_enough(&ids)) {
            compared.extend(versions.into_values().flat_map(|ids| sample(ids, COMPARED)));
        }
    }
    sample(compared, DEVICES).into_iter().for_each(|id| ask(id, None));
    asked
}

/// Reads what is kept of them, some at a time.
async fn walk(
    ctx: &Context,
    due: &[&Limit],
    asked: &BTreeMap<String, Asked>,
    now: Timestamp,
) -> Result<Seen> {
    let mut seen = Seen {
        levels: due.iter().map(|_| Groups::new(MODELS, LEVELS, fence::LEAST_DEVICES)).collect(),
        compared: Groups::new(MEASURES, VALUES, LEAST_DEVICES),
    };
    let ids: Vec<&str> = asked.keys().map(String::as_str).collect();
    for together in ids.chunks(TOGETHER) {
        let mut tx = ctx.db.read().await?;
        let read = series_of_sample(&mut tx, together).await?;
        drop(tx);
        for (id, mut series) in read {
            let Some(asked) = asked.get(&id) else { continue };
            // They come in no order, and what gives way depends on it.
            series.sort_by(|a, b| (&a.component, &a.metric).cmp(&(&b.component, &b.metric)));
            let learned = learned_from(due, asked, &series, now);
            for row in &series {
                seen.take(&learned, asked, row, now);
            }
        }
        tokio::task::yield_now().await;
    }
    let left_out: usize = seen.levels.iter().map(Groups::left_out).sum::<usize>() + seen.compared.left_out();
    if left_out > 0 {
        tracing::info!(series = left_out, "the fleet has more sorts of series than are looked at together");
    }
    Ok(seen)
}

/// Limits that are learned from a device, by their places, and from which of its components.
struct LearnedFrom<'a> {
    place: usize,
    limit: &'a Limit,
    components: BTreeSet<&'a str>,
}

impl LearnedFrom<'_> {
    fn takes(&self, row: &SeriesRow) -> bool {
        is_about(self.limit, row) && self.components.contains(row.component.as_str())
    }
}

fn is_about(limit: &Limit, row: &SeriesRow) -> bool {
    limit.is_about(&row.component, &row.metric) && limit.takes_unit(&row.unit)
}

/// Of a device with more components than a limit has bounds some are chosen, by their names: the same on each device.
fn learned_from<'a>(
    due: &[&'a Limit],
    asked: &Asked,
    series: &'a [SeriesRow],
    now: Timestamp,
) -> Vec<LearnedFrom<'a>> {
    let is_heard = |row: &&SeriesRow| now.since(Timestamp::from_millis(row.last_at)) <= LEARNED_WITHIN;
    let of_limit = |place: &usize| {
        let (place, limit) = (*place, *due.get(*place)?);
        let about = series.iter().filter(|row| is_about(limit, row)).filter(is_heard);
        let components = sample(about.map(|row| row.component.as_str()), MAX_BOUNDS);
        (!components.is_empty()).then(|| LearnedFrom {
            place,
            limit,
            components: components.into_iter().collect(),
        })
    };
    asked.limits.iter().filter_map(of_limit).collect()
}

impl Seen {
    fn take(&mut self, learned: &[LearnedFrom<'_>], asked: &Asked, row: &SeriesRow, now: Timestamp) {
        let age = now.since(Timestamp::from_millis(row.last_at));
        let is_compared =
            asked.is_compared && age <= COMPARED_WITHIN && fleet_shift::is_comparable(&row.metric);
        let about: Vec<usize> =
            learned.iter().filter(|learned| learned.takes(row)).map(|learned| learned.place).collect();
        let is_learned = !about.is_empty() && age <= LEARNED_WITHIN;
        if !is_compared && !is_learned {
            return;
        }
        // One that cannot be read starts afresh with its next reading, and is told there.
        let Some(level) = State::decode(&row.state).ok().and_then(|state| state.level()) else { return };
        let device = &asked.device;
        let model = Model {
            product: device.product.to_string(),
            hardware: device.hardware.to_string(),
            component: row.component.clone(),
            unit: row.unit.clone(),
        };
        if is_learned {
            for place in about {
                if let Some(groups) = self.levels.get_mut(place) {
                    groups.add(model.clone(), level);
                }
            }
        }
        if is_compared {
            let compared = Compared {
                version: device.version.clone(),
                now: level.now,
                change: level.now - level.long,
                deviation: level.deviation,
                is_rate: level.is_rate,
            };
            self.compared.add(Measure { metric: row.metric.clone(), model }, compared);
        }
    }
}

#[cfg(test)]
#[path = "cross_section_tests.rs"]
mod tests;

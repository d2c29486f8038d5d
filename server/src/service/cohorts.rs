//! What parts that reached a limit teach about those that are on their way to it.
//!
//! The consumer of readings puts such lives down; here each cohort that gained or lost one learns anew from those it
//! has. What it learned is read by the consumer, in the transaction in which it forecasts.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use slipway_insight::cohort::{
    approach::{Approaches, Life},
    track::Track,
};

use super::{Context, Error, Result};
use crate::{
    model::{
        cohort::{Cohort, LIVES_IN_COHORT, LIVES_OF_DEVICE, LIVES_TAUGHT, LONELY, MAX_LIVES, lives_each},
        limit::{Limit, MAX_LIMITS},
    },
    store::{
        Tx,
        changes::{Kind, changes_get},
        cohorts::{
            CohortRow, LifeRow, cohort_delete, cohort_learned, cohorts_all, cohorts_fits, cohorts_lonely,
            life_put, lives_of_cohort, lives_of_device_prune, lives_prune,
        },
        limits::limits_page,
    },
};

/// What cohorts learned; as it is by default, nothing.
#[derive(Debug, Default)]
pub struct Fits {
    generation: i64,
    by_cohort: HashMap<Cohort, Approaches>,
}

impl Fits {
    /// What is known of a series in this unit, under the limit, on such a device.
    pub fn of(&self, limit: &Limit, unit: &str, product: &str, hardware: &str) -> Option<&Approaches> {
        if self.by_cohort.is_empty() {
            return None;
        }
        self.by_cohort.get(&Cohort::of(limit, unit, product, hardware))
    }
}

/// What cohorts learned, in memory; read again when it changed.
#[derive(Clone, Debug, Default)]
pub struct FitsCache(Arc<Mutex<Arc<Fits>>>);

impl FitsCache {
    /// As it stands in this transaction.
    pub async fn current(&self, tx: &mut Tx) -> Result<Arc<Fits>> {
        let generation = changes_get(tx, Kind::Cohorts).await?;
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if kept.generation == generation {
            return Ok(kept);
        }
        let mut by_cohort = HashMap::new();
        for (cohort, bytes) in cohorts_fits(tx).await? {
            match Approaches::decode(&bytes) {
                Ok(fit) => drop(by_cohort.insert(cohort, fit)),
                Err(error) => tracing::error!(?cohort, %error, "what a cohort learned cannot be read"),
            }
        }
        let fits = Arc::new(Fits { generation, by_cohort });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fits.clone();
        Ok(fits)
    }
}

/// Lets every cohort learn that gained or lost a life since it last did, and forgets those whose limit no longer asks, and
/// those in which one device has been alone for long; returns how many learned. Two replicas at it come to the same.
pub async fn learn(ctx: &Context) -> Result<usize> {
    let mut tx = ctx.db.read().await?;
    let cohorts = cohorts_all(&mut tx).await?;
    if cohorts.is_empty() {
        return Ok(0);
    }
    let limits = limits_page(&mut tx, "", i64::try_from(MAX_LIMITS).unwrap_or(i64::MAX)).await?;
    let lonely = cohorts_lonely(&mut tx, 2, ctx.clock.now().before(LONELY)).await?;
    drop(tx);
    let mut learned = 0;
    for CohortRow { cohort, changed, learned: last } in cohorts {
        if ctx.stop.is_raised() {
            break;
        }
        if !limits.iter().any(|limit| cohort.is_under(limit)) || lonely.contains(&cohort) {
            forget(ctx, &cohort).await?;
        } else if changed != last && learn_one(ctx, &limits, &cohort, changed).await? {
            learned += 1;
        }
    }
    Ok(learned)
}

/// Whether it learned anything.
async fn learn_one(ctx: &Context, limits: &[Limit], cohort: &Cohort, changed: i64) -> Result<bool> {
    let Some(limit) = limits.iter().find(|limit| cohort.is_under(limit)) else { return Ok(false) };
    let mut tx = ctx.db.read().await?;
    let rows = lives_of_cohort(&mut tx, cohort, most(LIVES_TAUGHT), most(MAX_LIVES)).await?;
    drop(tx);
    let is_empty = rows.is_empty();
    let value = limit.value;
    // Some hundred lives are a tenth of a second of work: not on the threads that answer.
    let fit = tokio::task::spawn_blocking(move || fit(&rows, value)).await;
    let fit = fit.map_err(|error| Error::Internal(format!("learning from lives: {error}")))?;
    let bytes = fit.as_ref().map(Approaches::encode).unwrap_or_default();
    let mut tx = ctx.db.write().await?;
    lives_prune(&mut tx, cohort, most(MAX_LIVES)).await?;
    // When it has other lives by now, the next run learns from those.
    let is_kept = cohort_learned(&mut tx, cohort, changed, &bytes).await?;
    if is_kept && is_empty {
        cohort_delete(&mut tx, cohort).await?;
    }
    tx.commit().await?;
    Ok(is_kept && fit.is_some())
}

/// Notes lives of parts that came to a limit. Of each device only the newest stay: one that makes lives up forgets its own.
pub(super) async fn put(tx: &mut Tx, mut lives: Vec<(Cohort, LifeRow)>) -> Result<()> {
    // In one order, so that two transactions never wait for each other.
    lives.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (cohort, life) in &lives {
        life_put(tx, cohort, life).await?;
    }
    let devices: BTreeSet<&str> = lives.iter().map(|(_, life)| life.device_id.as_str()).collect();
    for device_id in devices {
        lives_of_device_prune(tx, device_id, most(LIVES_IN_COHORT), most(LIVES_OF_DEVICE)).await?;
    }
    Ok(())
}

fn most(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What lives teach about a limit, where enough devices had them; no device more than a tenth of it. The newest of each
/// device come first.
fn fit(rows: &[LifeRow], limit: f64) -> Option<Approaches> {
    let read: Vec<(&str, Life)> =
        rows.iter().filter_map(|row| Some((row.device_id.as_str(), read(row, limit)?))).collect();
    let mut of_devices: BTreeMap<&str, usize> = BTreeMap::new();
    // Which of its device's lives each is.
    let places: Vec<usize> = read
        .iter()
        .map(|(device, _)| {
            let count = of_devices.entry(device).or_default();
            *count += 1;
            *count
        })
        .collect();
    let each = lives_each(&of_devices.into_values().collect::<Vec<_>>())?;
    let lives: Vec<Life> =
        read.into_iter().zip(places).filter(|(_, place)| *place <= each).map(|((_, life), _)| life).collect();
    Approaches::learn(&lives)
}

fn read(row: &LifeRow, limit: f64) -> Option<Life> {
    match Track::decode(&row.track) {
        Ok(track) => Some(track.life(row.ended_at, limit)),
        Err(error) => {
            tracing::error!(device = row.device_id, component = row.component, %error, "a life cannot be read");
            None
        }
    }
}

async fn forget(ctx: &Context, cohort: &Cohort) -> Result<()> {
    let mut tx = ctx.db.write().await?;
    cohort_delete(&mut tx, cohort).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
#[path = "cohorts_tests.rs"]
mod tests;

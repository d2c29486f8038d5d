//! What parts that reached a limit teach about those that are on their way to it.
//!
//! The consumer of readings puts such lives down; here each cohort that gained or lost one learns anew from those it
//! has. What it learned is read by the consumer, in the transaction in which it forecasts.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use slipway_insight::cohort::{
    approach::{Approaches, Life},
    track::Track,
};

use super::{Context, Error, Result};
use crate::{
    model::{
        cohort::{Cohort, LEAST_DEVICES, MAX_LIVES},
        limit::{Limit, MAX_LIMITS},
    },
    store::{
        Tx,
        changes::{Kind, changes_get},
        cohorts::{
            CohortRow, LifeRow, cohort_delete, cohort_learned, cohorts_all, cohorts_fits, lives_of_cohort,
            lives_prune,
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

/// Lets every cohort learn that gained or lost a life since it last did, and forgets those whose limit no longer asks;
/// returns how many learned. Two replicas at it come to the same.
pub async fn learn(ctx: &Context) -> Result<usize> {
    let mut tx = ctx.db.read().await?;
    let cohorts = cohorts_all(&mut tx).await?;
    if cohorts.is_empty() {
        return Ok(0);
    }
    let limits = limits_page(&mut tx, "", i64::try_from(MAX_LIMITS).unwrap_or(i64::MAX)).await?;
    drop(tx);
    let mut learned = 0;
    for CohortRow { cohort, changed, learned: last } in cohorts {
        if ctx.stop.is_raised() {
            break;
        }
        if !limits.iter().any(|limit| cohort.is_under(limit)) {
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
    let most = i64::try_from(MAX_LIVES).unwrap_or(i64::MAX);
    let rows = lives_of_cohort(&mut tx, cohort, most).await?;
    drop(tx);
    let oldest = rows.last().filter(|_| rows.len() == MAX_LIVES).map(|life| life.ended_at);
    let is_empty = rows.is_empty();
    let value = limit.value;
    // Some hundred lives are a tenth of a second of work: not on the threads that answer.
    let fit = tokio::task::spawn_blocking(move || fit(&rows, value)).await;
    let fit = fit.map_err(|error| Error::Internal(format!("learning from lives: {error}")))?;
    let bytes = fit.as_ref().map(Approaches::encode).unwrap_or_default();
    let mut tx = ctx.db.write().await?;
    if let Some(oldest) = oldest {
        lives_prune(&mut tx, cohort, oldest).await?;
    }
    // When it has other lives by now, the next run learns from those.
    let is_kept = cohort_learned(&mut tx, cohort, changed, &bytes).await?;
    if is_kept && is_empty {
        cohort_delete(&mut tx, cohort).await?;
    }
    tx.commit().await?;
    Ok(is_kept && fit.is_some())
}

/// What lives teach about a limit, where enough devices had them.
fn fit(rows: &[LifeRow], limit: f64) -> Option<Approaches> {
    let read = rows.iter().filter_map(|row| Some((row.device_id.as_str(), read(row, limit)?)));
    let (devices, lives): (BTreeSet<&str>, Vec<Life>) = read.unzip();
    (devices.len() >= LEAST_DEVICES).then(|| Approaches::learn(&lives)).flatten()
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

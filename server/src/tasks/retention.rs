//! Deletes what nobody needs any more, in small transactions, and ends anomalies of series that fell silent.

use std::time::Duration;

use super::driver::Tasks;
use crate::{
    model::{event::KEPT, time::DAY},
    service::{Context, Error, forecasts::clear_silent},
    store::{
        alert_events::alert_events_prune, alerts::alerts_prune, inbox::inbox_prune, outbox::outbox_prune,
        silences::silences_prune,
    },
};

const PERIOD: Duration = Duration::from_secs(600);
/// Rows of one transaction: others write in between.
const BATCH: i64 = 500;
/// Transactions of one run, so that a server that was off for months comes up quickly.
const BATCHES: usize = 100;

/// Consumed readings: long enough that no device repeats a batch, and to see what an alert came from.
const READINGS: Duration = DAY.saturating_mul(7);
/// Changes of alerts: a client that was away longer starts anew.
const EVENTS: Duration = DAY.saturating_mul(30);
/// Resolved alerts: a year and a month, to compare a season with the last.
const ALERTS: Duration = DAY.saturating_mul(400);

/// Silences that are over: to see who silenced what last week.
const SILENCES: Duration = DAY.saturating_mul(30);

/// Starts it.
pub fn spawn(tasks: &mut Tasks) {
    tasks.spawn("retention", PERIOD, None, |ctx| async move {
        prune(&ctx).await?;
        clear_silent(&ctx).await.map(drop)
    });
}

async fn prune(ctx: &Context) -> Result<(), Error> {
    let now = ctx.clock.now();
    let limit = u64::try_from(BATCH).unwrap_or(u64::MAX);
    for _ in 0..BATCHES {
        let mut tx = ctx.db.write().await?;
        let readings = inbox_prune(&mut tx, now.before(READINGS), BATCH).await?;
        let events = alert_events_prune(&mut tx, now.before(EVENTS), BATCH).await?;
        let alerts = alerts_prune(&mut tx, now.before(ALERTS), BATCH).await?;
        let told = outbox_prune(&mut tx, now.before(KEPT), BATCH).await?;
        silences_prune(&mut tx, now.before(SILENCES), BATCH).await?;
        tx.commit().await?;
        if readings.max(events).max(alerts).max(told) < limit || ctx.stop.is_raised() {
            break;
        }
    }
    Ok(())
}

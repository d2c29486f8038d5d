//! Anomalies of series that nobody reports any more: nothing is left that could show that they are over.

use std::time::Duration;

use super::append;
use crate::{
    model::{
        alert::{Alert, Kind},
        alert_raise,
        time::{DAY, Timestamp},
    },
    service::{Context, Result},
    store::{
        alerts::{alert_update, alerts_unchanged},
        inbox::inbox_try_lock,
    },
};

/// A series that reports ends its anomaly after a day; this is that of one that was away over a long weekend as well.
const SILENT: Duration = DAY.saturating_mul(7);
/// Alerts of one transaction; the next run takes more.
const BATCH: i64 = 200;

/// Resolves them; returns how many. None of them while readings are being consumed.
pub async fn clear_silent(ctx: &Context) -> Result<usize> {
    let now = ctx.clock.now();
    let before = now.before(SILENT);
    let mut tx = ctx.db.write().await?;
    let candidates = alerts_unchanged(&mut tx, Kind::Anomaly, before, BATCH).await?;
    if candidates.is_empty() || !inbox_try_lock(&mut tx).await? {
        return Ok(0);
    }
    let mut changes: Vec<Alert> = Vec::new();
    for alert in candidates.iter().filter(|alert| Timestamp::from_millis(alert.evidence.at_ms) < before) {
        let outcome = "Nothing to do any more: nothing was read of it for a week.";
        let Some(cleared) = alert_raise::clear(Some(alert), outcome, now) else { continue };
        // Somebody who took it meanwhile goes first; the next run looks again.
        if alert_update(&mut tx, &cleared).await? {
            changes.push(cleared);
        }
    }
    let position = append(&mut tx, &changes).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok(changes.len())
}

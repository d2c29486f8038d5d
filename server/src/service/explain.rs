//! Why a device is, or is not, offered an update: the decision its next poll would get.

use std::sync::Arc;

use slipway_trust::Versions;

use super::{Context, Result};
use crate::{
    model::{
        admission::{ActiveRollout, Verdict, decide, verdict},
        update::{HistoryLine, Update},
    },
    store::{update_lists::updates_page, updates::history_list},
};

/// Updates that are shown.
const UPDATES: i64 = 10;

/// Why, and how its last updates went.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What it would be offered at its next poll: rollout and version.
    pub offer: Option<(Arc<ActiveRollout>, Arc<str>)>,
    /// What each active rollout of its product means for it.
    pub verdicts: Vec<(Arc<ActiveRollout>, Verdict)>,
    /// Its last updates, newest first, each with its history, oldest line first.
    pub updates: Vec<(Update, Vec<HistoryLine>)>,
    /// The metadata it held when it called last.
    pub have: Versions,
    /// Why the server serves no signed metadata, if so: then no device installs anything.
    pub alarm: Option<Arc<str>>,
}

/// Explains the device; none when there is no such device.
pub async fn device(ctx: &Context, device_id: &str) -> Result<Option<Explanation>> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.read().await?;
    let Some(entry) = ctx.devices.reread(&mut tx, device_id).await? else { return Ok(None) };
    let mut updates = Vec::new();
    for update in updates_page(&mut tx, Some(device_id), None, UPDATES).await? {
        let history = history_list(&mut tx, &update.id).await?;
        updates.push((update, history));
    }
    drop(tx);
    let rollouts = ctx.rollouts.snapshot();
    let of_product = || rollouts.iter().filter(|active| active.rollout.product == *entry.product);
    let offer = decide(&entry, of_product().map(Arc::as_ref), now).and_then(|(active, verdict)| {
        let active = of_product().find(|known| known.id == active.id)?;
        Some((active.clone(), verdict.version))
    });
    let verdicts = of_product().map(|active| (active.clone(), verdict(&entry, active, now))).collect();
    Ok(Some(Explanation { offer, verdicts, updates, have: entry.have(), alarm: ctx.trust.alarm() }))
}

//! Keeps what is in memory in step with what other replicas wrote, and with the clock.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::driver::Tasks;
use crate::{
    service::{Context, Error},
    store::changes::{Generations, changes_all},
};

/// How long a revocation on one replica takes to reach the others, at most.
const PERIOD: Duration = Duration::from_secs(1);

/// Starts it. `seen` are the generations of what is in memory now.
pub fn spawn(tasks: &mut Tasks, seen: Generations) {
    let seen = Arc::new(Mutex::new(seen));
    tasks.spawn("changes", PERIOD, None, move |ctx| follow(ctx, seen.clone()));
}

async fn follow(ctx: Context, seen: Arc<Mutex<Generations>>) -> Result<(), Error> {
    ctx.tokens.end_expired(ctx.clock.now());
    if !ctx.db.is_shared() {
        // Whoever writes to SQLite is this process, and refreshes what it changed.
        return Ok(());
    }
    let mut tx = ctx.db.read().await?;
    let now = changes_all(&mut tx).await?;
    drop(tx);
    let before = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    if now.tokens != before.tokens {
        ctx.tokens.reload(&ctx).await?;
    }
    if now.devices != before.devices {
        ctx.devices.reload(&ctx).await?;
    }
    if now.trust != before.trust {
        ctx.trust.refresh(&ctx.db).await?;
    }
    if now.rollouts != before.rollouts || now.trust != before.trust {
        ctx.rollouts.mark_stale();
        ctx.wake.rollouts();
    }
    // Only now: a reload that failed is tried again.
    *seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
    Ok(())
}

//! Keeps the online signatures fresh, so that devices can tell a quiet server from a frozen one, and says
//! when the offline ones run out, which only people can renew.

use std::{sync::Arc, time::Duration};

use super::driver::Tasks;
use crate::service::{Context, Error, signing, trust_expiry::Said};

/// How often it is looked whether something is due. The timestamp is signed daily for seven days,
/// so even days of failures go unnoticed by devices.
const PERIOD: Duration = Duration::from_secs(15 * 60);

/// Starts it.
pub fn spawn(tasks: &mut Tasks) {
    let said = Arc::new(Said::default());
    tasks.spawn("metadata", PERIOD, None, move |ctx| sign_what_is_due(ctx, said.clone()));
}

async fn sign_what_is_due(ctx: Context, said: Arc<Said>) -> Result<(), Error> {
    if signing::renew(&ctx).await? {
        tracing::info!("online signatures were renewed");
    }
    if let Some(set) = ctx.trust.current() {
        said.warn(&set, ctx.clock.now());
    }
    Ok(())
}

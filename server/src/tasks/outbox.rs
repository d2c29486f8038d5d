//! Brings events to webhooks: one worker for each that has something waiting, so that a slow one holds up nobody else.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    task::{Id, JoinSet},
};

use super::driver::Tasks;
use crate::{
    chain::chain,
    service::{
        Context, Error,
        courier::{begin, deliver, tally, with_work},
    },
};

/// How long after its time an attempt is made, at most, and how long an event of another replica takes.
const PERIOD: Duration = Duration::from_secs(1);
/// How old the metrics are, at most.
const TALLY: Duration = Duration::from_secs(15);

/// The workers of this process. They end with it.
#[derive(Default)]
struct Workers {
    has_begun: bool,
    /// The webhook that each works for.
    busy: HashMap<Id, String>,
    running: JoinSet<()>,
}

/// Starts it.
pub fn spawn(tasks: &mut Tasks, ctx: &Context) {
    let workers = Arc::new(Mutex::new(Workers::default()));
    tasks.spawn("outbox", PERIOD, Some(ctx.courier.woken()), move |ctx| {
        let workers = workers.clone();
        async move { reconcile(&ctx, &mut *workers.lock().await).await }
    });
    tasks.spawn("webhook metrics", TALLY, None, |ctx| async move {
        // Elsewhere somebody may have made one.
        if ctx.courier.is_used() || ctx.db.is_shared() { tally(&ctx).await } else { Ok(()) }
    });
}

async fn reconcile(ctx: &Context, workers: &mut Workers) -> Result<(), Error> {
    if !workers.has_begun {
        begin(ctx).await?;
        workers.has_begun = true;
    }
    // Elsewhere somebody may have made the first one.
    if !ctx.courier.is_used() && !ctx.db.is_shared() {
        return Ok(());
    }
    while let Some(ended) = workers.running.try_join_next_with_id() {
        let task = match ended {
            Ok((task, ())) => task,
            Err(panicked) => panicked.id(),
        };
        workers.busy.remove(&task);
    }
    for id in with_work(ctx).await? {
        if workers.busy.values().any(|busy| *busy == id) {
            continue;
        }
        let (ctx, webhook) = (ctx.clone(), id.clone());
        let worker = workers.running.spawn(async move {
            if let Err(error) = deliver(&ctx, &webhook).await {
                tracing::warn!(
                    webhook,
                    error = chain(&error),
                    "events were not sent; it will be tried again"
                );
            }
        });
        workers.busy.insert(worker.id(), id);
    }
    Ok(())
}

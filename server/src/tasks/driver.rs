//! What runs a reconciler: by signal or period, one run at a time, until the server stops.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, task::JoinSet, time::sleep};

use crate::{
    chain::chain,
    service::{Context, Error},
};

/// The reconcilers of one server.
#[derive(Debug)]
pub struct Tasks {
    ctx: Context,
    running: JoinSet<()>,
}

impl Tasks {
    /// None yet.
    pub fn new(ctx: Context) -> Self {
        Tasks { ctx, running: JoinSet::new() }
    }

    /// Runs `task` at once, then after each signal and at the latest after each `period`.
    ///
    /// A run that fails is logged when the failure is a new one, and the next run tries again: it
    /// takes no input, so nothing is lost.
    pub fn spawn<F, R>(
        &mut self,
        name: &'static str,
        period: Duration,
        signal: Option<Arc<Notify>>,
        mut task: F,
    ) where
        F: FnMut(Context) -> R + Send + 'static,
        R: Future<Output = Result<(), Error>> + Send,
    {
        let ctx = self.ctx.clone();
        self.running.spawn(async move {
            let mut last_failure = String::new();
            while !ctx.stop.is_raised() {
                match task(ctx.clone()).await {
                    Ok(()) if last_failure.is_empty() => {}
                    Ok(()) => {
                        tracing::info!(task = name, "the task works again");
                        last_failure.clear();
                    }
                    Err(error) => {
                        let failure = chain(&error);
                        if failure != last_failure {
                            tracing::warn!(
                                task = name,
                                error = failure,
                                "a task failed; it will be tried again"
                            );
                            last_failure = failure;
                        }
                    }
                }
                let signalled = async {
                    match &signal {
                        Some(signal) => signal.notified().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = ctx.stop.raised() => {}
                    () = signalled => {}
                    () = sleep(period) => {}
                }
            }
        });
    }

    /// Returns when every task has ended; raise the stop first.
    pub async fn ended(mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

//! Brings readings from the inbox into the archive, and keeps the archive in order.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::Mutex;

use super::driver::Tasks;
use crate::service::archive;

/// How often is looked whether enough waits: a fleet that fills a job in less is written a job at a time.
const PERIOD: Duration = Duration::from_secs(10);
/// Merging, dropping and deleting hurry nobody.
const UPKEEP: Duration = Duration::from_secs(600);

/// Starts both.
pub fn spawn(tasks: &mut Tasks) {
    tasks.spawn("archive", PERIOD, None, |ctx| async move {
        let archived = archive::run(&ctx).await?;
        if archived.jobs > 0 {
            tracing::debug!(
                jobs = archived.jobs,
                files = archived.files,
                readings = archived.readings,
                "archived readings"
            );
        }
        Ok(())
    });
    let strays = Arc::new(Mutex::new(BTreeSet::new()));
    tasks.spawn("archive upkeep", UPKEEP, None, move |ctx| {
        let strays = strays.clone();
        async move { archive::upkeep(&ctx, &mut *strays.lock().await).await }
    });
}

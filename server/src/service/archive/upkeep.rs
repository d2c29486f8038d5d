//! What is done now and then: small files merged, old ones dropped, deleted what nobody reads.

use std::collections::BTreeSet;

use futures_util::TryStreamExt as _;

use super::{Turn, finish, recover, rewrite};
use crate::{
    model::{
        archive::{ArchiveFile, GRACE, LISTED_EVERY, PREFIX, number_in},
        device::DataClass,
        time::{DAY, Timestamp, span_millis},
    },
    service::{Context, Result},
    store::{
        archive::{archive_file_delete, archive_files_expire, archive_files_gone, archive_files_written},
        archive_clock::{archive_clock, archive_clock_put},
        archive_inbox::inbox_let_go,
        archive_series::archive_series_expire,
    },
};

/// Files deleted in one transaction.
const BATCH: i64 = 100;

/// Merges, drops and deletes what is due. Objects that no record names are deleted when two runs in a row saw them:
/// `strays` are those that the run before saw, and become those of this one. Nothing when another replica is at it.
pub async fn upkeep(ctx: &Context, strays: &mut BTreeSet<String>) -> Result<()> {
    let Some(turn) = ctx.archive.try_turn(ctx).await? else { return Ok(()) };
    recover(ctx, &turn).await?;
    let now = ctx.clock.now();
    expire(ctx, &turn, now).await?;
    while !ctx.stop.is_raised()
        && let Some(job) = rewrite::begin_merge(ctx, &turn).await?
    {
        finish(ctx, &turn, &job).await?;
    }
    delete_gone(ctx, &turn, now.before(GRACE)).await?;
    let found = find_strays(ctx, &turn).await?;
    for name in found.intersection(strays) {
        tracing::info!(name, "deleting an object of the archive that nothing refers to");
        ctx.objects.file_delete(name).await?;
    }
    *strays = found;
    loop {
        let mut tx = ctx.db.write().await?;
        let more = inbox_let_go(&mut tx, now.before(GRACE)).await?;
        tx.commit().await?;
        if !more || ctx.stop.is_raised() {
            return Ok(());
        }
    }
}

/// Days that are older than is kept are read no more: by a clock that has been steady, because they do not come back.
async fn expire(ctx: &Context, _: &Turn, now: Timestamp) -> Result<()> {
    let mut tx = ctx.db.write().await?;
    let clock = archive_clock(&mut tx).await?.look(now);
    archive_clock_put(&mut tx, &clock).await?;
    tx.commit().await?;
    let Some(old_by) = clock.old_by(now) else { return Ok(()) };
    for class in DataClass::ALL {
        let first = ctx.archive.keep.first_day(class, old_by);
        let mut tx = ctx.db.write().await?;
        let files = archive_files_expire(&mut tx, class, first, now).await?;
        let midnight = Timestamp::from_millis(first.saturating_mul(span_millis(DAY)));
        // The list may say less than the newest reading does.
        archive_series_expire(&mut tx, class, midnight.before(LISTED_EVERY)).await?;
        tx.commit().await?;
        if files > 0 {
            tracing::info!(class = class.as_str(), files, "dropped readings older than is kept");
        }
    }
    Ok(())
}

/// Deletes the objects of files that are gone since before `before`, and their records.
pub(super) async fn delete_gone(ctx: &Context, _: &Turn, before: Timestamp) -> Result<()> {
    loop {
        let mut tx = ctx.db.read().await?;
        let gone = archive_files_gone(&mut tx, before, BATCH).await?;
        drop(tx);
        delete(ctx, &gone).await?;
        if i64::try_from(gone.len()).unwrap_or(i64::MAX) < BATCH || ctx.stop.is_raised() {
            return Ok(());
        }
    }
}

/// The object first: a record without one is deleted again, an object without one is a stray.
pub(super) async fn delete(ctx: &Context, gone: &[ArchiveFile]) -> Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    for file in gone {
        ctx.objects.file_delete(&file.name()).await?;
    }
    let mut tx = ctx.db.write().await?;
    for file in gone {
        archive_file_delete(&mut tx, file).await?;
    }
    Ok(tx.commit().await?)
}

/// Objects in the archive's place that no record names. Whoever has the turn, with no job begun, has none under way.
pub(super) async fn find_strays(ctx: &Context, _: &Turn) -> Result<BTreeSet<String>> {
    let mut strays = BTreeSet::new();
    let mut names = ctx.objects.file_names(PREFIX);
    let mut tx = ctx.db.read().await?;
    while let Some(name) = names.try_next().await? {
        // Whatever else somebody put there is his.
        let Some(number) = number_in(&name) else { continue };
        let written = archive_files_written(&mut tx, number).await?;
        if !written.iter().any(|file| file.name() == name) {
            strays.insert(name);
        }
    }
    Ok(strays)
}

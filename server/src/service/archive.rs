//! The archive of readings: Parquet files in the object store, each reading in one of them, once.
//!
//! A job takes three steps. A transaction says what it takes (batches of the inbox, or files): what it took, nothing else
//! takes. Then it writes files whose names depend on its number alone. A second transaction says that they are there and lets
//! go of what it took. Cut off anywhere, it is done again from its first transaction on: the same files under the same
//! names. One replica at a time writes ([`Turn`]); reading needs no turn, because a reader sees either what a job took or what it
//! wrote, by one transaction, and what was let go stays for an hour ([`GRACE`]).

mod erase;
mod inbox;
mod read;
mod rewrite;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::Arc;

use bytes::Bytes;
use slipway_archive::{Columns, Row, Summary, Writer};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub(super) use self::read::inbox_page;
pub use self::{
    erase::{Erased, erase_device},
    read::{Devices, Readings, Select, readings_of_device},
    upkeep::upkeep,
};
use super::{Context, Error, Result};
use crate::{
    chain::chain,
    model::{
        archive::{ArchiveFile, GRACE, Retention},
        device::DataClass,
    },
    store::{
        Tx,
        archive::{
            Job, JobKind, archive_file_put, archive_files_replaced, archive_job_end, archive_jobs_pending,
            archive_lock, archive_try_lock,
        },
        archive_inbox::inbox_archived,
    },
};

/// The archive of one process.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    turn: Arc<Mutex<()>>,
    /// How long readings are kept.
    pub keep: Retention,
}

/// The right to write files: of the tasks of this process one has it, and of the replicas one.
#[derive(Debug)]
pub struct Turn {
    _here: OwnedMutexGuard<()>,
    // Open as long as the turn lasts: its lock is the replica's.
    _among_replicas: Option<Tx>,
}

/// What one run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// Jobs that ended.
    pub jobs: usize,
    /// Files that these wrote.
    pub files: usize,
    /// Readings in them.
    pub readings: i64,
}

impl Archive {
    /// One that keeps readings so long.
    pub fn new(keep: Retention) -> Self {
        Archive { turn: Arc::default(), keep }
    }

    /// The turn, if nobody else has it.
    async fn try_turn(&self, ctx: &Context) -> Result<Option<Turn>> {
        let Ok(here) = self.turn.clone().try_lock_owned() else { return Ok(None) };
        if !ctx.db.is_shared() {
            return Ok(Some(Turn { _here: here, _among_replicas: None }));
        }
        let mut tx = ctx.db.write().await?;
        let is_ours = archive_try_lock(&mut tx).await?;
        Ok(is_ours.then_some(Turn { _here: here, _among_replicas: Some(tx) }))
    }

    /// The turn, as soon as nobody else has it.
    async fn turn(&self, ctx: &Context) -> Result<Turn> {
        let here = self.turn.clone().lock_owned().await;
        if !ctx.db.is_shared() {
            return Ok(Turn { _here: here, _among_replicas: None });
        }
        let mut tx = ctx.db.write().await?;
        archive_lock(&mut tx).await?;
        Ok(Turn { _here: here, _among_replicas: Some(tx) })
    }
}

/// Writes what has waited long enough, or is enough, into files; first of all what was cut off before. Nothing when
/// another replica is at it.
pub async fn run(ctx: &Context) -> Result<Archived> {
    let Some(turn) = ctx.archive.try_turn(ctx).await? else { return Ok(Archived::default()) };
    let mut archived = recover(ctx, &turn).await?;
    while !ctx.stop.is_raised()
        && let Some(job) = inbox::begin(ctx, &turn).await?
    {
        archived.add(&finish(ctx, &turn, &job).await?);
    }
    Ok(archived)
}

/// Ends the jobs that were begun and not ended.
async fn recover(ctx: &Context, turn: &Turn) -> Result<Archived> {
    let mut tx = ctx.db.read().await?;
    let pending = archive_jobs_pending(&mut tx).await?;
    drop(tx);
    let mut archived = Archived::default();
    for job in pending {
        archived.add(&finish(ctx, turn, &job).await?);
    }
    Ok(archived)
}

/// Does a job that was begun, and ends it.
async fn finish(ctx: &Context, turn: &Turn, job: &Job) -> Result<Vec<ArchiveFile>> {
    let files = write(ctx, turn, job).await?;
    end(ctx, turn, job, &files).await?;
    Ok(files)
}

/// Writes the files of a job that was begun; writing them again changes nothing.
async fn write(ctx: &Context, turn: &Turn, job: &Job) -> Result<Vec<ArchiveFile>> {
    match job.kind {
        JobKind::Inbox => inbox::write(ctx, turn, job).await,
        JobKind::Merge | JobKind::Erase => rewrite::write(ctx, turn, job).await,
    }
}

/// Makes the files of a job the ones that are read, instead of what it took.
async fn end(ctx: &Context, _: &Turn, job: &Job, files: &[ArchiveFile]) -> Result<()> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    if !archive_job_end(&mut tx, job, now).await? {
        // Only when the turn was lost with its connection: somebody else did the same.
        tracing::warn!(job = job.number, "a job of the archive was ended by another replica");
        return Ok(());
    }
    for file in files {
        archive_file_put(&mut tx, file).await?;
    }
    match job.kind {
        JobKind::Inbox => inbox_archived(&mut tx, job.number).await?,
        JobKind::Merge => archive_files_replaced(&mut tx, job.number, now).await?,
        // Whoever still reads them has to begin again: nothing of the device is to stay.
        JobKind::Erase => archive_files_replaced(&mut tx, job.number, now.before(GRACE)).await?,
    }
    tx.commit().await?;
    tracing::debug!(job = job.number, kind = ?job.kind, files = files.len(), "archived");
    Ok(())
}

/// Stores one file of a job; none for no rows.
async fn store(
    ctx: &Context,
    job: &Job,
    (class, day): (DataClass, i64),
    (bytes, summary): (Vec<u8>, Summary),
) -> Result<Option<ArchiveFile>> {
    if summary.rows == 0 {
        return Ok(None);
    }
    let file = ArchiveFile {
        number: job.number,
        class,
        day,
        bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        readings: i64::try_from(summary.rows).unwrap_or(i64::MAX),
        first_device: summary.first_device,
        last_device: summary.last_device,
        created_at: ctx.clock.now(),
    };
    ctx.objects.file_put(&file.name(), Bytes::from(bytes)).await?;
    Ok(Some(file))
}

/// Rows as the bytes of a file. Sorting and packing a job is a tenth of a second of work: not on the threads that answer.
async fn encode(mut rows: Vec<Row>) -> Result<(Vec<u8>, Summary)> {
    let encoded = tokio::task::spawn_blocking(move || {
        rows.sort_unstable_by(Row::order);
        let mut writer = Writer::new(Vec::new(), Columns::Stored)?;
        for row in rows {
            writer.push(row)?;
        }
        writer.finish()
    });
    match encoded.await {
        Ok(file) => file.map_err(|error| unusable("new", &error)),
        Err(error) => Err(Error::Internal(format!("packing readings: {error}"))),
    }
}

fn unusable(name: &str, error: &slipway_archive::Error) -> Error {
    Error::Internal(format!("file {name} of the archive: {}", chain(error)))
}

impl Archived {
    fn add(&mut self, files: &[ArchiveFile]) {
        self.jobs += 1;
        self.files += files.len();
        self.readings += files.iter().map(|file| file.readings).sum::<i64>();
    }
}

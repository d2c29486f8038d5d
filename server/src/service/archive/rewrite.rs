//! Files are written again: several small ones as one, or one without the readings of a device.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
    vec::IntoIter,
};

use slipway_archive::{Columns, GROUP, Group, Names, Row, Wanted, Writer};

use super::{Turn, read::Opened, store, unusable};
use crate::{
    model::archive::{ArchiveFile, LARGE, MERGED, to_merge},
    service::{Context, Error, Result},
    store::archive::{
        Job, JobKind, archive_days_of_small_files, archive_file_claim, archive_files_of_job,
        archive_files_smallest, archive_job_begin,
    },
};

/// Begins to merge the small files of a day, if there is one where it is worth while.
pub(super) async fn begin_merge(ctx: &Context, turn: &Turn) -> Result<Option<Job>> {
    let mut tx = ctx.db.read().await?;
    let limit = i64::try_from(MERGED).unwrap_or(i64::MAX);
    let now = ctx.clock.now();
    for (class, day) in archive_days_of_small_files(&mut tx, LARGE).await? {
        let files = archive_files_smallest(&mut tx, class, day, limit).await?;
        let chosen = to_merge(&files, now);
        if !chosen.is_empty() {
            drop(tx);
            return begin(ctx, turn, JobKind::Merge, "", chosen).await.map(Some);
        }
    }
    Ok(None)
}

/// Begins a job that replaces `files`, all of one class and day.
pub(super) async fn begin(
    ctx: &Context,
    _: &Turn,
    kind: JobKind,
    device_id: &str,
    files: &[ArchiveFile],
) -> Result<Job> {
    let mut tx = ctx.db.write().await?;
    let number = archive_job_begin(&mut tx, kind, device_id, ctx.clock.now()).await?;
    for file in files {
        archive_file_claim(&mut tx, file, number).await?;
    }
    tx.commit().await?;
    Ok(Job { number, kind, device_id: device_id.to_owned() })
}

/// Writes the file that a job puts in place of others; none when nothing is left of them.
pub(super) async fn write(ctx: &Context, _: &Turn, job: &Job) -> Result<Vec<ArchiveFile>> {
    let mut tx = ctx.db.read().await?;
    let files = archive_files_of_job(&mut tx, job.number).await?;
    drop(tx);
    let Some(first) = files.first() else { return Ok(Vec::new()) };
    let part = (first.class, first.day);
    let mut sorted = Sorted::open(ctx, &files).await?;
    let failed = |error| unusable("new", &error);
    let mut writer = Writer::new(Vec::new(), Columns::Stored).map_err(failed)?;
    let (mut kept, mut left_out) = (0usize, 0i64);
    while let Some(row) = sorted.next(ctx).await? {
        if job.kind == JobKind::Erase && *row.device == *job.device_id {
            left_out += 1;
            continue;
        }
        kept += 1;
        writer.push(row).map_err(failed)?;
        if kept.is_multiple_of(GROUP) {
            // A group was just packed; others want this thread too.
            tokio::task::yield_now().await;
        }
    }
    let file = writer.finish().map_err(failed)?;
    let taken: i64 = files.iter().map(|file| file.readings).sum();
    if i64::try_from(file.1.rows).unwrap_or(i64::MAX).saturating_add(left_out) != taken {
        let written = file.1.rows;
        return Err(Error::Internal(format!(
            "of {taken} archived readings {written} came out of their files"
        )));
    }
    Ok(store(ctx, job, part, file).await?.into_iter().collect())
}

/// The rows of several sorted files in one order, a group of each in memory.
struct Sorted {
    files: Vec<(Opened, VecDeque<Group>, IntoIter<Row>)>,
    heads: BinaryHeap<Head>,
    names: Names,
}

/// The first row of a file that was not taken; the smallest is the greatest, as the heap has it.
struct Head {
    row: Row,
    file: usize,
}

impl Sorted {
    async fn open(ctx: &Context, files: &[ArchiveFile]) -> Result<Self> {
        let mut sorted = Sorted { files: Vec::new(), heads: BinaryHeap::new(), names: Names::default() };
        for (index, file) in files.iter().enumerate() {
            let file = Opened::open(ctx, file).await?;
            let groups = file.groups()?.into();
            sorted.files.push((file, groups, Vec::new().into_iter()));
            sorted.advance(ctx, index).await?;
        }
        Ok(sorted)
    }

    async fn next(&mut self, ctx: &Context) -> Result<Option<Row>> {
        let Some(head) = self.heads.pop() else { return Ok(None) };
        self.advance(ctx, head.file).await?;
        Ok(Some(head.row))
    }

    /// Puts the next row of a file among the heads.
    async fn advance(&mut self, ctx: &Context, index: usize) -> Result<()> {
        let Some((file, groups, rows)) = self.files.get_mut(index) else { return Ok(()) };
        loop {
            if let Some(row) = rows.next() {
                self.heads.push(Head { row, file: index });
                return Ok(());
            }
            let Some(group) = groups.pop_front() else { return Ok(()) };
            *rows = file.rows(ctx, &group, &Wanted::default(), &mut self.names).await?.into_iter();
        }
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.row.order(&self.row).then_with(|| other.file.cmp(&self.file))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

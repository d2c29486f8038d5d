//! Batches of the inbox become files, one for each class and day that they have readings of.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use slipway_archive::{Names, Row};

use super::{Turn, encode, store};
use crate::{
    model::{
        archive::{ArchiveFile, JOB_BATCHES, LISTED_EVERY, WaitingBatch, day_of, job_of},
        device::DataClass,
        time::Timestamp,
    },
    service::{Context, Result, ingest},
    store::{
        archive::{Job, JobKind, archive_job_begin},
        archive_clock::archive_clock,
        archive_inbox::{WaitingRow, inbox_assign, inbox_of_job, inbox_unarchived},
        archive_series::{ArchivedSeries, archive_series_of_device, archive_series_record},
        inbox::InboxRow,
    },
};

/// Batches that are in memory encoded: at most 100 KB each.
const PAGE: i64 = 50;
/// Series recorded in one transaction; the other writers of SQLite wait for it: about 10 ms.
const SERIES: usize = 500;
/// Series of one device that are listed: twice what is forecast. The readings of further ones are in the archive all the same.
const MAX_LISTED: usize = 2_000;

/// Begins a job with the batches that wait longest, unless they may wait for more.
pub(super) async fn begin(ctx: &Context, _: &Turn) -> Result<Option<Job>> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.read().await?;
    let waiting = inbox_unarchived(&mut tx, JOB_BATCHES).await?;
    drop(tx);
    let batches: Vec<WaitingBatch> = waiting.iter().map(WaitingRow::batch).collect();
    let last = job_of(&batches, now).checked_sub(1).and_then(|last| waiting.get(last));
    let Some(last) = last else { return Ok(None) };
    let mut tx = ctx.db.write().await?;
    let number = archive_job_begin(&mut tx, JobKind::Inbox, "", now).await?;
    inbox_assign(&mut tx, number, last).await?;
    tx.commit().await?;
    Ok(Some(Job { number, kind: JobKind::Inbox, device_id: String::new() }))
}

/// Writes the files of a job, and what series there are.
pub(super) async fn write(ctx: &Context, _: &Turn, job: &Job) -> Result<Vec<ArchiveFile>> {
    let mut tx = ctx.db.read().await?;
    let believed = archive_clock(&mut tx).await?.believed;
    let mut collected = Collected { believed, ..Collected::default() };
    let mut after: Option<InboxRow> = None;
    loop {
        let rows = inbox_of_job(&mut tx, job.number, after.as_ref(), PAGE).await?;
        let Some(last) = rows.last() else { break };
        for row in &rows {
            collected.add(ctx, row);
        }
        after = Some(last.clone());
    }
    drop(tx);
    if collected.expired > 0 {
        tracing::debug!(job = job.number, readings = collected.expired, "readings older than is kept");
    }
    let mut files = Vec::new();
    for (part, rows) in collected.parts {
        files.extend(store(ctx, job, part, encode(rows).await?).await?);
    }
    record(ctx, collected.series).await?;
    Ok(files)
}

type SeriesOfDevice = BTreeMap<(Arc<str>, Arc<str>, DataClass), ArchivedSeries>;

/// The readings of a job.
#[derive(Default)]
struct Collected {
    names: Names,
    parts: BTreeMap<(DataClass, i64), Vec<Row>>,
    series: BTreeMap<Arc<str>, SeriesOfDevice>,
    expired: u64,
    /// The last time of the server's clock that can be relied on.
    believed: Option<Timestamp>,
}

impl Collected {
    fn add(&mut self, ctx: &Context, row: &InboxRow) {
        // By when it came, not by now: what was acknowledged is not dropped here because the clock is wrong. Nor because it
        // was when the batch came, as far as that is known.
        let received = Timestamp::from_millis(row.received_at);
        let old_by = self.believed.map_or(received, |believed| believed.min(received));
        let Some(rows) = rows_of(row, &mut self.names) else {
            tracing::error!(
                device = row.device_id,
                sequence = row.sequence,
                "a stored batch cannot be read, and is left out"
            );
            return;
        };
        for (class, row) in rows {
            let day = day_of(row.time);
            // What is dropped at once is not written: a device that was off for years fills no folders.
            if day < ctx.archive.keep.first_day(class, old_by) {
                self.expired += 1;
                continue;
            }
            self.note(class, &row);
            self.parts.entry((class, day)).or_default().push(row);
        }
    }

    fn note(&mut self, class: DataClass, row: &Row) {
        let of_device = self.series.entry(row.device.clone()).or_default();
        let key = (row.component.clone(), row.metric.clone(), class);
        let last_at = Timestamp::from_millis(row.time);
        let has_all = of_device.len() >= MAX_LISTED;
        match of_device.get_mut(&key) {
            Some(known) if known.last_at >= last_at => {}
            Some(known) => {
                known.unit = row.unit.to_string();
                known.last_at = last_at;
                known.last_value = row.value;
            }
            // No more are listed.
            None if has_all => {}
            None => {
                let (component, metric) = (row.component.to_string(), row.metric.to_string());
                let (unit, last_value) = (row.unit.to_string(), row.value);
                of_device.insert(key, ArchivedSeries { component, metric, class, unit, last_at, last_value });
            }
        }
    }
}

/// The readings of a stored batch as rows; none when it cannot be read.
pub(super) fn rows_of(batch: &InboxRow, names: &mut Names) -> Option<Vec<(DataClass, Row)>> {
    let device = names.share(&batch.device_id);
    let rows = ingest::decode(&batch.readings)?.into_iter().filter_map(|reading| {
        // Neither is missing in what was acknowledged.
        let (class, at) = reading.class.zip(reading.at)?;
        let row = Row {
            device: device.clone(),
            component: names.share(&reading.component),
            metric: names.share(&reading.metric),
            unit: names.share(&reading.unit),
            class: names.share(class.as_str()),
            time: at.millis(),
            value: reading.value,
            boot_id: names.share(&reading.boot_id),
        };
        Some((class, row))
    });
    Some(rows.collect())
}

/// Records the series of a job: those that are new, and those of which the list would say something that is no longer so.
/// The newest reading of each is elsewhere, too (`service/telemetry.rs`), and to write down all of them with every job
/// would cost more than the files.
async fn record(ctx: &Context, series: BTreeMap<Arc<str>, SeriesOfDevice>) -> Result<()> {
    let mut devices = series.into_iter().peekable();
    while devices.peek().is_some() {
        let mut tx = ctx.db.read().await?;
        let mut changed = Vec::new();
        let mut count = 0;
        while count < SERIES
            && let Some((device, found)) = devices.next()
        {
            let known = archive_series_of_device(&mut tx, &device).await?;
            let new = news(&known, found);
            count += new.len();
            if !new.is_empty() {
                changed.push((device, new));
            }
        }
        drop(tx);
        if changed.is_empty() {
            continue;
        }
        let mut tx = ctx.db.write().await?;
        for (device, new) in &changed {
            archive_series_record(&mut tx, device, new).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// What is to be recorded of a device.
fn news(known: &[ArchivedSeries], found: SeriesOfDevice) -> Vec<ArchivedSeries> {
    let by_name: HashMap<(&str, &str, DataClass), &ArchivedSeries> =
        known.iter().map(|one| ((one.component.as_str(), one.metric.as_str(), one.class), one)).collect();
    let mut room = MAX_LISTED.saturating_sub(known.len());
    let mut new = Vec::new();
    for one in found.into_values() {
        match by_name.get(&(one.component.as_str(), one.metric.as_str(), one.class)) {
            Some(known) if known.unit == one.unit && one.last_at < known.last_at.after(LISTED_EVERY) => {}
            Some(_) => new.push(one),
            None => {
                let Some(left) = room.checked_sub(1) else { continue };
                room = left;
                new.push(one);
            }
        }
    }
    new
}

//! The files of the archive of readings, and the jobs that write them.

use super::{Inner, StoreError, Tx, column::Place, on};
use crate::model::{archive::ArchiveFile, device::DataClass, time::Timestamp};

/// Only one replica writes files at a time ("arch" in ASCII); the others find nothing to do.
const LOCK: i64 = 0x6172_6368;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Writes batches of the inbox into new files.
    Inbox,
    /// Writes small files of one day into one.
    Merge,
    /// Writes a file again without the readings of one device.
    Erase,
}

impl JobKind {
    const ALL: [JobKind; 3] = [JobKind::Inbox, JobKind::Merge, JobKind::Erase];

    fn as_str(self) -> &'static str {
        match self {
            JobKind::Inbox => "inbox",
            JobKind::Merge => "merge",
            JobKind::Erase => "erase",
        }
    }
}

/// A job that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number; larger is later.
    pub number: i64,
    /// What it does.
    pub kind: JobKind,
    /// For [`JobKind::Erase`], whose readings are left out; else empty.
    pub device_id: String,
}

/// Takes the right to write files until the transaction ends; false when another replica has it. On SQLite
/// there is no other process, and the processes's own tasks take turns elsewhere.
pub async fn archive_try_lock(tx: &mut Tx) -> Result<bool, StoreError> {
    match &tx.inner {
        Inner::Sqlite(_) => Ok(true),
        Inner::Postgres(_) => Ok(on!(tx, conn =>
            sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(conn).await)?),
    }
}

/// As [`archive_try_lock`], but waits for the other one to finish.
pub async fn archive_lock(tx: &mut Tx) -> Result<(), StoreError> {
    if matches!(tx.inner, Inner::Postgres(_)) {
        on!(tx, conn => sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(conn).await.map(drop))?;
    }
    Ok(())
}

/// Begins a job; returns its number.
pub async fn archive_job_begin(
    tx: &mut Tx,
    kind: JobKind,
    device_id: &str,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let number: i64 = on!(tx, conn => sqlx::query_scalar(
        "UPDATE archive_counters SET value = value + 1 WHERE name = 'job' RETURNING value")
        .fetch_one(conn).await)?;
    on!(tx, conn => sqlx::query(
        "INSERT INTO archive_jobs (number, kind, device_id, begun_at, ended_at) VALUES ($1, $2, $3, $4, 0)")
        .bind(number).bind(kind.as_str()).bind(device_id).bind(now.millis()).execute(conn).await.map(drop))?;
    Ok(number)
}

/// Jobs that were begun and not ended, oldest first: at most one, unless somebody was cut off.
pub async fn archive_jobs_pending(tx: &mut Tx) -> Result<Vec<Job>, StoreError> {
    let rows: Vec<(i64, String, String)> = on!(tx, conn => sqlx::query_as(
        "SELECT number, kind, device_id FROM archive_jobs WHERE ended_at = 0 ORDER BY number")
        .fetch_all(conn).await)?;
    rows.into_iter()
        .map(|(number, kind, device_id)| {
            let id = number.to_string();
            let place = Place { table: "archive_jobs", id: &id };
            let parsed = JobKind::ALL.into_iter().find(|known| known.as_str() == kind);
            Ok(Job { number, kind: place.word("kind", &kind, parsed)?, device_id })
        })
        .collect()
}

/// Ends a job; false when somebody else did.
///
/// One that took batches from the inbox is remembered until their readings are let go
/// ([`super::archive_inbox::inbox_let_go`]); of the others nothing stays.
pub async fn archive_job_end(tx: &mut Tx, job: &Job, now: Timestamp) -> Result<bool, StoreError> {
    let changed = match job.kind {
        JobKind::Inbox => on!(tx, conn => sqlx::query(
            "UPDATE archive_jobs SET ended_at = $2 WHERE number = $1 AND ended_at = 0")
            .bind(job.number).bind(now.millis()).execute(conn).await.map(|done| done.rows_affected()))?,
        JobKind::Merge | JobKind::Erase => {
            on!(tx, conn => sqlx::query("DELETE FROM archive_jobs WHERE number = $1 AND ended_at = 0")
            .bind(job.number).execute(conn).await.map(|done| done.rows_affected()))?
        }
    };
    if changed == 1 && job.kind == JobKind::Inbox {
        on!(tx, conn => sqlx::query("UPDATE archive_counters SET value = $1 WHERE name = 'inbox'")
            .bind(job.number).execute(conn).await.map(drop))?;
    }
    Ok(changed == 1)
}

/// The last job that took batches from the inbox and has ended: what later jobs took is in no file of this
/// transaction's moment.
pub async fn archive_through(tx: &mut Tx) -> Result<i64, StoreError> {
    Ok(on!(tx, conn =>
        sqlx::query_scalar("SELECT value FROM archive_counters WHERE name = 'inbox'").fetch_one(conn).await)?)
}

#[derive(sqlx::FromRow)]
struct FileRow {
    number: i64,
    class: String,
    day: i64,
    bytes: i64,
    readings: i64,
    first_device: String,
    last_device: String,
    created_at: i64,
}

impl TryFrom<FileRow> for ArchiveFile {
    type Error = StoreError;

    fn try_from(row: FileRow) -> Result<Self, StoreError> {
        let id = row.number.to_string();
        let place = Place { table: "archive_files", id: &id };
        Ok(ArchiveFile {
            number: row.number,
            class: place.word("class", &row.class, DataClass::parse(&row.class))?,
            day: row.day,
            bytes: row.bytes,
            readings: row.readings,
            first_device: row.first_device,
            last_device: row.last_device,
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

fn files(rows: Vec<FileRow>) -> Result<Vec<ArchiveFile>, StoreError> {
    rows.into_iter().map(ArchiveFile::try_from).collect()
}

/// Adds a file; from now on it is read.
pub async fn archive_file_put(tx: &mut Tx, file: &ArchiveFile) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "INSERT INTO archive_files (number, class, day, bytes, readings, first_device, last_device, created_at, job, \
         gone_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)")
        .bind(file.number).bind(file.class.as_str()).bind(file.day).bind(file.bytes).bind(file.readings)
        .bind(&file.first_device).bind(&file.last_device).bind(file.created_at.millis())
        .execute(conn).await.map(drop))?;
    Ok(())
}

/// Says that a job replaces the file; it is read until the job has ended.
pub async fn archive_file_claim(tx: &mut Tx, file: &ArchiveFile, job: i64) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("UPDATE archive_files SET job = $4 WHERE number = $1 AND class = $2 AND day = $3")
        .bind(file.number).bind(file.class.as_str()).bind(file.day).bind(job).execute(conn).await.map(drop))?;
    Ok(())
}

/// The files that a job replaces.
pub async fn archive_files_of_job(tx: &mut Tx, job: i64) -> Result<Vec<ArchiveFile>, StoreError> {
    files(on!(tx, conn => sqlx::query_as(
        "SELECT number, class, day, bytes, readings, first_device, last_device, created_at FROM archive_files \
         WHERE job = $1 AND job > 0 ORDER BY number, class, day").bind(job).fetch_all(conn).await)?)
}

/// Nobody begins to read the files any more that a job replaced.
pub async fn archive_files_replaced(tx: &mut Tx, job: i64, gone_at: Timestamp) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query("UPDATE archive_files SET job = 0, gone_at = $2 WHERE job = $1 AND job > 0")
        .bind(job).bind(gone_at.millis()).execute(conn).await.map(drop))?;
    Ok(())
}

/// Every file that is read, of the days from `first` to `last`, and, unless `device` is empty, that may hold
/// readings of it. By day.
pub async fn archive_files_live(
    tx: &mut Tx,
    first: i64,
    last: i64,
    device: &str,
) -> Result<Vec<ArchiveFile>, StoreError> {
    files(on!(tx, conn => sqlx::query_as(
        "SELECT number, class, day, bytes, readings, first_device, last_device, created_at FROM archive_files \
         WHERE gone_at = 0 AND day >= $1 AND day <= $2 AND ($3 = '' OR (first_device <= $3 AND last_device >= $3)) \
         ORDER BY day, class, number").bind(first).bind(last).bind(device).fetch_all(conn).await)?)
}

/// Classes and days with more than one file below `size`, oldest day first.
pub async fn archive_days_of_small_files(
    tx: &mut Tx,
    size: i64,
) -> Result<Vec<(DataClass, i64)>, StoreError> {
    let rows: Vec<(String, i64)> = on!(tx, conn => sqlx::query_as(
        "SELECT class, day FROM archive_files WHERE gone_at = 0 AND bytes < $1 GROUP BY class, day \
         HAVING COUNT(*) > 1 ORDER BY day, class").bind(size).fetch_all(conn).await)?;
    rows.into_iter()
        .map(|(class, day)| {
            let id = day.to_string();
            let place = Place { table: "archive_files", id: &id };
            Ok((place.word("class", &class, DataClass::parse(&class))?, day))
        })
        .collect()
}

/// The smallest files of a class and day, smallest first.
pub async fn archive_files_smallest(
    tx: &mut Tx,
    class: DataClass,
    day: i64,
    limit: i64,
) -> Result<Vec<ArchiveFile>, StoreError> {
    files(on!(tx, conn => sqlx::query_as(
        "SELECT number, class, day, bytes, readings, first_device, last_device, created_at FROM archive_files \
         WHERE gone_at = 0 AND day = $1 AND class = $2 ORDER BY bytes, number LIMIT $3")
        .bind(day).bind(class.as_str()).bind(limit).fetch_all(conn).await)?)
}

/// Nobody begins to read files of a class of days before `day` any more; returns how many these are.
pub async fn archive_files_expire(
    tx: &mut Tx,
    class: DataClass,
    day: i64,
    gone_at: Timestamp,
) -> Result<u64, StoreError> {
    Ok(on!(tx, conn => sqlx::query(
        "UPDATE archive_files SET gone_at = $3 WHERE gone_at = 0 AND job = 0 AND class = $1 AND day < $2")
        .bind(class.as_str()).bind(day).bind(gone_at.millis()).execute(conn).await
        .map(|done| done.rows_affected()))?)
}

/// Files that are gone since before `before`, longest first; their objects are to be deleted.
pub async fn archive_files_gone(
    tx: &mut Tx,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<ArchiveFile>, StoreError> {
    files(on!(tx, conn => sqlx::query_as(
        "SELECT number, class, day, bytes, readings, first_device, last_device, created_at FROM archive_files \
         WHERE gone_at > 0 AND gone_at <= $1 ORDER BY gone_at, number, class, day LIMIT $2")
        .bind(before.millis()).bind(limit).fetch_all(conn).await)?)
}

/// Forgets a file that is gone, after its object was deleted.
pub async fn archive_file_delete(tx: &mut Tx, file: &ArchiveFile) -> Result<(), StoreError> {
    on!(tx, conn => sqlx::query(
        "DELETE FROM archive_files WHERE number = $1 AND class = $2 AND day = $3 AND gone_at > 0")
        .bind(file.number).bind(file.class.as_str()).bind(file.day).execute(conn).await.map(drop))?;
    Ok(())
}

/// The files that a job wrote, read or gone.
pub async fn archive_files_written(tx: &mut Tx, job: i64) -> Result<Vec<ArchiveFile>, StoreError> {
    files(on!(tx, conn => sqlx::query_as(
        "SELECT number, class, day, bytes, readings, first_device, last_device, created_at FROM archive_files \
         WHERE number = $1 ORDER BY class, day").bind(job).fetch_all(conn).await)?)
}

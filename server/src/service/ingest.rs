//! Batches of readings become durable. What is answered with OK survives everything after.
//!
//! Every batch is one row, and every row would be one commit with one sync of the disk. So calls
//! that arrive while a commit runs queue up, and the next commit takes all of them: whoever gets
//! the turn writes for the others. The queue is short; a caller who finds it full is told to
//! come back.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prost::Message as _;
use slipway_proto::v1;
use tokio::sync::{Notify, oneshot};

use super::{Context, Error, Result, device_cache::DeviceEntry, storage_full};
use crate::{
    model::{
        device::DataClass,
        reading::{self, Reading},
        refusal::{Reason, Refusal},
        time::Timestamp,
    },
    store::{
        Db, StoreError,
        inbox::{InboxRow, inbox_put},
    },
};

/// Batches that wait for a commit: at most 100 KB each, so 25 MB, and a second of a slow disk.
const QUEUE: usize = 256;
/// Batches in one commit; the other writers of SQLite wait meanwhile.
const COMMIT: usize = 128;

/// Bytes of a nonce.
pub(super) const NONCE: usize = 16;

/// Where batches wait for their commit. One for each process.
#[derive(Clone, Debug, Default)]
pub struct Inbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<VecDeque<Job>>,
    turn: tokio::sync::Mutex<()>,
    arrived: Arc<Notify>,
}

#[derive(Debug)]
struct Job {
    row: InboxRow,
    done: oneshot::Sender<Outcome>,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Stored,
    Full,
    Unavailable,
    Failed,
}

/// Takes one batch of the device's readings; OK once it is durable.
///
/// Readings whose class is switched off, and those without a usable time or value, are dropped and
/// counted in the answer. Refused with `BATCH_TOO_LARGE`, `BATCH_INVALID`, `STORAGE_FULL` or `UNAVAILABLE`; nothing of
/// a refused batch is kept.
pub async fn batch(
    ctx: &Context,
    device: &DeviceEntry,
    mut request: v1::SendTelemetryRequest,
) -> Result<v1::SendTelemetryResponse> {
    reading::check_size(request.readings.len())?;
    let sequence = i64::try_from(request.sequence).map_err(|_| {
        Refusal::new(
            Reason::BatchInvalid,
            format!("the sequence {} is larger than {}", request.sequence, i64::MAX),
            "count batches from 1, or from the milliseconds since 1970",
        )
        .field("sequence")
    })?;
    if !matches!(request.nonce.len(), 0 | NONCE) {
        return Err(Refusal::new(
            Reason::BatchInvalid,
            format!("the nonce has {} bytes", request.nonce.len()),
            format!("draw {NONCE} random bytes when the batch is made, or leave it out"),
        )
        .field("nonce")
        .into());
    }
    let now = ctx.clock.now();
    for (index, reading) in request.readings.iter().enumerate() {
        from_wire(reading).check(index)?;
    }
    let sent = request.readings.len();
    request.readings.retain(|reading| from_wire(reading).is_sound(now));
    let unsound = sent - request.readings.len();
    if unsound > 0 {
        tracing::debug!(device = device.id(), unsound, "dropped readings without a usable time or value");
    }
    let sound = request.readings.len();
    // The device drops what it has no consent for; what arrives all the same is dropped here.
    request.readings.retain(|reading| match class(reading.data_class) {
        Some(class) => device.allows(class),
        None => false,
    });
    let unwanted = sound - request.readings.len();
    let response = v1::SendTelemetryResponse {
        sequence: request.sequence,
        dropped: u32::try_from(unsound + unwanted).unwrap_or(u32::MAX),
    };
    if unwanted > 0 {
        tracing::warn!(
            device = device.id(),
            dropped = unwanted,
            "dropped readings of classes that the owner switched off"
        );
    }
    if request.readings.is_empty() {
        return Ok(response);
    }
    let row = InboxRow {
        device_id: device.id().to_owned(),
        sequence,
        nonce: std::mem::take(&mut request.nonce),
        received_at: now.millis(),
        readings: request.encode_to_vec(),
    };
    keep(ctx, row).await?;
    Ok(response)
}

/// Stores a batch that was checked; OK once it is durable.
pub(super) async fn keep(ctx: &Context, row: InboxRow) -> Result<()> {
    match ctx.inbox.store(&ctx.db, row).await? {
        Outcome::Stored => Ok(()),
        Outcome::Full => Err(storage_full().into()),
        Outcome::Unavailable => Err(busy("the database does not answer").into()),
        Outcome::Failed => Err(Error::Internal("a batch of readings could not be stored".to_owned())),
    }
}

/// The readings of a stored batch; none when the bytes are not one.
pub fn decode(bytes: &[u8]) -> Option<Vec<Reading>> {
    let request = v1::SendTelemetryRequest::decode(bytes).ok()?;
    Some(request.readings.iter().map(from_wire).collect())
}

impl Inbox {
    /// Signalled whenever batches were stored.
    pub fn arrived(&self) -> Arc<Notify> {
        self.0.arrived.clone()
    }

    async fn store(&self, db: &Db, row: InboxRow) -> std::result::Result<Outcome, Refusal> {
        let (done, mut outcome) = oneshot::channel();
        {
            let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.len() >= QUEUE {
                return Err(busy("too many batches of readings wait to be stored"));
            }
            queue.push_back(Job { row, done });
        }
        loop {
            tokio::select! {
                biased;
                // Whoever had the turn and was cut off leaves no outcome: the device sends again.
                stored = &mut outcome => return Ok(stored.unwrap_or(Outcome::Unavailable)),
                turn = self.0.turn.lock() => {
                    let jobs = self.take();
                    let rows: Vec<&InboxRow> = jobs.iter().map(|job| &job.row).collect();
                    let stored = commit(db, &rows).await;
                    for job in jobs {
                        // A caller who is gone does not want to know.
                        let _ = job.done.send(stored);
                    }
                    drop(turn);
                    self.0.arrived.notify_one();
                }
            }
        }
    }

    fn take(&self) -> Vec<Job> {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.len().min(COMMIT);
        queue.drain(..count).collect()
    }
}

async fn commit(db: &Db, rows: &[&InboxRow]) -> Outcome {
    if rows.is_empty() {
        return Outcome::Stored;
    }
    let stored = async {
        let mut tx = db.write().await?;
        for row in rows {
            inbox_put(&mut tx, row).await?;
        }
        tx.commit().await
    };
    match stored.await {
        Ok(()) => Outcome::Stored,
        Err(StoreError::Full(_)) => Outcome::Full,
        Err(StoreError::Unavailable(_)) => Outcome::Unavailable,
        Err(error) => {
            tracing::error!(error = %crate::chain::chain(&error), batches = rows.len(), "cannot store readings");
            Outcome::Failed
        }
    }
}

fn busy(message: &str) -> Refusal {
    Refusal::new(Reason::Unavailable, message, "nothing was acknowledged; send the batch again in a moment")
        .retry_after(Duration::from_secs(2))
}

pub(super) fn from_wire(wire: &v1::Reading) -> Reading {
    let at = wire.time.as_ref().and_then(|time| {
        let millis = time.seconds.checked_mul(1000)?.checked_add(i64::from(time.nanos / 1_000_000))?;
        Some(Timestamp::from_millis(millis))
    });
    Reading {
        component: wire.component.clone(),
        metric: wire.metric.clone(),
        unit: wire.unit.clone(),
        class: class(wire.data_class),
        at,
        value: wire.value,
        boot_id: wire.boot_id.clone(),
    }
}

pub(super) fn class(wire: i32) -> Option<DataClass> {
    match v1::DataClass::try_from(wire) {
        Ok(v1::DataClass::Essential) => Some(DataClass::Essential),
        Ok(v1::DataClass::Diagnostic) => Some(DataClass::Diagnostic),
        Ok(v1::DataClass::Usage) => Some(DataClass::Usage),
        Ok(v1::DataClass::Location) => Some(DataClass::Location),
        Ok(v1::DataClass::Unspecified) | Err(_) => None,
    }
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;

//! Reports of devices: each counts once, and OK means that it is durable.

use super::{
    Context, Result,
    device_cache::DeviceEntry,
    update_steps::{TRIES, ended, enter},
};
use crate::{
    model::{
        refusal::{Reason as Refused, Refusal},
        time::Timestamp,
        update::{Event, HistoryLine, Reason, Transition, Update, UpdateState, transition},
    },
    store::{
        Tx,
        reports::report_insert,
        updates::{history_append, update_get, update_store},
    },
};

/// Longest code of a reason, in bytes.
const CODE: usize = 64;
/// Longest sentence of a reason, in bytes.
const DETAIL: usize = 1024;

/// One step of an update, as a device reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// `devices/{id}/updates/{id}`.
    pub update: String,
    /// Makes a repeated report harmless: with the same update and state it is the same report.
    pub sequence: u64,
    /// The state entered.
    pub state: UpdateState,
    /// Why.
    pub reason: Reason,
    /// Bytes received so far.
    pub bytes_fetched: u64,
    /// Bytes written so far.
    pub bytes_written: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
}

enum Outcome {
    /// It was known, or changed nothing that memory holds.
    Noted,
    /// It ended the update.
    Ended(Box<Update>),
    /// It moved the update on.
    Moved,
    /// Somebody else changed the same thing first.
    Raced,
}

/// Records a report of the device.
pub async fn report(ctx: &Context, device: &DeviceEntry, report: &Report) -> Result<()> {
    check(report)?;
    let prefix = format!("devices/{}/updates/", device.id());
    let id = report.update.strip_prefix(&prefix).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| unknown(&report.update))?;
    for _ in 0..TRIES {
        let now = ctx.clock.now();
        let mut tx = ctx.db.write().await?;
        match write(&mut tx, ctx, device, id, report, now).await? {
            Outcome::Raced => drop(tx),
            Outcome::Noted => return Ok(tx.commit().await?),
            Outcome::Moved => {
                tx.commit().await?;
                ctx.wake.rollouts();
                return Ok(());
            }
            Outcome::Ended(update) => {
                tx.commit().await?;
                return ended(ctx, &update).await;
            }
        }
    }
    Err(Refusal::new(
        Refused::Unavailable,
        format!("{} changes too fast", report.update),
        "send the report again in a moment",
    )
    .retry_after(std::time::Duration::from_secs(1))
    .into())
}

async fn write(
    tx: &mut Tx,
    ctx: &Context,
    device: &DeviceEntry,
    id: &str,
    report: &Report,
    now: Timestamp,
) -> Result<Outcome> {
    if !report_insert(tx, device.id(), report.sequence, id, report.state, now).await? {
        return Ok(Outcome::Noted);
    }
    let mut update = update_get(tx, id)
        .await?
        .filter(|update| update.device_id == device.id())
        .ok_or_else(|| unknown(&report.update))?;
    // A device counts its bytes from zero again when its journal was lost: the most it said stands.
    update.bytes_fetched = update.bytes_fetched.max(report.bytes_fetched);
    update.bytes_written = update.bytes_written.max(report.bytes_written);
    update.attempt = update.attempt.max(report.attempt);
    match transition(update.state, Event::Reported(report.state)) {
        Transition::Refuse => {
            Err(invalid("state", format!("a device cannot report {}", report.state.as_str())).into())
        }
        Transition::Enter(state) => {
            update.settled = state.is_terminal();
            if !enter(tx, ctx, &mut update, state, report.reason.clone(), "device", now).await? {
                return Ok(Outcome::Raced);
            }
            Ok(if state.is_terminal() { Outcome::Ended(Box::new(update)) } else { Outcome::Moved })
        }
        Transition::Note => {
            if !update.state.is_terminal() {
                update.updated_at = now;
                if !update_store(tx, &mut update).await? {
                    return Ok(Outcome::Raced);
                }
            }
            let line = HistoryLine {
                state: report.state,
                at: now,
                actor: "device".to_owned(),
                reason: report.reason.clone(),
            };
            history_append(tx, id, &line).await?;
            Ok(Outcome::Noted)
        }
    }
}

fn check(report: &Report) -> Result<()> {
    if i64::try_from(report.sequence).is_err() {
        return Err(invalid("sequence", format!("the sequence {} is out of range", report.sequence)).into());
    }
    if report.reason.code.len() > CODE || report.reason.detail.len() > DETAIL {
        let message = format!("a reason has at most {CODE} bytes of code and {DETAIL} of detail");
        return Err(invalid("reason", message).into());
    }
    Ok(())
}

fn invalid(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(Refused::ReportInvalid, message, "update the agent; this report will never be taken")
        .field(field)
}

fn unknown(name: &str) -> Refusal {
    Refusal::new(
        Refused::UpdateUnknown,
        format!("{name:?} is no update of this device"),
        "drop the report; the device belongs to another server's record, or its update was erased",
    )
    .field("update")
}

#[cfg(test)]
#[path = "reports_tests.rs"]
mod tests;

//! The one place where the state of an update changes.

use super::{
    Effect, Event, Memory, Offer, Reason, Report, Slot, Snapshot, State, Step, Work, World,
    judge::{Verdict, judge},
};

const MINUTE: i64 = 60_000;
/// An update whose offer names no deadline is given up after this.
const UPDATE_LIMIT: i64 = 24 * 60 * MINUTE;
/// What needs nobody but this device.
const LOCAL_LIMIT: i64 = 10 * MINUTE;
/// A reboot that did not happen by then does not happen.
const REBOOT_LIMIT: i64 = 15 * MINUTE;
/// Health command (at most 4 minutes) and contact with the server (30 seconds), with some air.
const TRIAL_LIMIT: i64 = 6 * MINUTE;
/// Pause before a commit or a roll-back that did not work is tried again: doubled each time.
const CLOSING_PAUSE: i64 = MINUTE / 2;
const CLOSING_PAUSE_LIMIT: i64 = 60 * MINUTE;
/// Records without progress, and reboots to end an update, before the device stops trying.
const IDLE_RECORDS: u32 = 28;
const CLOSING_REBOOTS: u32 = 3;

/// An event that means nothing in this state, for example the outcome of an effect that was stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} means nothing in state {state}")]
pub struct Unexpected {
    /// Name of the state.
    pub state: &'static str,
    /// The event.
    pub event: Box<Event>,
}

/// What is known next, and what to do then. The snapshot must be durable before anything is done;
/// if it equals the one before, there is nothing to write.
///
/// # Errors
/// [`Unexpected`]: nothing changes.
pub fn step(snapshot: &Snapshot, event: Event, now: i64) -> Result<(Snapshot, Vec<Effect>), Unexpected> {
    let mut turn = Turn { memory: snapshot.memory.clone(), now };
    let unexpected = |event| Unexpected { state: snapshot.state.name(), event: Box::new(event) };
    let (state, effects) = match (snapshot.state.clone(), event) {
        (state, Event::Started(world)) => turn.start(state, world),

        (state, Event::Offered(offer, world)) => match turn.offer(&state, *offer, &world) {
            Some(next) => next,
            None => return Ok((snapshot.clone(), Vec::new())),
        },
        (state, Event::OfferRefused { update, reason }) => {
            if !turn.is_closed(&update) {
                turn.report_refusal(update, reason);
            }
            (state, Vec::new())
        }

        (State::Planned(work) | State::Waiting(work), Event::Surveyed { capacity, inhibited, .. }) => {
            match capacity {
                Some(capacity) if work.release.size > capacity => turn.reject(
                    &work,
                    Reason::new(
                        "IMAGE_LARGER_THAN_SLOT",
                        format!(
                            "the artifact has {} bytes, slot {} holds {capacity}",
                            work.release.size, work.target
                        ),
                    ),
                ),
                _ if inhibited => go(State::Waiting(work)),
                _ => {
                    turn.memory.set_installed(work.target, None);
                    go(State::Preparing(work))
                }
            }
        }
        (State::Preparing(work), Event::Prepared) => {
            turn.report(&work, Step::Downloading, None, work.previous);
            go(State::Fetching(work))
        }
        (State::Fetching(mut work), Event::Checkpoint(progress)) => {
            work.progress = progress;
            (State::Fetching(work), Vec::new())
        }
        (State::Fetching(mut work), Event::Fetched(progress)) => {
            work.progress = progress;
            go(State::Verifying(work))
        }
        (State::Verifying(work), Event::Verified) => {
            turn.memory.set_installed(work.target, Some(work.release.installed()));
            turn.report(&work, Step::Staged, None, work.previous);
            go(State::Staged(work))
        }
        (State::Staged(work), Event::Surveyed { inhibited: true, .. }) => {
            (State::Staged(work), vec![Effect::Survey { later: true }])
        }
        (State::Staged(work), Event::Surveyed { boot_id, .. }) => go(State::Arming { work, boot_id }),
        (State::Arming { work, boot_id }, Event::Armed) => go(State::Rebooting { work, boot_id }),

        (State::Trial { work, boot_id, healthy: false }, Event::Healthy { contact: false }) => {
            go(State::Trial { work, boot_id, healthy: true })
        }
        (State::Trial { work, healthy: false, .. }, Event::Healthy { contact: true })
        | (State::Trial { work, healthy: true, .. }, Event::Contacted | Event::ContactAwaited) => {
            go(State::Committing(work))
        }
        (State::Trial { work, .. }, Event::Unhealthy(reason) | Event::Failed(reason)) => {
            roll_back(work, reason, true)
        }
        (State::Trial { work, .. }, Event::Deadline) => {
            roll_back(work, Reason::new("TRIAL_TIMED_OUT", "the trial did not end in time"), true)
        }

        (State::Committing(work), Event::Committed { running }) if running == work.target => {
            turn.finish_commit(&work)
        }
        (State::Committing(work), Event::Committed { .. }) => turn.reboot_again(State::Committing(work)),
        (State::RollingBack { work, previous, reason, ran }, Event::Restored { running })
            if running == previous =>
        {
            turn.finish_roll_back(work.as_deref(), reason, ran)
        }
        (state @ State::RollingBack { .. }, Event::Restored { .. }) => turn.reboot_again(state),
        (state @ (State::Committing(_) | State::RollingBack { .. }), Event::Failed(_)) => {
            let pause = turn.closing_pause();
            return Ok(turn.settle(snapshot, state, Vec::new(), Some(pause)));
        }
        (state @ (State::Committing(_) | State::RollingBack { .. }), Event::Deadline) => {
            let effects = state.effect().into_iter().collect();
            let pause = turn.closing_pause();
            return Ok(turn.settle(snapshot, state, effects, Some(pause)));
        }

        (State::Arming { work, .. } | State::Rebooting { work, .. }, Event::Failed(reason)) => {
            roll_back(work, reason, false)
        }
        (State::Arming { work, .. } | State::Rebooting { work, .. }, Event::Deadline) => {
            roll_back(work, Reason::new("REBOOT_DID_NOT_HAPPEN", "the reboot did not happen in time"), false)
        }
        (State::Idle, Event::Restored { .. } | Event::Failed(_)) => (State::Idle, Vec::new()),

        (state, Event::Cancelled { update })
            if state.droppable().is_some_and(|work| work.update == update) =>
        {
            (State::Idle, vec![Effect::Stop])
        }
        (state, Event::Failed(reason)) if state.droppable().is_some() => turn.fail(&state, reason),
        (state, Event::Deadline) if state.droppable().is_some() => {
            let reason =
                Reason::new("UPDATE_TIMED_OUT", format!("the deadline passed while {}", state.name()));
            turn.fail(&state, reason)
        }
        (state, Event::Delivered { sequence }) => {
            turn.memory.outbox.retain(|report| report.sequence != sequence);
            (state, Vec::new())
        }
        (_, event) => return Err(unexpected(event)),
    };
    let changed_kind = state.name() != snapshot.state.name();
    let deadline = if changed_kind { deadline(&state, now) } else { snapshot.deadline };
    Ok(turn.settle(snapshot, state, effects, deadline))
}

type Next = (State, Vec<Effect>);

/// Enters a state and does what there is to do in it.
fn go(state: State) -> Next {
    let effects = state.effect().into_iter().collect();
    (state, effects)
}

fn roll_back(work: Box<Work>, reason: Reason, ran: bool) -> Next {
    let (state, mut effects) =
        go(State::RollingBack { previous: work.previous, work: Some(work), reason, ran });
    effects.insert(0, Effect::Stop);
    (state, effects)
}

/// When the device may not stand in a state any more.
fn deadline(state: &State, now: i64) -> Option<i64> {
    match state {
        State::Idle | State::Inconsistent { .. } => None,
        State::Planned(work) | State::Preparing(work) => {
            Some(work.give_up_at.min(now.saturating_add(LOCAL_LIMIT)))
        }
        State::Waiting(work) | State::Fetching(work) | State::Verifying(work) | State::Staged(work) => {
            Some(work.give_up_at)
        }
        State::Arming { .. } => Some(now.saturating_add(LOCAL_LIMIT)),
        State::Rebooting { .. } => Some(now.saturating_add(REBOOT_LIMIT)),
        State::Trial { .. } => Some(now.saturating_add(TRIAL_LIMIT)),
        State::Committing(_) | State::RollingBack { .. } => Some(now.saturating_add(LOCAL_LIMIT)),
    }
}

struct Turn {
    memory: Memory,
    now: i64,
}

impl Turn {
    fn start(&mut self, state: State, world: World) -> Next {
        match judge(&state, &world) {
            Verdict::Stay => go(state),
            Verdict::Tidy => (state, vec![Effect::Restore { slot: world.default }]),
            Verdict::Lost(reason) => self.fail(&state, reason),
            Verdict::Become(next) => {
                let was_trial = matches!(state, State::Trial { .. });
                if let (State::Trial { work, .. }, false) = (&next, was_trial) {
                    self.report(work, Step::Trial, None, work.target);
                }
                go(next)
            }
        }
    }

    /// None when the offer changes nothing.
    fn offer(&mut self, state: &State, offer: Offer, world: &World) -> Option<Next> {
        let Offer { update, release, deadline } = offer;
        let busy = state.work().is_some_and(|work| work.update == update);
        let open = matches!(state, State::Idle | State::Inconsistent { .. }) || state.droppable().is_some();
        if busy || !open || self.is_closed(&update) {
            return None;
        }
        let give_up_at = deadline.filter(|deadline| *deadline > self.now);
        let (failed, quarantined) = self.memory.failures(&release.digest, self.now);
        let work = Box::new(Work {
            update,
            attempt: failed + 1,
            give_up_at: give_up_at.unwrap_or(i64::MAX).min(self.now.saturating_add(UPDATE_LIMIT)),
            target: world.running.other(),
            previous: world.running,
            progress: super::Progress::default(),
            release,
        });
        if let State::Inconsistent { reason } = state {
            self.report(&work, Step::Rejected, Some(frozen(reason)), world.running);
            return Some((state.clone(), Vec::new()));
        }
        if quarantined.is_some() {
            let reason = Reason::new(
                "RELEASE_QUARANTINED",
                format!("version {} failed {failed} times on this device", work.release.version),
            );
            return Some(self.reject(&work, reason));
        }
        if self.memory.installed(world.running) == Some(&work.release.installed()) {
            self.memory.floor = self.memory.floor.max(work.release.floor);
            self.report(&work, Step::Succeeded, None, world.running);
            return Some((State::Idle, vec![Effect::Stop]));
        }
        let (state, mut effects) = go(State::Planned(work));
        effects.insert(0, Effect::Stop);
        Some((state, effects))
    }

    /// The update has its last report already.
    fn is_closed(&self, update: &str) -> bool {
        self.memory.outbox.iter().any(|report| report.update == update && report.step.is_last())
    }

    fn reject(&mut self, work: &Work, reason: Reason) -> Next {
        self.report(work, Step::Rejected, Some(reason), work.previous);
        (State::Idle, vec![Effect::Stop])
    }

    fn fail(&mut self, state: &State, reason: Reason) -> Next {
        if let Some(work) = state.work() {
            self.memory.note_failure(work.release.digest, self.now);
            self.report(work, Step::Failed, Some(reason), work.previous);
        }
        (State::Idle, vec![Effect::Stop])
    }

    fn finish_commit(&mut self, work: &Work) -> Next {
        // Only now, with the boot loader's default on the target, may the way back be closed.
        self.memory.floor = self.memory.floor.max(work.release.floor);
        self.memory.forget_failures(&work.release.digest);
        self.report(work, Step::Succeeded, None, work.target);
        (State::Idle, Vec::new())
    }

    fn finish_roll_back(&mut self, work: Option<&Work>, reason: Reason, ran: bool) -> Next {
        if let Some(work) = work {
            self.memory.note_failure(work.release.digest, self.now);
            let step = if ran { Step::RolledBack } else { Step::Failed };
            self.report(work, step, Some(reason), work.previous);
        }
        (State::Idle, Vec::new())
    }

    /// The boot loader is right, but the wrong slot runs.
    fn reboot_again(&mut self, state: State) -> Next {
        self.memory.closing_reboots += 1;
        if self.memory.closing_reboots > CLOSING_REBOOTS {
            let reason = Reason::new(
                "UPDATE_INCONSISTENT",
                format!("{CLOSING_REBOOTS} reboots while {} did not start the right slot", state.name()),
            );
            return (State::Inconsistent { reason }, vec![Effect::Stop]);
        }
        (state, vec![Effect::Reboot])
    }

    fn closing_pause(&self) -> i64 {
        let doublings = (self.memory.idle_records / 2).min(16);
        self.now.saturating_add((CLOSING_PAUSE << doublings).min(CLOSING_PAUSE_LIMIT))
    }

    fn report(&mut self, work: &Work, step: Step, reason: Option<Reason>, running: Slot) {
        let running_version = self.memory.installed(running).map(|installed| installed.version.clone());
        self.memory.sequence += 1;
        self.memory.queue(Report {
            sequence: self.memory.sequence,
            update: work.update.clone(),
            step,
            reason,
            at: self.now,
            fetched: work.progress.fetched,
            written: work.progress.written,
            attempt: work.attempt,
            running_version: running_version.unwrap_or_default(),
        });
    }

    fn report_refusal(&mut self, update: String, reason: Reason) {
        self.memory.sequence += 1;
        self.memory.queue(Report {
            sequence: self.memory.sequence,
            update,
            step: Step::Rejected,
            reason: Some(reason),
            at: self.now,
            fetched: 0,
            written: 0,
            attempt: 1,
            running_version: String::new(),
        });
    }

    /// Counts what does not get on, and ends it.
    fn settle(
        mut self,
        before: &Snapshot,
        state: State,
        effects: Vec<Effect>,
        deadline: Option<i64>,
    ) -> (Snapshot, Vec<Effect>) {
        let rank = state.rank();
        let record = state != before.state || deadline != before.deadline;
        let update = |state: &State| state.work().map(|work| work.update.clone());
        if rank == 0 || update(&state) != update(&before.state) {
            (self.memory.best_rank, self.memory.idle_records, self.memory.closing_reboots) = (0, 0, 0);
        } else if rank > self.memory.best_rank {
            (self.memory.best_rank, self.memory.idle_records) = (rank, 0);
        } else if record {
            self.memory.idle_records += 1;
        }
        if self.memory.idle_records >= IDLE_RECORDS {
            let reason = Reason::new(
                "UPDATE_INCONSISTENT",
                format!("{IDLE_RECORDS} records without progress, last in state {}", state.name()),
            );
            let snapshot =
                Snapshot { state: State::Inconsistent { reason }, deadline: None, memory: self.memory };
            return (snapshot, vec![Effect::Stop]);
        }
        (Snapshot { state, deadline, memory: self.memory }, effects)
    }
}

fn frozen(reason: &Reason) -> Reason {
    Reason::new("UPDATES_FROZEN", format!("updates are frozen on this device: {}", reason.detail))
}

//! What became of what was intended: read from the world at every start.

use super::{Reason, State, World};

/// What the world says about the state in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The state stands; do again what there is to do in it.
    Stay,
    /// Nothing is going on, but the boot loader still has something to try.
    Tidy,
    /// The world is further than the journal.
    Become(State),
    /// The slots were changed by somebody else: the update has no ground to stand on.
    Lost(Reason),
}

/// Judges a state by the boot id, the running slot and the boot loader. Looks at nothing else.
pub fn judge(state: &State, world: &World) -> Verdict {
    match state {
        State::Idle if world.running != world.default => Verdict::Become(State::RollingBack {
            work: None,
            previous: world.default,
            reason: Reason::new(
                "SLOT_UNEXPECTED",
                format!(
                    "slot {} runs, but {} is the default and no update is known",
                    world.running, world.default
                ),
            ),
            ran: false,
        }),
        State::Idle if world.trying.is_some() => Verdict::Tidy,
        State::Idle | State::Inconsistent { .. } => Verdict::Stay,

        State::Planned(work)
        | State::Waiting(work)
        | State::Preparing(work)
        | State::Fetching(work)
        | State::Verifying(work)
        | State::Staged(work) => {
            if world.running == work.target || world.default == work.target {
                return Verdict::Lost(Reason::new(
                    "SLOTS_CHANGED",
                    format!("slot {} was to be written, but it is in use now", work.target),
                ));
            }
            Verdict::Stay
        }

        State::Arming { boot_id, .. } if *boot_id == world.boot_id => Verdict::Stay,
        State::Arming { work, .. } => {
            if world.running == work.target {
                return Verdict::Become(State::Trial {
                    work: work.clone(),
                    boot_id: world.boot_id.clone(),
                    healthy: false,
                });
            }
            if world.trying == Some(work.target) && world.tries_left == 0 {
                return Verdict::Become(fell_back(state, world));
            }
            // The power went before the boot loader was armed.
            Verdict::Become(State::Arming { work: work.clone(), boot_id: world.boot_id.clone() })
        }

        State::Rebooting { boot_id, .. } if *boot_id == world.boot_id => Verdict::Stay,
        State::Rebooting { work, .. } => {
            if world.running == work.target {
                return Verdict::Become(State::Trial {
                    work: work.clone(),
                    boot_id: world.boot_id.clone(),
                    healthy: false,
                });
            }
            if world.trying == Some(work.target) && world.tries_left > 0 {
                // A boot that the boot loader did not use for the trial.
                return Verdict::Become(State::Rebooting {
                    work: work.clone(),
                    boot_id: world.boot_id.clone(),
                });
            }
            Verdict::Become(fell_back(state, world))
        }

        State::Trial { work, boot_id, .. } => {
            if world.running != work.target {
                return Verdict::Become(fell_back(state, world));
            }
            if *boot_id == world.boot_id {
                return Verdict::Stay;
            }
            // The boot loader gives more than one try and counts them; the deadline stands.
            Verdict::Become(State::Trial {
                work: work.clone(),
                boot_id: world.boot_id.clone(),
                healthy: false,
            })
        }

        State::Committing(_) | State::RollingBack { .. } => Verdict::Stay,
    }
}

/// The boot loader went back by itself.
fn fell_back(state: &State, world: &World) -> State {
    let (code, what) = match state {
        State::Trial { .. } => ("TRIAL_INTERRUPTED", "the device rebooted during the trial of"),
        _ => ("TRIAL_BOOT_FAILED", "the device came back without having started"),
    };
    let work = state.work().cloned().map(Box::new);
    let release = work.as_ref().map_or("", |work| work.release.version.as_str());
    State::RollingBack {
        previous: work.as_ref().map_or(world.default, |work| work.previous),
        reason: Reason::new(code, format!("{what} {release}; slot {} runs", world.running)),
        work,
        ran: true,
    }
}

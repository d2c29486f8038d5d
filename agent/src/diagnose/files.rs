//! What a device is made of: settings, key, certificate, what it trusts, and its clock.

use std::fs::File;

use rustix::fs::FlockOperation;
use slipway_trust::Date;

use super::Notes;
use crate::{
    clock::Clock,
    config::{Config, ConfigError, StateDir},
    identity::{self, IdentityError, Papers},
    keystore::Keys,
    link::chain,
    verify::{TrustError, TrustStore},
};

const DAY: i64 = 24 * 3_600_000;
/// A clock that is off by more than this confuses people who compare logs, in milliseconds.
const OFF: i64 = 5 * 60_000;

pub(super) fn settings(state: &StateDir, notes: &mut Notes) -> Option<Config> {
    match Config::read(state) {
        Ok(config) => {
            notes.ok("settings", format!("device {} of product {}", config.device_id, config.product));
            Some(config)
        }
        Err(error) => {
            let hint = match &error {
                ConfigError::NotEnrolled { .. } => {
                    "enrol this machine (`slipway-agent enroll --help`), or name the right folder with --state"
                }
                ConfigError::Invalid { .. } => "correct the line, or remove the key; see docs/agent.md",
                _ => "look at the folder's owner and at the disk",
            };
            let finding = notes.problem("settings", chain(&error), hint);
            if matches!(error, ConfigError::NotEnrolled { .. }) {
                finding.reason("NOT_ENROLLED");
            }
            None
        }
    }
}

/// Whether an agent works here: it holds the lock.
pub(super) fn process(state: &StateDir, notes: &mut Notes) {
    let held = File::open(state.path().join("lock")).map(|file| {
        let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared);
        let _ = rustix::fs::flock(&file, FlockOperation::Unlock);
        locked == Err(rustix::io::Errno::WOULDBLOCK)
    });
    match held {
        Ok(true) => notes.ok("agent", "it is running"),
        _ => {
            let hint = "start it: `systemctl start slipway-agent`, or `slipway-agent run --state DIR`";
            notes.problem("agent", "it is not running: nothing is updated and nothing is sent", hint);
        }
    }
}

/// What the device trusts. Reading it raises the clock's floor to what was proved.
pub(super) fn trust(state: &StateDir, config: &Config, clock: &Clock, notes: &mut Notes) {
    match TrustStore::open(state, &config.product, &config.device_id, clock) {
        Ok((store, lost)) => {
            for reason in &lost {
                notes.warn("trust", &reason.detail, "nothing: the agent mends it").reason(&reason.code);
            }
            if let Some(error) = store.stale() {
                let hint = "nothing can be installed until the server has newer metadata: ask its operator";
                notes.warn("trust", chain(&error), hint).reason(error.code());
            } else if lost.is_empty() {
                notes.ok("trust", format!("root {} and what follows from it", store.have().root));
            }
        }
        Err(error) => {
            let hint = match error {
                TrustError::NoRoot { .. } | TrustError::Refused(_) => {
                    "restore `metadata/root.json` from a copy, or enrol this machine again with a new claim"
                }
                _ => "look at the folder's owner and at the disk",
            };
            notes.problem("trust", chain(&error), hint).reason(error.code());
        }
    }
}

pub(super) fn clock(clock: &Clock, notes: &mut Notes) {
    let (shown, trusted) = (clock.unproved(), clock.now());
    let [shows, proved] = [shown, trusted].map(|millis| Date::from_millis(millis).to_string());
    if clock.is_in_doubt() {
        let what = format!("it shows {shows}, and signed metadata proves that it is {proved} or later");
        let hint = "the device goes on with the time that was proved; set the clock, switch NTP on \
                    (`timedatectl set-ntp true`), look at the battery of the clock";
        notes.warn("clock", what, hint);
    } else if trusted - shown > OFF {
        notes.warn("clock", format!("it shows {shows}, which is too early"), "switch NTP on");
    } else {
        notes.ok("clock", format!("it shows {shows}; nothing speaks against it"));
    }
}

/// The papers, where the key can be used.
pub(super) fn identity(
    state: &StateDir,
    config: &Config,
    clock: &Clock,
    notes: &mut Notes,
) -> Option<Papers> {
    let loaded = Keys::open(state, config).and_then(|keys| identity::load(&keys));
    let (papers, wrong) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let hint =
                "restore the file from a copy, or enrol this machine under a new id in a new state folder";
            let finding = notes.problem("key", chain(&error), hint);
            if error.code() != "STATE_IO_FAILED" {
                finding.reason(error.code());
            }
            return None;
        }
    };
    notes.ok("key", "it can be read");
    let itself = "nothing, if the server can be reached: the agent proves its key and is given another";
    match (&papers.certificate, wrong) {
        (Some(held), _) => {
            let (now, facts) = (clock.now(), &held.facts);
            let end = Date::from_millis(facts.not_after);
            if now > facts.not_after {
                notes.warn("certificate", format!("it ended at {end}"), itself);
            } else if now < facts.not_before {
                let from = Date::from_millis(facts.not_before);
                notes.warn("certificate", format!("it holds only from {from} on"), "look at the clock");
            } else {
                let days = (facts.not_after - now) / DAY;
                // The agent renews it when half to two thirds of its life are over.
                let late = now - facts.not_before > (facts.not_after - facts.not_before) * 3 / 4;
                let what = format!("it holds until {end}, {days} days from now");
                if late {
                    let hint =
                        "the agent should have renewed it by now: look at the findings about the server";
                    notes.warn("certificate", what, hint);
                } else {
                    notes.ok("certificate", what);
                }
            }
        }
        (None, Some(error @ IdentityError::Io { .. })) => {
            notes.problem("certificate", chain(&error), "look at the folder's owner and at the disk");
        }
        (None, error) => {
            let what = error.map_or_else(|| "there is none".to_owned(), |error| chain(&error));
            notes.warn("certificate", what, itself);
        }
    }
    Some(papers)
}

//! Readings on their way: what waits, and what the owner lets go.

use super::Notes;
use crate::{
    config::StateDir,
    consent::Consent,
    link::chain,
    spool::{self, Limits},
    telemetry::consent_path,
};

pub(super) fn look(state: &StateDir, notes: &mut Notes) {
    match Consent::read(&consent_path(state)) {
        Ok(consent) => {
            let classes = [
                ("diagnostic", consent.diagnostic),
                ("usage", consent.usage),
                ("location", consent.location),
            ];
            let allowed: Vec<&str> = classes.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
            let more = if allowed.is_empty() { "nothing else".to_owned() } else { allowed.join(", ") };
            notes.ok("consent", format!("essential readings may leave the device, and {more}"));
        }
        Err(error) => {
            let hint = "say it anew: `slipway-agent consent --state DIR --allow CLASS,… --refuse CLASS,…`";
            notes.warn("consent", chain(&error), hint).reason("CONSENT_INVALID");
        }
    }
    match spool::peek(&state.path().join("spool"), Limits::default()) {
        Ok(found) => {
            if found.damaged > 0 {
                let what = format!("{} files of readings are damaged", found.damaged);
                notes.warn("spool", what, "nothing: what can be read is sent, the rest is lost");
            }
            let what = format!("{} readings wait for the server", found.waiting);
            // The spool gives up its oldest file when all of them are there.
            if found.bytes >= Limits::default().total {
                let hint = "readings are given up, the oldest first, until the server can be reached";
                notes.warn("spool", format!("{what}, and there is no room for more"), hint);
            } else {
                notes.ok("spool", what);
            }
        }
        Err(error) => {
            notes
                .warn("spool", chain(&error), "look at the folder's owner and at the disk")
                .reason(error.code());
        }
    }
}

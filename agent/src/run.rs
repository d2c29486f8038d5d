//! `slipway-agent run`: one life after the other, each from the journal.

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;

use crate::{
    clock::Clock,
    config::{Config, ConfigError, StateDir},
    contact::Contact,
    identity::{self, IdentityError},
    journal::{Journal, JournalError},
    link::{Link, LinkError},
    machine::{Reason, Snapshot},
    readings::Readings,
    shell::{Exit, Parts, Shell},
    slots::FileSlots,
    verify::{TrustError, TrustStore},
};

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// See [`ConfigError`].
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// See [`IdentityError`].
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// See [`LinkError`].
    #[error(transparent)]
    Link(#[from] LinkError),
    /// See [`TrustError`].
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// See [`JournalError`].
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Runs the agent of the device in `state` until `stop` becomes true. A reboot of the `file` driver starts
/// it over from its files, as a reboot of a machine would.
///
/// # Errors
/// When it cannot start: [`RunError`].
pub async fn run(
    state: &StateDir,
    clock: Clock,
    mut rng: StdRng,
    mut readings: Option<Box<dyn Readings>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let _lock = state.lock()?;
    loop {
        let config = Config::read(state)?;
        let authorities = identity::read_certificates(&state.server_ca())?;
        let identity = identity::load(state)?;
        let (trust, left_out) = TrustStore::open(state, &config.product, &config.device_id, &clock)?;
        let link = Link::new(&config.server, &authorities, Some(identity), &clock)?;
        let (journal, recovered) = Journal::open(&state.journal())?;
        let (mut snapshot, unreadable) = match recovered.last.as_deref().map(serde_json::from_slice) {
            Some(Ok(snapshot)) => (snapshot, None),
            Some(Err(error)) => (Snapshot::default(), Some(error)),
            None => (Snapshot::default(), None),
        };
        // A record was there and is lost: the server drops what comes under a sequence that it has seen.
        let lost = recovered.last.is_none() && (recovered.torn > 0 || recovered.damage.is_some());
        if lost || unreadable.is_some() {
            snapshot.memory.sequence = u64::try_from(clock.now()).unwrap_or(0);
        }
        let slots = FileSlots::open_folder(&config.slots, config.slot_size, StdRng::from_rng(&mut rng));
        let parts = Parts {
            contact: Contact::new(link, trust, config.clone(), state.clone()),
            slots: Box::new(slots),
            state: state.clone(),
            clock: clock.clone(),
            rng: StdRng::from_rng(&mut rng),
            config,
            journal,
            snapshot,
        };
        let mut shell = Shell::new(parts, readings.as_deref_mut());
        if let Some(at) = recovered.damage {
            shell.remark(&Reason::new("JOURNAL_DAMAGED", format!("the journal was damaged at byte {at}")));
        }
        if lost && recovered.damage.is_none() {
            shell.remark(&Reason::new("JOURNAL_DAMAGED", "the journal has no whole record; it starts anew"));
        }
        if let Some(error) = unreadable {
            shell
                .remark(&Reason::new("JOURNAL_DAMAGED", format!("its last record is not readable: {error}")));
        }
        for error in left_out {
            shell.remark(&Reason::new(error.code(), format!("a stored document was left out: {error}")));
        }
        match shell.live(&mut stop).await {
            Exit::Stopped => return Ok(()),
            Exit::Rebooted => {}
        }
    }
}

//! `slipway-agent run`: one life after the other, each from the journal.

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;

use crate::{
    authorities::Authorities,
    bundle::Supply,
    clock::Clock,
    config::{Config, ConfigError, StateDir},
    contact::Contact,
    identity::IdentityError,
    journal::JournalError,
    link::{Link, LinkError},
    passport::Passport,
    readings::Readings,
    recover,
    shell::{Aim, Exit, Parts, Shell},
    slots::{FileSlots, Slots},
    verify::{TrustError, TrustStore},
};

/// Why the agent cannot work with its state folder, its identity or its server's address.
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
        let (authorities, copied) = Authorities::load(state)?;
        let (trust, lost) = TrustStore::open(state, &config.product, &config.device_id, &clock)?;
        let link = Link::by(&config.server, authorities, None, &clock)?;
        let (passport, wrong) = Passport::open(state, &config, &link, &clock, StdRng::from_rng(&mut rng))?;
        let slots: Box<dyn Slots + Send> =
            Box::new(FileSlots::open_folder(&config.slots, config.slot_size, StdRng::from_rng(&mut rng)));
        let running = slots.active().and_then(|slot| Ok((slot, slots.open(slot)?))).ok();
        let remembered = recover::remember(state, &config, &trust, running, clock.now()).await?;
        let parts = Parts {
            aim: Aim::Serve,
            supply: Supply::Server(link.clone()),
            contact: Some(Contact::new(link, trust, passport, config.clone(), state.clone())),
            slots,
            state: state.clone(),
            clock: clock.clone(),
            rng: StdRng::from_rng(&mut rng),
            config,
            journal: remembered.journal,
            snapshot: remembered.snapshot,
            floor: remembered.floor,
        };
        let mut shell = Shell::new(parts, readings.as_deref_mut());
        for remark in copied.iter().chain(&wrong).chain(&lost).chain(&remembered.remarks) {
            shell.remark(remark);
        }
        match shell.live(&mut stop).await {
            Exit::Stopped | Exit::Done => {
                if let Some(readings) = &mut readings {
                    readings.stop();
                }
                return Ok(());
            }
            Exit::Rebooted => {}
        }
    }
}

//! Puts a server together, starts it, and brings it down without dropping a call.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    api, bootstrap,
    clock::Clock,
    config::{Config, ConfigError},
    data_dir::{DataDir, DataDirError, check_clock},
    limits,
    listen::{Listener, tls_config},
    objects::{Objects, ObjectsError},
    observe::Metrics,
    pki::{Disbelief, PkiError},
    rng::Rng,
    service::{
        Context, Error, active_rollouts::ActiveRollouts, alerts::AlertFeed, archive::Archive, conditions,
        conditions::Conditions, courier::Courier, device_cache::DeviceCache, enroll::Guesses,
        forecasts::Forecasts, ingest::Inbox, known_keys::KnownKeys, manifests::Manifests, offline::Offline,
        places::Places, presence::Presence, renew::Renewals, stop::StopHandle, suppression::Suppression,
        token_cache::TokenCache, trust::Trust, trust_keys::KeyRing, wake::Wake,
    },
    store::{Db, StoreError, changes::changes_all},
    tasks::{self, driver::Tasks},
    webhook::{Outbound, OutboundError, Resolver},
};

/// Time and randomness: the system's, or a test's.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Clock.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
}

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    /// The address it is bound to.
    pub addr: SocketAddr,
    /// The URL in profiles.
    pub url: String,
    /// What operations run on; tests look into it.
    pub context: Context,
    /// What the start made, for people.
    pub made: Vec<String>,
    stop: StopHandle,
    listener: JoinHandle<()>,
    tasks: Tasks,
    // Held until the end: its lock keeps others out.
    _data: DataDir,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The address is taken or not ours.
    #[error("cannot listen on {addr}")]
    Bind {
        /// Which address.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The database.
    #[error("cannot open the database {place}")]
    Store {
        /// File or server, without a password.
        place: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The object store.
    #[error("cannot open the object store")]
    Objects(#[from] ObjectsError),
    /// Certificates.
    #[error("cannot make the server's certificate")]
    Certificate(#[from] PkiError),
    /// Nobody would talk to it.
    #[error(transparent)]
    Disbelief(#[from] Disbelief),
    /// TLS.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What is stored does not hold together.
    #[error("cannot load what is stored")]
    Load(#[source] Error),
    /// What webhooks need.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The interface's own description.
    #[error("cannot describe the interface")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl StartError {
    /// The page of `docs/errors/` about it, when it has one.
    pub fn page(&self) -> Option<&'static str> {
        match self {
            StartError::DataDir(error) => error.page(),
            StartError::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Some("PORT_IN_USE")
            }
            StartError::Store { source: StoreError::Full(_), .. }
            | StartError::Load(Error::Store(StoreError::Full(_))) => Some("STORAGE_FULL"),
            StartError::Load(Error::Refused(refusal)) => Some(refusal.reason.code()),
            StartError::Store { source, .. } if source.is_of_newer_program() => Some("DATA_DIRECTORY_NEWER"),
            StartError::Disbelief(_) => Some("CLOCK_WRONG"),
            _ => None,
        }
    }

    /// What the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            StartError::DataDir(error) => error.hint(),
            StartError::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                "another program has this port; pass --listen ADDR:PORT with a free one (port 0 takes any)"
            }
            StartError::Bind { .. } => "pass --listen with an address of this machine",
            StartError::Store { source, .. } => store_hint(source),
            StartError::Objects(_) => "check --objects and the credentials in the environment",
            StartError::Load(_) => "the log above names what is wrong; restore it from a backup",
            StartError::Certificate(_) | StartError::Tls(_) => {
                "check the files in keys/ of the data directory"
            }
            StartError::Config(_) => "correct it; `slipwayd config check` reads the configuration alone",
            StartError::Disbelief(_) => {
                "set the clock of this machine if it is wrong; if it is right, the certificate was made while it was \
                 not: remove the file that is named and server-ca.pem, which are made anew from the keys, and start again"
            }
            StartError::Outbound(_) => "name a PEM file of certificates with --webhook-ca, or leave it out",
            StartError::Reflection(_) => "this is a fault of the program; please report it",
        }
    }
}

fn store_hint(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full(_) => "free room on the disk of the database; nothing that was acknowledged is lost",
        StoreError::Unavailable(_) => "check that the database runs and that its URL is right",
        newer if newer.is_of_newer_program() => {
            "a newer slipwayd wrote this database: run that one, or restore a backup from before the upgrade"
        }
        _ => "check the database file, its owner and its disk",
    }
}

/// Starts a server; it answers when this returns.
pub async fn start(config: Config, deps: Deps) -> Result<Running, StartError> {
    // Once per process, for the object store's HTTP client; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Deps { clock, rng } = deps;
    let now = clock.now();
    check_clock(now)?;
    let mut data = DataDir::open(&config.data)?;
    let tcp = TcpListener::bind(config.listen)
        .await
        .map_err(|source| StartError::Bind { addr: config.listen, source })?;
    let addr = tcp.local_addr().map_err(|source| StartError::Bind { addr: config.listen, source })?;
    let url = config.public_url(addr);
    let db = open_database(&config, &mut data).await?;
    let known = KnownKeys::read(&db).await.map_err(StartError::Load)?;
    let pki = data.pki(now, &known)?;
    // Before anything is recorded, so that what is wrong can be taken away.
    pki.check_believed(now)?;
    let (keys, made) = KeyRing::open(&data.path("keys"), &rng, &known)?;
    for role in made {
        data.note_made(&format!("keys/{role}.pem"), &format!("signing key of the {role} role"));
    }
    known.record(&db, &pki.ids(), now).await.map_err(StartError::Load)?;
    let objects = match &config.objects {
        Some(url) => Objects::open(url, std::env::vars())?,
        None => Objects::local(&data.path("objects"))?,
    };
    let identity = pki.issue_server(&config.certificate_names(&host_name()), rng.bytes(), now)?;
    let tls = tls_config(&pki, identity, clock.clone())?;
    let (stop, stopped) = StopHandle::new();
    let metrics = Metrics::new();
    let outbound = Outbound::new(
        config.webhooks.policy(),
        url.clone(),
        config.webhooks.ca.as_deref(),
        Resolver::System,
    )?;
    let courier = Courier::new(outbound, &rng);
    let context = Context {
        db,
        clock,
        rng,
        objects,
        trust: Trust::new(keys, &metrics),
        pki: Arc::new(pki),
        tokens: TokenCache::default(),
        devices: DeviceCache::default(),
        presence: Presence::default(),
        metrics,
        stop: stopped.clone(),
        inbox: Inbox::default(),
        archive: Archive::new(config.retention),
        forecasts: Forecasts::new(config.anomaly_rules()?),
        erasure: Arc::default(),
        manifests: Manifests::default(),
        alerts: AlertFeed::default(),
        offline: Offline::new(config.offline.clone(), now),
        conditions: Conditions::default(),
        suppression: Suppression::default(),
        courier,
        rollouts: ActiveRollouts::default(),
        wake: Wake::default(),
        renewals: Renewals::new(limits::RENEWALS, limits::RENEWALS_WITHIN),
        exports: Places::new("exports", limits::EXPORTS_OF_TOKEN, limits::EXPORTS),
        watches: Places::new("watches", limits::WATCHES_OF_TOKEN, limits::WATCHES),
        lessons: Places::new("uploads of lives", limits::LESSONS, limits::LESSONS),
        guesses: Guesses::new(limits::GUESSES, limits::GUESSES_WITHIN),
        renew_after_expiry: config.renew_after_expiry(),
        metrics_token: config.metrics_token,
        check_in_interval: Duration::from_secs(config.check_in_interval),
    };
    bootstrap::admin_token(&context, &mut data).await?;
    bootstrap::profile(&mut data, &url)?;
    let tasks = load(&context).await.map_err(StartError::Load)?;
    let app = api::router(&context).await?;
    let listener = Listener::new(tls, app, context.metrics.clone(), stopped);
    let listener = tokio::spawn(listener.run(tcp));
    let made = data.made().to_vec();
    Ok(Running { addr, url, context, made, stop, listener, tasks, _data: data })
}

impl Running {
    /// Stops accepting, lets the calls under way finish within a bounded time, ends streams, and
    /// closes the database.
    pub async fn stop(self) {
        self.stop.raise();
        // A listener that panicked has nothing to drain.
        let _ = self.listener.await;
        self.tasks.ended().await;
        if let Err(error) = self.context.presence.flush(&self.context).await {
            tracing::warn!(error = %crate::chain::chain(&error), "last contacts were not written");
        }
        self.context.db.close().await;
    }
}

/// Fills the caches and starts the reconcilers.
async fn load(ctx: &Context) -> Result<Tasks, Error> {
    // Read first: whatever changes while the caches fill is seen as a change afterwards.
    let mut tx = ctx.db.read().await?;
    let generations = changes_all(&mut tx).await?;
    drop(tx);
    ctx.tokens.reload(ctx).await?;
    conditions::start(ctx).await?;
    ctx.devices.reload(ctx).await?;
    ctx.trust.refresh(&ctx.db).await?;
    ctx.rollouts.reload(ctx).await?;
    let mut tasks = Tasks::new(ctx.clone());
    tasks::changes::spawn(&mut tasks, generations);
    tasks::metadata::spawn(&mut tasks);
    tasks::presence::spawn(&mut tasks);
    tasks::requests::spawn(&mut tasks);
    tasks::rollouts::spawn(&mut tasks, ctx);
    tasks::inbox::spawn(&mut tasks, ctx);
    tasks::archive::spawn(&mut tasks);
    tasks::erasure::spawn(&mut tasks, ctx);
    tasks::outbox::spawn(&mut tasks, ctx);
    tasks::fleet::spawn(&mut tasks);
    tasks::cohorts::spawn(&mut tasks);
    tasks::alert_feed::spawn(&mut tasks);
    tasks::conditions::spawn(&mut tasks, ctx);
    tasks::suppression::spawn(&mut tasks, ctx);
    tasks::offline::spawn(&mut tasks, ctx);
    tasks::retention::spawn(&mut tasks);
    Ok(tasks)
}

async fn open_database(config: &Config, data: &mut DataDir) -> Result<Db, StartError> {
    if let Some(url) = &config.database_url {
        // The part after '@' holds no password.
        let place = url.rsplit('@').next().unwrap_or_default().to_owned();
        return Db::open_postgres(url, None).await.map_err(|source| StartError::Store { place, source });
    }
    let file = data.path("slipway.db");
    let is_new = !file.exists();
    let db = Db::open_sqlite(&file)
        .await
        .map_err(|source| StartError::Store { place: file.display().to_string(), source })?;
    if is_new {
        data.note_made("slipway.db", "SQLite database");
    }
    Ok(db)
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;

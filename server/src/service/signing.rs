//! What the server signs by itself: snapshot, timestamp, and the director's empty base file.
//!
//! Every new state of the metadata is made here, checked as devices will check it, and stored in
//! one transaction: with one row per role and version, two writers cannot both succeed.

use bytes::Bytes;
use slipway_trust::{
    Date, SERVER_CA, SignError, Targets, TrustedSet,
    repo::{self, Repository, lifetime},
};

use super::{Context, Error, Result, online_keys::OnlineKeys, trust_set::TrustSet};
use crate::{
    chain::chain,
    model::{
        refusal::{Reason, Refusal},
        time::Timestamp,
        trust::SignedFile,
    },
    store::{
        StoreError, Tx,
        changes::{self, Kind},
        metadata,
    },
};

const DAY_MS: i64 = 86_400_000;
/// How long older timestamps are remembered: until no device that is not stale can hold them.
const REMEMBER_MS: i64 = (lifetime::TIMESTAMP_DAYS + 1) * DAY_MS;

/// What owners and publishers bring.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// The root that follows.
    pub root: Option<Vec<u8>>,
    /// New top-level targets.
    pub targets: Option<Vec<u8>>,
    /// New metadata of products' roles, and their names.
    pub products: Vec<(String, Vec<u8>)>,
    /// The file of the server's authorities that the new targets name.
    pub server_ca: Option<Vec<u8>>,
}

/// A new state of the metadata, checked and not stored yet.
#[derive(Debug)]
pub struct Next {
    /// The files that are new in it.
    files: Vec<SignedFile>,
    /// Version of the timestamp it was built on; 0 for the first.
    on_top_of: u64,
    /// What an up-to-date device of every product will hold.
    pub trusted: TrustedSet,
}

/// Why there is no next state.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A device would refuse it.
    #[error("a device would refuse it")]
    Refused(#[from] slipway_trust::Error),
    /// A key did not sign.
    #[error("the server's own signature failed")]
    Signature(#[from] SignError),
    /// What is in force lacks a file.
    #[error("the metadata in force has no {0}")]
    Incomplete(&'static str),
}

impl From<SigningError> for Error {
    fn from(error: SigningError) -> Self {
        Error::Internal(chain(&error))
    }
}

/// The first state: root and targets as the owner signed them, and an empty director.
pub fn first(
    root: &[u8],
    targets: &[u8],
    keys: &OnlineKeys,
    now: Timestamp,
) -> std::result::Result<Next, SigningError> {
    let date = Date::from_millis(now.millis());
    let director =
        repo::sign(&Targets::empty(1, date.plus_days(lifetime::DIRECTOR_DAYS)), &[&*keys.director])?;
    let listed = [("targets", targets), ("director", &director[..])];
    let snapshot = repo::snapshot(1, date.plus_days(lifetime::SNAPSHOT_DAYS), &listed)?;
    let snapshot = repo::sign(&snapshot, &[&*keys.snapshot])?;
    let timestamp = repo::timestamp(1, date.plus_days(lifetime::TIMESTAMP_DAYS), date, &snapshot)?;
    let timestamp = repo::sign(&timestamp, &[&*keys.timestamp])?;
    let repository = Repository {
        roots: vec![root.to_vec()],
        timestamp,
        snapshot,
        targets: targets.to_vec(),
        delegated: [("director".to_owned(), director)].into(),
    };
    let trusted = repository.check(date)?;
    let mut files = vec![file("root", 1, root, trusted.root().body.expires, now)];
    for role in ["targets", "director", "snapshot", "timestamp"] {
        files.extend(described(&trusted, role, now));
    }
    Ok(Next { files, on_top_of: 0, trusted })
}

/// The date to sign at: now, but never before the date of what was signed last. A clock that was ahead
/// for a moment has set the clocks of all devices that called meanwhile, for good; what is signed by
/// the right time would have expired for them.
pub fn signing_date(current: &TrustSet, now: Timestamp) -> Date {
    let date = Date::from_millis(now.millis());
    let signed = current.trusted.timestamp().and_then(|held| held.body.issued);
    match signed.filter(|signed| *signed > date) {
        None => date,
        Some(signed) => {
            tracing::warn!(
                clock = %date,
                %signed,
                "the last timestamp was signed at a later time than this server's clock shows: the clock is \
                 wrong, or was"
            );
            signed
        }
    }
}

/// The state that follows `current` when a publisher brings something, or when a signature is due.
/// None when nothing is due.
pub fn next(
    current: &TrustSet,
    keys: &OnlineKeys,
    brought: Brought,
    now: Timestamp,
) -> std::result::Result<Option<Next>, SigningError> {
    let date = signing_date(current, now);
    let mut repository = current.repository().map_err(|_| SigningError::Incomplete("file of some role"))?;
    let mut changed: Vec<String> = Vec::new();
    // Either may take the director's key away.
    let is_rotated = brought.root.is_some() || brought.targets.is_some();
    if let Some(root) = brought.root {
        repository.roots.push(root);
        changed.push("root".to_owned());
    }
    if let Some(targets) = brought.targets {
        repository.targets = targets;
        changed.push("targets".to_owned());
    }
    if is_rotated || is_due(current, "director", lifetime::DIRECTOR_DAYS * DAY_MS / 2, now) {
        let base = Targets::empty(current.version("director") + 1, date.plus_days(lifetime::DIRECTOR_DAYS));
        repository.delegated.insert("director".to_owned(), repo::sign(&base, &[&*keys.director])?);
        changed.push("director".to_owned());
    }
    for (product, bytes) in brought.products {
        repository.delegated.insert(product.clone(), bytes);
        changed.push(product);
    }
    let new_snapshot =
        !changed.is_empty() || is_due(current, "snapshot", lifetime::SNAPSHOT_DAYS * DAY_MS / 2, now);
    // Daily: a day less of its seven left.
    let new_timestamp =
        new_snapshot || is_due(current, "timestamp", (lifetime::TIMESTAMP_DAYS - 1) * DAY_MS, now);
    if !new_timestamp {
        return Ok(None);
    }
    if new_snapshot {
        let mut listed = vec![("targets", repository.targets.as_slice())];
        listed.extend(repository.delegated.iter().map(|(role, bytes)| (role.as_str(), bytes.as_slice())));
        let expires = date.plus_days(lifetime::SNAPSHOT_DAYS);
        let snapshot = repo::snapshot(current.version("snapshot") + 1, expires, &listed)?;
        repository.snapshot = repo::sign(&snapshot, &[&*keys.snapshot])?;
        changed.push("snapshot".to_owned());
    }
    let expires = date.plus_days(lifetime::TIMESTAMP_DAYS);
    let timestamp = repo::timestamp(current.version("timestamp") + 1, expires, date, &repository.snapshot)?;
    repository.timestamp = repo::sign(&timestamp, &[&*keys.timestamp])?;
    changed.push("timestamp".to_owned());

    // As a device sees it that is up to date now, and as one that was enrolled with root 1 and waits.
    repository.check_after(&current.trusted, date)?;
    let trusted = repository.check(date)?;
    let mut files: Vec<_> = changed.iter().filter_map(|role| described(&trusted, role, now)).collect();
    if let (Some(bytes), Some(targets)) = (brought.server_ca, trusted.targets()) {
        files.push(file(SERVER_CA, targets.body.version, &bytes, targets.body.expires, now));
    }
    Ok(Some(Next { files, on_top_of: current.version("timestamp"), trusted }))
}

/// Stores a new state. A conflict means that another writer was first; the transaction is then lost.
pub async fn store(tx: &mut Tx, next: &Next, now: Timestamp) -> std::result::Result<(), StoreError> {
    if metadata::metadata_version(tx, "timestamp").await? != next.on_top_of {
        return Err(StoreError::Conflict { constraint: "metadata.version".to_owned() });
    }
    let remembered = Timestamp::from_millis(now.millis() - REMEMBER_MS);
    for file in &next.files {
        metadata::metadata_insert(tx, file).await?;
        let before = if file.role == "timestamp" {
            remembered
        } else {
            now.after(std::time::Duration::from_millis(1))
        };
        metadata::metadata_forget(tx, &file.role, file.version, before).await?;
    }
    changes::changes_bump(tx, Kind::Trust).await?;
    Ok(())
}

/// Signs what is due and stores it; what is not due is left alone. True when something was signed.
///
/// Safe on every replica at once: the one that comes second finds that another was first.
pub async fn renew(ctx: &Context) -> Result<bool> {
    ctx.trust.refresh(&ctx.db).await?;
    let current = match ctx.trust.require() {
        Ok(current) => current,
        // Nothing to sign before `trust init`.
        Err(Error::Refused(Refusal { reason: Reason::TrustNotInitialized, .. })) => return Ok(false),
        Err(other) => return Err(other),
    };
    let now = ctx.clock.now();
    let Some(next) = next(&current, &ctx.trust.keys(), Brought::default(), now)? else {
        return Ok(false);
    };
    let mut tx = ctx.db.write().await?;
    match store(&mut tx, &next, now).await {
        Ok(()) => tx.commit().await?,
        Err(StoreError::Conflict { .. }) => return Ok(false),
        Err(other) => return Err(other.into()),
    }
    ctx.trust.refresh(&ctx.db).await?;
    Ok(true)
}

/// Whether less than `reserve_ms` is left of a file's life.
fn is_due(current: &TrustSet, role: &str, reserve_ms: i64, now: Timestamp) -> bool {
    current.file(role).is_none_or(|file| file.expires_at.millis() - now.millis() <= reserve_ms)
}

fn described(trusted: &TrustedSet, role: &str, now: Timestamp) -> Option<SignedFile> {
    let (version, bytes, expires) = match role {
        "root" => {
            let root = trusted.root();
            Some((root.body.version, &root.bytes, root.body.expires))
        }
        "timestamp" => trusted.timestamp().map(|held| (held.body.version, &held.bytes, held.body.expires)),
        "snapshot" => trusted.snapshot().map(|held| (held.body.version, &held.bytes, held.body.expires)),
        "targets" => trusted.targets().map(|held| (held.body.version, &held.bytes, held.body.expires)),
        delegated => {
            trusted.product(delegated).map(|held| (held.body.version, &held.bytes, held.body.expires))
        }
    }?;
    Some(file(role, version, bytes, expires, now))
}

fn file(role: &str, version: u64, bytes: &[u8], expires: Date, now: Timestamp) -> SignedFile {
    SignedFile {
        role: role.to_owned(),
        version,
        bytes: Bytes::copy_from_slice(bytes),
        expires_at: Timestamp::from_millis(expires.millis()),
        created_at: now,
    }
}

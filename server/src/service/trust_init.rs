//! The first root of trust: whom the fleet will believe from now on.

use slipway_trust::{Targets, TrustedSet};

use super::{
    Context, Result,
    online_keys::OnlineKeys,
    server_ca,
    signing::{self, SigningError},
    trust_set::{TrustSet, foreign_role},
};
use crate::{
    model::refusal::{Reason, Refusal},
    store::{StoreError, audit},
};

/// Takes root and targets, version 1 each, as the owner signed them offline.
///
/// They have to give the server's own keys the roles timestamp, snapshot and director. Repeating
/// the call with the same bytes changes nothing.
pub async fn initialize(ctx: &Context, actor: &str, root: &[u8], targets: &[u8]) -> Result<()> {
    if let Some(current) = ctx.trust.current() {
        return repeated(&current, root, targets);
    }
    let now = ctx.clock.now();
    let keys = ctx.trust.keys();
    check_documents(root, targets, &keys)?;
    server_ca::check(ctx, None, Targets::parse("targets", targets).ok().as_ref(), &[], now)?;
    let next = signing::first(root, targets, &keys, now).map_err(|error| match error {
        SigningError::Refused(error) => refused("the first metadata", &error, "root").into(),
        other => super::Error::from(other),
    })?;
    let mut tx = ctx.db.write().await?;
    let digest = slipway_trust::Sha256::of(root);
    audit::audit_append(
        &mut tx,
        now,
        actor,
        "InitializeTrust",
        "trust",
        &format!("root 1, SHA-256 {digest}"),
    )
    .await?;
    match signing::store(&mut tx, &next, now).await {
        Ok(()) => {}
        Err(StoreError::Conflict { .. }) => {
            drop(tx);
            ctx.trust.refresh(&ctx.db).await?;
            return repeated(&*ctx.trust.require()?, root, targets);
        }
        Err(other) => return Err(other.into()),
    }
    tx.commit().await?;
    ctx.trust.refresh(&ctx.db).await
}

fn repeated(current: &TrustSet, root: &[u8], targets: &[u8]) -> Result<()> {
    let same = current.roots().first().is_some_and(|first| first == root)
        && current.file("targets").is_some_and(|file| file.bytes == targets);
    if same {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::TrustAlreadyInitialized,
        "the server has a root of trust already, and it is another one",
        "`slipway trust show` prints it; a fleet never changes its first root, only rotates from it",
    )
    .into())
}

/// What is said about both documents before anything is signed, so that the mistake has a name.
fn check_documents(root: &[u8], targets: &[u8], keys: &OnlineKeys) -> std::result::Result<(), Refusal> {
    let set = TrustedSet::from_root(root).map_err(|error| refused("root", &error, "root"))?;
    let parsed = Targets::parse("targets", targets).map_err(|error| refused("targets", &error, "targets"))?;
    let root = &set.root().body;
    for (name, version) in [("root", root.version), ("targets", parsed.version)] {
        if version != 1 {
            return Err(Refusal::new(
                Reason::MetadataRefused,
                format!("{name} has version {version}; the first one has version 1"),
                "make it with `slipway trust init`",
            )
            .field(name)
            .fact("code", "VERSION_NOT_FIRST"));
        }
    }
    match foreign_role(root, Some(&parsed), keys) {
        Some(role) => Err(not_named(role)),
        None => Ok(()),
    }
}

/// The refusal of a document that does not give the server's key its role.
pub(super) fn not_named(role: &str) -> Refusal {
    let document = if role == "director" { "targets" } else { "root" };
    Refusal::new(
        Reason::MetadataRefused,
        format!("{document} does not let this server's {role} key sign as {role}"),
        "name the keys that GetTrust returns as online_keys, each with threshold 1",
    )
    .field(document)
    .fact("code", "ONLINE_KEY_NOT_NAMED")
    .fact("role", role)
}

/// The refusal of a document that a device would refuse, with the name of what is wrong with it.
pub(super) fn refused(what: &str, error: &slipway_trust::Error, field: &str) -> Refusal {
    Refusal::new(
        Reason::MetadataRefused,
        format!("{what} is refused, as every device would: {error} [{}]", error.code()),
        "sign it with the keys and threshold that the newest root and targets name, on top of the newest versions",
    )
    .field(field)
    .fact("code", error.code())
}

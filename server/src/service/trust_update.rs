//! A new root, new targets, product roles signed anew: who may sign changes, or goes on for another year.

use slipway_trust::{Root, Sha256, Targets};

use super::{
    Context, Result,
    publish::{not_behind, published_meanwhile},
    server_ca,
    signing::{self, Brought, Next, SigningError},
    trust_init::{not_named, refused},
    trust_set::{ONLINE_ROLES, TrustSet, foreign_role},
    trust_signatures::{self, DraftOf},
};
use crate::{
    chain::chain,
    model::{
        refusal::{Reason, Refusal},
        time::Timestamp,
    },
    store::{
        StoreError, Tx,
        assignments::assignments_make_due,
        audit,
        changes::{Kind, changes_bump},
    },
};

const METHOD: &str = "UpdateTrust";
/// A renewed timestamp or a publication can come between; each costs one round.
const ROUNDS: usize = 4;

/// What the owners bring; what stays as it is, is empty.
#[derive(Clone, Debug, Default)]
pub struct TrustUpdate<'a> {
    /// The root that follows the one in force.
    pub root: &'a [u8],
    /// Top-level targets that follow those in force.
    pub targets: &'a [u8],
    /// The file of the server's authorities, when the targets name another one.
    pub server_ca: &'a [u8],
    /// Product roles that follow those in force, with the same releases.
    pub products: Vec<(&'a str, &'a [u8])>,
    /// Check everything, store nothing.
    pub validate_only: bool,
}

/// Takes all of it in one transaction, or says exactly why not. Every document is verified as a device
/// would that was enrolled with root 1, and as one that holds what is in force. Repeating the call
/// changes nothing. `actor` is the token that asks.
pub async fn update(ctx: &Context, actor: &str, update: TrustUpdate<'_>) -> Result<()> {
    for _ in 0..ROUNDS {
        let now = ctx.clock.now();
        let current = ctx.trust.require_now(&ctx.db).await?;
        let Some(next) = prepare(&current, ctx, &update, now)? else { return Ok(()) };
        if update.validate_only {
            return Ok(());
        }
        let moves_director = director(&current.trusted) != director(&next.trusted);
        let mut tx = ctx.db.write().await?;
        match write(&mut tx, &next, actor, &update, moves_director, now).await {
            Ok(()) => tx.commit().await?,
            Err(StoreError::Conflict { .. }) => {
                drop(tx);
                ctx.trust.refresh(&ctx.db).await?;
                continue;
            }
            Err(other) => return Err(other.into()),
        }
        ctx.trust.refresh(&ctx.db).await?;
        if moves_director {
            ctx.devices.reload(ctx).await?;
        }
        ctx.rollouts.mark_stale();
        ctx.wake.rollouts();
        return Ok(());
    }
    Err(published_meanwhile("others publish without a pause").into())
}

/// A new key for a role of the server, which signs as soon as a root (for the director: targets) names
/// it. Asking again returns the same key until then.
pub async fn prepare_key(ctx: &Context, actor: &str, role: &str) -> Result<slipway_trust::PublicKey> {
    let Some(role) = ONLINE_ROLES.into_iter().find(|known| *known == role) else {
        let known = ONLINE_ROLES.join(", ");
        return Err(Refusal::new(
            Reason::NameInvalid,
            format!("{role:?} is no role that the server signs for"),
            format!("the roles are {known}"),
        )
        .field("role")
        .into());
    };
    let key = ctx.trust.ring().prepare(role, &ctx.rng);
    let key = key.map_err(|error| super::Error::Internal(chain(&error)))?;
    let mut tx = ctx.db.write().await?;
    let detail = format!("key {key} waits for a root that names it");
    audit::audit_append(&mut tx, ctx.clock.now(), actor, "PrepareOnlineKey", role, &detail).await?;
    tx.commit().await?;
    Ok(key)
}

async fn write(
    tx: &mut Tx,
    next: &Next,
    actor: &str,
    update: &TrustUpdate<'_>,
    moves_director: bool,
    now: Timestamp,
) -> std::result::Result<(), StoreError> {
    let mut parts = Vec::new();
    if !update.root.is_empty() {
        let version = next.trusted.root().body.version;
        parts.push(format!("root {version}, SHA-256 {}", Sha256::of(update.root)));
    }
    if !update.targets.is_empty() {
        parts.push(format!("targets, SHA-256 {}", Sha256::of(update.targets)));
    }
    if !update.server_ca.is_empty() {
        parts.push(format!("the server's authorities, SHA-256 {}", Sha256::of(update.server_ca)));
    }
    parts.extend(update.products.iter().map(|(product, _)| format!("{product} signed anew")));
    audit::audit_append(tx, now, actor, METHOD, "trust", &parts.join("; ")).await?;
    if moves_director {
        // Devices drop what the old key assigned; each gets its own again when it calls.
        assignments_make_due(tx, None).await?;
        changes_bump(tx, Kind::Devices).await?;
    }
    signing::store(tx, next, now).await
}

fn director(trusted: &slipway_trust::TrustedSet) -> Option<slipway_trust::signed::Authority> {
    trusted.targets()?.body.authority("director")
}

/// The state that follows; none when all of it is in force already.
fn prepare(
    current: &TrustSet,
    ctx: &Context,
    update: &TrustUpdate<'_>,
    now: Timestamp,
) -> Result<Option<Next>> {
    let held_root = &current.trusted.root().body;
    let root = new_root(current, update.root)?;
    let next_root = root.as_ref().unwrap_or(held_root);
    let is_new = |role: &str, bytes: &[u8]| {
        !bytes.is_empty() && current.file(role).is_none_or(|file| file.bytes != bytes)
    };
    let brings_targets = is_new("targets", update.targets);
    let targets = match brings_targets {
        true => {
            let parsed = Targets::parse("targets", update.targets)
                .map_err(|error| refused("targets", &error, "targets"))?;
            not_behind("targets", parsed.version, current)?;
            Some(parsed)
        }
        false => None,
    };
    let held = current.trusted.targets();
    if let Some(bytes) =
        if brings_targets { Some(update.targets) } else { held.map(|held| held.bytes.as_slice()) }
    {
        let authority = next_root.authority(&next_root.targets);
        trust_signatures::check(DraftOf::Trust, "targets", "targets", bytes, &authority)?;
    }
    let next_targets = targets.as_ref().or(held.map(|held| &held.body));
    let mut products = Vec::new();
    for (product, bytes) in update.products.iter().filter(|(product, bytes)| is_new(product, bytes)) {
        check_product(current, product, bytes)?;
        products.push(((*product).to_owned(), bytes.to_vec()));
    }
    for product in products_of(current) {
        let brought = products.iter().find(|(name, _)| *name == product).map(|(_, bytes)| bytes.as_slice());
        let held = current.file(&product).map(|file| &file.bytes[..]);
        let authority = next_targets.and_then(|targets| targets.authority(&product));
        if let (Some(bytes), Some(authority)) = (brought.or(held), authority) {
            trust_signatures::check(
                DraftOf::Trust,
                &format!("the metadata of {product}"),
                "products",
                bytes,
                &authority,
            )?;
        }
    }
    let server_ca = match targets.is_some() || !update.server_ca.is_empty() {
        true => server_ca::check(ctx, Some(current), next_targets, update.server_ca, now)?,
        false => None,
    };
    if root.is_none() && targets.is_none() && products.is_empty() {
        return Ok(None);
    }
    let keys = ctx.trust.ring().fitting(next_root, next_targets);
    if let Some(role) = foreign_role(next_root, next_targets, &keys) {
        return Err(not_named(role).into());
    }
    let brought = Brought {
        root: root.map(|_| update.root.to_vec()),
        targets: targets.map(|_| update.targets.to_vec()),
        products,
        server_ca,
    };
    signing::next(current, &keys, brought, now).map_err(|error| match error {
        SigningError::Refused(error) => refused("the new trust", &error, "root").into(),
        other => super::Error::from(other),
    })
}

/// The root that follows; none when it is the one in force, or none is brought.
fn new_root(current: &TrustSet, bytes: &[u8]) -> Result<Option<Root>> {
    let held = &current.trusted.root().body;
    if bytes.is_empty() || current.roots().last().is_some_and(|newest| newest == bytes) {
        return Ok(None);
    }
    let root = Root::parse(bytes).map_err(|error| refused("root", &error, "root"))?;
    not_behind("root", root.version, current)?;
    if root.version != held.version + 1 {
        return Err(Refusal::new(
            Reason::MetadataRefused,
            format!("root {} was offered where root {} has to follow", root.version, held.version + 1),
            "roots follow one another without a gap: publish them in their order",
        )
        .field("root")
        .fact("code", "ROOT_VERSION_WRONG")
        .into());
    }
    for (by, authority) in [
        (format!("for root {}", held.version), held.authority(&held.root)),
        ("for itself".to_owned(), root.authority(&root.root)),
    ] {
        trust_signatures::check(
            DraftOf::Trust,
            &format!("root {}, {by},", root.version),
            "root",
            bytes,
            &authority,
        )?;
    }
    Ok(Some(root))
}

/// A product's role is signed anew here, and says the same as before.
fn check_product(current: &TrustSet, product: &str, bytes: &[u8]) -> Result<()> {
    let what = format!("the metadata of {product}");
    let refuse = |error: slipway_trust::Error| refused(&what, &error, "products");
    let parsed = Targets::parse(product, bytes).map_err(refuse)?;
    not_behind(product, parsed.version, current)?;
    if parsed.releases(product).map_err(refuse)? == current.releases(product) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::MetadataRefused,
        format!("{what} lists other releases than those that are published"),
        "this call signs anew; a release is published with `slipway release publish` and taken back with `withdraw`",
    )
    .field("products")
    .fact("code", "RELEASE_CHANGED")
    .into())
}

fn products_of(current: &TrustSet) -> Vec<String> {
    let roles = current.files().map(|file| file.role.clone());
    roles.filter(|role| role != "targets" && !ONLINE_ROLES.contains(&role.as_str())).collect()
}

#[cfg(test)]
#[path = "trust_update_tests.rs"]
mod tests;

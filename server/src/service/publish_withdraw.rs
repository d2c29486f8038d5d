//! Taking a release back: its publishers sign a list without it, and nobody is offered it any more.

use slipway_trust::{ReleaseEntry, Targets};

use super::{
    Context, Result,
    publish::{not_behind, published_meanwhile},
    rollouts,
    signing::{self, Brought, Next, SigningError},
    trust_init::refused,
    trust_set::TrustSet,
    trust_signatures::{self, DraftOf},
};
use crate::{
    model::{
        device::DeviceState,
        event::NewEvent,
        refusal::{Reason, Refusal},
        release::{self, Release},
        rollout::{Act, Rollout, RolloutState, after},
        stepping_stone,
        time::Timestamp,
        update,
    },
    store::{
        Tx,
        assignments::assignments_make_due,
        audit,
        changes::{Kind, changes_bump},
        outbox::outbox_put,
        releases::release_get,
        rollouts::{rollout_enter, rollouts_active},
    },
};

/// A timestamp that is renewed, or another publication, can come between; each costs one round.
const ROUNDS: usize = 4;
/// Devices that are named; all of them are counted.
const NAMED: usize = 100;
/// What a person says at most.
const REASON_MAX: usize = 512;

/// What a publisher asks for.
#[derive(Clone, Copy, Debug)]
pub struct Withdrawal<'a> {
    /// `releases/{product}/{version}`.
    pub name: &'a str,
    /// The product's role without the release, signed.
    pub product_metadata: &'a [u8],
    /// Although devices need it as a stepping stone.
    pub force: bool,
    /// Why, for those who wonder.
    pub reason: &'a str,
    /// Check everything, store nothing.
    pub validate_only: bool,
}

/// What a withdrawal meets.
#[derive(Clone, Debug, PartialEq)]
pub struct Withdrawn {
    /// The release.
    pub release: Release,
    /// Rollouts that were ended.
    pub rollouts: Vec<String>,
    /// Ids of devices that run it, in order, the first 100.
    pub devices: Vec<String>,
    /// How many run it.
    pub device_count: u64,
}

/// Withdraws a release in one transaction, or says exactly why not. Repeating the call changes nothing.
pub async fn withdraw(ctx: &Context, actor: &str, asked: Withdrawal<'_>) -> Result<Withdrawn> {
    let (product, version) = release::parse_name(asked.name).ok_or_else(|| release::not_found(asked.name))?;
    if asked.reason.chars().count() > REASON_MAX {
        let message = format!("the reason is longer than {REASON_MAX} characters");
        return Err(Refusal::new(Reason::NameInvalid, message, "say it shorter").field("reason").into());
    }
    for _ in 0..ROUNDS {
        let now = ctx.clock.now();
        let current = ctx.trust.require_now(&ctx.db).await?;
        let mut tx = ctx.db.read().await?;
        let known = release_get(&mut tx, product, version.as_str()).await?;
        let known = known.ok_or_else(|| release::not_found(asked.name))?;
        let active = rollouts_active(&mut tx).await?;
        drop(tx);
        let of_it = |rollout: &&Rollout| rollout.product == product && rollout.version == version.as_str();
        let rollouts: Vec<Rollout> = active.iter().filter(of_it).cloned().collect();
        let mut withdrawn = survey(ctx, known);
        let Some(entry) = current.release(product, &version) else {
            return match current.file(product).is_some_and(|file| file.bytes == asked.product_metadata) {
                true => Ok(withdrawn),
                false => Err(gone(asked.name).into()),
            };
        };
        let next = prepare(&current, ctx, entry, asked, now)?;
        refuse_going_back(&rollouts)?;
        if !asked.force {
            refuse_needed(ctx, current.releases(product), entry)?;
        }
        withdrawn.rollouts = rollouts.iter().map(Rollout::name).collect();
        if asked.validate_only {
            return Ok(withdrawn);
        }
        let mut tx = ctx.db.write().await?;
        if !write(&mut tx, &next, actor, asked, &rollouts, now).await? {
            drop(tx);
            ctx.trust.refresh(&ctx.db).await?;
            continue;
        }
        tx.commit().await?;
        ctx.trust.refresh(&ctx.db).await?;
        ctx.rollouts.reload(ctx).await?;
        ctx.devices.reload(ctx).await?;
        ctx.wake.rollouts();
        return Ok(withdrawn);
    }
    Err(published_meanwhile("others publish without a pause").into())
}

/// The state without the release.
fn prepare(
    current: &TrustSet,
    ctx: &Context,
    entry: &ReleaseEntry,
    asked: Withdrawal<'_>,
    now: Timestamp,
) -> Result<Next> {
    let product = entry.product.as_str();
    let what = format!("the metadata of {product}");
    let refuse = |error: slipway_trust::Error| refused(&what, &error, "product_metadata");
    let parsed = Targets::parse(product, asked.product_metadata).map_err(refuse)?;
    not_behind(product, parsed.version, current)?;
    let offered = parsed.releases(product).map_err(refuse)?;
    let left: Vec<&ReleaseEntry> =
        current.releases(product).iter().filter(|release| *release != entry).collect();
    if !offered.iter().eq(left) {
        return Err(Refusal::new(
            Reason::MetadataRefused,
            format!("{what} differs in more than {} from what is published", entry.version),
            "sign on top of the newest metadata: take out the one release, and nothing else",
        )
        .field("product_metadata")
        .fact("code", "RELEASE_CHANGED")
        .into());
    }
    let top = current.trusted.targets().map(|held| &held.body);
    if let Some(authority) = top.and_then(|top| top.authority(product)) {
        trust_signatures::check(
            DraftOf::Release,
            &what,
            "product_metadata",
            asked.product_metadata,
            &authority,
        )?;
    }
    let products = vec![(product.to_owned(), asked.product_metadata.to_vec())];
    let next = signing::next(current, &ctx.trust.keys(), Brought { products, ..Brought::default() }, now);
    let next = next.map_err(|error| match error {
        SigningError::Refused(error) => refuse(error).into(),
        other => super::Error::from(other),
    })?;
    next.ok_or_else(|| super::Error::Internal("a withdrawal changes nothing".to_owned()))
}

/// All of it; false when somebody else was first, and the transaction is lost.
async fn write(
    tx: &mut Tx,
    next: &Next,
    actor: &str,
    asked: Withdrawal<'_>,
    rollouts: &[Rollout],
    now: Timestamp,
) -> Result<bool> {
    let why = if asked.reason.is_empty() { String::new() } else { format!(": {}", asked.reason) };
    let short = asked.name.trim_start_matches("releases/");
    let detail = format!("{short} was withdrawn{why}");
    let reason = update::Reason { code: "RELEASE_WITHDRAWN".to_owned(), detail: detail.clone() };
    for rollout in rollouts {
        let Some(state) = after(rollout.state, Act::Abort) else { continue };
        if !rollout_enter(tx, &rollout.id, rollout.generation, state, &detail, now).await? {
            return Ok(false);
        }
        rollouts::cancel(tx, &rollout.id, actor, &reason, now).await?;
    }
    // Devices that run it are told to stay as they are, when they call.
    assignments_make_due(tx, Some(asked.name)).await?;
    audit::audit_append(tx, now, actor, "WithdrawRelease", asked.name, asked.reason).await?;
    changes_bump(tx, Kind::Devices).await?;
    changes_bump(tx, Kind::Rollouts).await?;
    match signing::store(tx, next, now).await {
        Ok(()) => {}
        Err(crate::store::StoreError::Conflict { .. }) => return Ok(false),
        Err(other) => return Err(other.into()),
    }
    for rollout in rollouts {
        if let Some(state) = after(rollout.state, Act::Abort) {
            outbox_put(tx, NewEvent::of_rollout(rollout, state, &detail, now)).await?;
        }
    }
    Ok(true)
}

fn survey(ctx: &Context, release: Release) -> Withdrawn {
    let mut devices: Vec<String> = ctx
        .devices
        .all()
        .iter()
        .filter(|device| *device.product == *release.product && device.counter == release.counter)
        .map(|device| device.id.to_string())
        .collect();
    devices.sort();
    let device_count = devices.len() as u64;
    devices.truncate(NAMED);
    Withdrawn { release, rollouts: Vec::new(), devices, device_count }
}

/// A rollout that takes devices back knows them by the release that they leave.
fn refuse_going_back(rollouts: &[Rollout]) -> std::result::Result<(), Refusal> {
    let Some(back) = rollouts.iter().find(|rollout| rollout.state == RolloutState::RollingBack) else {
        return Ok(());
    };
    let name = back.name();
    Err(Refusal::new(
        Reason::ReleaseNeeded,
        format!("{name} is taking devices back from this release"),
        format!("wait until it is over, or end it first: slipway rollout abort {name}"),
    )
    .fact("rollout", name))
}

fn refuse_needed(
    ctx: &Context,
    releases: &[ReleaseEntry],
    entry: &ReleaseEntry,
) -> std::result::Result<(), Refusal> {
    let mut needing: Vec<String> = ctx
        .devices
        .all()
        .iter()
        .filter(|device| *device.product == *entry.product && device.state() != DeviceState::Revoked)
        .filter(|device| stepping_stone::is_needed(releases, entry, &device.hardware, device.counter))
        .map(|device| device.id.to_string())
        .collect();
    if needing.is_empty() {
        return Ok(());
    }
    needing.sort();
    let count = needing.len();
    let named = needing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = if count > 5 { ", …" } else { "" };
    Err(Refusal::new(
        Reason::ReleaseNeeded,
        format!(
            "{} {} is a stepping stone: without it {count} of the fleet cannot get to newer releases: {named}{more}",
            entry.product, entry.version
        ),
        "bring them past it first, or publish a release that needs no stepping stone; --force withdraws it all the same",
    )
    .fact("devices", count))
}

fn gone(name: &str) -> Refusal {
    Refusal::new(
        Reason::ReleaseNotFound,
        format!("{name} was withdrawn before"),
        "nothing is left to do; `slipway release list` marks it as withdrawn",
    )
    .fact("release", name)
}

#[cfg(test)]
#[path = "publish_withdraw_tests.rs"]
mod tests;

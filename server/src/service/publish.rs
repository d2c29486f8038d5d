//! Publishing one release: verified as devices will verify it, then visible all at once.

use std::collections::BTreeSet;

use slipway_trust::{Date, Manifest, ReleaseEntry, Sha256, Targets, repo};

use super::{
    Context, Error, Result, segments, server_ca,
    signing::{self, Brought, Next, SigningError},
    trust_init::{not_named, refused},
    trust_set::{TrustSet, foreign_role},
    trust_signatures::{self, DraftOf},
};
use crate::{
    limits,
    model::{
        refusal::{Reason, Refusal},
        release::{self, Release},
        time::Timestamp,
    },
    store::{
        StoreError, Tx, audit, metadata, releases,
        requests::{self, Request},
    },
};

const METHOD: &str = "PublishRelease";
/// Another product's publication, or a renewed timestamp, can come between; each costs one round.
const ROUNDS: usize = 4;

/// What a publisher sends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Publication<'a> {
    /// The product.
    pub product: &'a str,
    /// New top-level targets; empty when its delegations did not change.
    pub targets: &'a [u8],
    /// New metadata of the product's role.
    pub product_metadata: &'a [u8],
    /// The manifest that it lists.
    pub manifest: &'a [u8],
    /// Take models that no device and no claim has.
    pub allow_new_hardware: bool,
    /// Check everything, store nothing.
    pub validate_only: bool,
    /// The caller's id for this call; empty for none.
    pub request_id: &'a str,
}

/// Publishes a release, or says exactly why not. `actor` is the token that asks.
pub async fn publish(ctx: &Context, actor: &str, publication: Publication<'_>) -> Result<Release> {
    release::check_product(publication.product)?;
    check_request_id(publication.request_id)?;
    let manifest = Manifest::parse(publication.manifest).map_err(|error| manifest_refused(&error))?;
    let request = request(ctx.clock.now(), actor, &publication, &manifest);
    let mut known_to_exist = BTreeSet::new();
    for _ in 0..ROUNDS {
        let now = ctx.clock.now();
        let current = ctx.trust.require_now(&ctx.db).await?;
        if let Some(done) = answered(ctx, request.as_ref(), now).await? {
            return Ok(done);
        }
        let (entry, next) = prepare(&current, ctx, &publication, &manifest, now)?;
        if !check_unused(ctx, &current, &entry).await? {
            ctx.trust.refresh(&ctx.db).await?;
            continue;
        }
        check_hardware(ctx, &entry, &publication).await?;
        check_segments(ctx, &manifest, &mut known_to_exist).await?;
        let release = Release::new(&entry, &manifest, now, actor);
        if publication.validate_only {
            return Ok(release);
        }
        let mut tx = ctx.db.write().await?;
        match write(&mut tx, &next, &release, publication.manifest, request.as_ref()).await {
            Ok(()) => {
                tx.commit().await?;
                ctx.trust.refresh(&ctx.db).await?;
                return Ok(release);
            }
            // Somebody else signed first. What he changed decides whether this still fits.
            Err(StoreError::Conflict { .. }) => {
                drop(tx);
                ctx.trust.refresh(&ctx.db).await?;
            }
            Err(other) => return Err(other.into()),
        }
    }
    Err(published_meanwhile("others publish without a pause").into())
}

async fn write(
    tx: &mut Tx,
    next: &Next,
    release: &Release,
    manifest: &[u8],
    request: Option<&Request>,
) -> std::result::Result<(), StoreError> {
    let now = release.created_at;
    releases::release_insert(tx, release, manifest).await?;
    if let Some(request) = request
        && requests::request_begin(tx, request, now.before(limits::REQUEST_MEMORY)).await?.is_some()
    {
        return Err(StoreError::Conflict { constraint: "requests".to_owned() });
    }
    let detail = format!("manifest SHA-256 {}", release.manifest_digest);
    audit::audit_append(tx, now, &release.created_by, METHOD, &release.name(), &detail).await?;
    signing::store(tx, next, now).await
}

/// Everything that can be said from the documents alone: the release, and the metadata that follows.
fn prepare(
    current: &TrustSet,
    ctx: &Context,
    publication: &Publication<'_>,
    manifest: &Manifest,
    now: Timestamp,
) -> Result<(ReleaseEntry, Next)> {
    let product = publication.product;
    let what = format!("the metadata of {product}");
    let parsed = Targets::parse(product, publication.product_metadata)
        .map_err(|error| refused(&what, &error, "product_metadata"))?;
    // The same file again is an old version sent twice, not a race: the release says so below.
    let same = current.file(product).is_some_and(|file| file.bytes == publication.product_metadata);
    if !same {
        not_behind(product, parsed.version, current)?;
    }
    let targets = new_targets(current, ctx, publication.targets)?;
    let offered = parsed.releases(product).map_err(|error| refused(&what, &error, "product_metadata"))?;
    let entry = release::added(current.releases(product), &offered, manifest)?;
    Manifest::verify(&entry, publication.manifest).map_err(|error| manifest_refused(&error))?;
    check_signatures(current, targets.as_deref(), publication)?;

    let products = vec![(product.to_owned(), publication.product_metadata.to_vec())];
    let brought = Brought { targets, products, ..Brought::default() };
    let next = signing::next(current, &ctx.trust.keys(), brought, now)
        .map_err(|error| match error {
            SigningError::Refused(error) => refused(&what, &error, "product_metadata").into(),
            other => Error::from(other),
        })?
        .ok_or_else(|| Error::Internal("a publication changes nothing".to_owned()))?;
    check_assignable(ctx, &next, &entry, now).map_err(|error| refused(&what, &error, "product_metadata"))?;
    Ok((entry, next))
}

/// Names whose signatures are missing. That they are there is checked again as devices check it.
fn check_signatures(
    current: &TrustSet,
    targets: Option<&[u8]>,
    publication: &Publication<'_>,
) -> std::result::Result<(), Refusal> {
    let root = &current.trusted.root().body;
    let held = current.trusted.targets().map(|held| held.bytes.as_slice());
    if let Some(bytes) = targets {
        trust_signatures::check(
            DraftOf::Release,
            "targets",
            "targets",
            bytes,
            &root.authority(&root.targets),
        )?;
    }
    let product = publication.product;
    let top = targets.or(held).and_then(|bytes| Targets::parse("targets", bytes).ok());
    match top.and_then(|top| top.authority(product)) {
        Some(authority) => trust_signatures::check(
            DraftOf::Release,
            &format!("the metadata of {product}"),
            "product_metadata",
            publication.product_metadata,
            &authority,
        ),
        None => Ok(()),
    }
}

/// New top-level targets, if they are new. They have to keep this server as the director.
fn new_targets(current: &TrustSet, ctx: &Context, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    if bytes.is_empty() || current.file("targets").is_some_and(|file| file.bytes == bytes) {
        return Ok(None);
    }
    let parsed = Targets::parse("targets", bytes).map_err(|error| refused("targets", &error, "targets"))?;
    not_behind("targets", parsed.version, current)?;
    server_ca::check(ctx, Some(current), Some(&parsed), &[], ctx.clock.now())?;
    // What the root says of the other online keys is not this call's; signing finds out.
    if foreign_role(&current.trusted.root().body, Some(&parsed), &ctx.trust.keys()) == Some("director") {
        return Err(not_named("director").into());
    }
    Ok(Some(bytes.to_vec()))
}

pub(super) fn not_behind(role: &str, version: u64, current: &TrustSet) -> Result<()> {
    let published = current.version(role);
    if version > published {
        return Ok(());
    }
    Err(published_meanwhile(&format!("version {published} of {role} is published; version {version} came"))
        .fact("role", role)
        .fact("published", published)
        .into())
}

/// Whether a device that is assigned the release would accept it: signs a trial for a device that
/// cannot exist, and keeps nothing of it.
fn check_assignable(
    ctx: &Context,
    next: &Next,
    entry: &ReleaseEntry,
    now: Timestamp,
) -> std::result::Result<(), slipway_trust::Error> {
    const NOBODY: &str = "-";
    let date = Date::from_millis(now.millis());
    let trial = repo::assignment(1, date.plus_days(1), date, NOBODY, Some(entry));
    let Ok(trial) = repo::sign(&trial, &[&*ctx.trust.keys().director]) else {
        return Ok(());
    };
    let mut device = next.trusted.clone();
    device.update_assignment(NOBODY, &trial, date)?;
    device.assigned(&entry.product, NOBODY, date).map(drop)
}

async fn check_hardware(ctx: &Context, entry: &ReleaseEntry, publication: &Publication<'_>) -> Result<()> {
    if publication.allow_new_hardware {
        return Ok(());
    }
    let mut tx = ctx.db.read().await?;
    let known = releases::hardware_known(&mut tx, publication.product).await?;
    Ok(release::known_hardware(entry, &known)?)
}

/// A release that was withdrawn keeps its version and its counter: devices may run it. False when
/// `current` is not what is stored any more: then another release may be new, and not withdrawn.
async fn check_unused(ctx: &Context, current: &TrustSet, entry: &ReleaseEntry) -> Result<bool> {
    let mut tx = ctx.db.read().await?;
    if metadata::metadata_version(&mut tx, "timestamp").await? != current.version("timestamp") {
        return Ok(false);
    }
    let (counter, versions) = releases::releases_used(&mut tx, &entry.product).await?;
    let Some(highest) = versions.into_iter().max() else { return Ok(true) };
    if entry.counter > counter && entry.version.is_newer_than(&highest) {
        return Ok(true);
    }
    Err(Refusal::new(
        Reason::VersionNotNewer,
        format!(
            "{} {} (counter {}) is not newer than {highest} (counter {counter}), which was published and withdrawn",
            entry.product, entry.version, entry.counter
        ),
        format!("choose a version above {highest}, and sign on top of what `slipway release publish` fetches"),
    )
    .fact("newest", highest)
    .fact("newest_counter", counter)
    .into())
}

async fn check_segments(ctx: &Context, manifest: &Manifest, known: &mut BTreeSet<Sha256>) -> Result<()> {
    let all: BTreeSet<Sha256> =
        manifest.artifacts.iter().flat_map(|artifact| &artifact.segments).copied().collect();
    let asked: Vec<Sha256> = all.difference(known).copied().collect();
    let missing = segments::missing(ctx, &asked).await?;
    let Some(first) = missing.first() else {
        *known = all;
        return Ok(());
    };
    Err(Refusal::new(
        Reason::SegmentsMissing,
        format!("{} of {} segments are not on the server; the first is {first}", missing.len(), all.len()),
        "upload them, then publish again; nothing that was uploaded is lost",
    )
    .fact("missing", missing.len())
    .fact("first", first)
    .into())
}

/// The release that this request made before, if it is a repeat.
async fn answered(ctx: &Context, request: Option<&Request>, now: Timestamp) -> Result<Option<Release>> {
    let Some(request) = request else { return Ok(None) };
    let mut tx = ctx.db.read().await?;
    let since = now.before(limits::REQUEST_MEMORY);
    let Some(before) = requests::request_find(&mut tx, request, since).await? else {
        return Ok(None);
    };
    if before.digest != request.digest {
        return Err(Refusal::new(
            Reason::RequestRepeated,
            "this request id was used for another publication within a day",
            "choose a new request id for each publication",
        )
        .field("request_id")
        .into());
    }
    let Some((product, version)) = release::parse_name(&before.resource) else { return Ok(None) };
    Ok(releases::release_get(&mut tx, product, version.as_str()).await?)
}

fn check_request_id(id: &str) -> std::result::Result<(), Refusal> {
    if id.len() <= limits::REQUEST_ID {
        return Ok(());
    }
    let message = format!("a request id of {} bytes is longer than {}", id.len(), limits::REQUEST_ID);
    Err(Refusal::new(Reason::NameInvalid, message, "use a UUID").field("request_id"))
}

fn request(
    now: Timestamp,
    actor: &str,
    publication: &Publication<'_>,
    manifest: &Manifest,
) -> Option<Request> {
    if publication.request_id.is_empty() || publication.validate_only {
        return None;
    }
    let mut hasher = Sha256::hasher();
    for part in [publication.targets, publication.product_metadata, publication.manifest] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    Some(Request {
        actor: actor.to_owned(),
        method: METHOD.to_owned(),
        id: publication.request_id.to_owned(),
        at: now,
        digest: hasher.finish().to_string(),
        resource: release::resource_name(publication.product, &manifest.version),
    })
}

fn manifest_refused(error: &slipway_trust::Error) -> Refusal {
    Refusal::new(
        Reason::ManifestInvalid,
        format!("the manifest is refused: {error} [{}]", error.code()),
        "publish with `slipway release publish`, which writes manifest and metadata together",
    )
    .field("manifest")
    .fact("code", error.code())
}

pub(super) fn published_meanwhile(what: &str) -> Refusal {
    Refusal::new(
        Reason::PublishedMeanwhile,
        format!("another publication came first: {what}"),
        "fetch the trust again and sign on top of it; `slipway release publish` does that when it is run again",
    )
}

#[cfg(test)]
mod tests;

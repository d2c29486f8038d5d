//! Which release a device shall run, signed for it alone with the director's key.

use bytes::Bytes;
use slipway_trust::{
    Version,
    repo::{self, lifetime},
};

use super::{Context, Error, Result, signing::signing_date};
use crate::{
    chain::chain,
    model::{
        refusal::{Reason, Refusal},
        release,
        time::Timestamp,
        trust::Assignment,
    },
    store::{Tx, assignments},
};

/// Assigns a release to a device, or tells it to stay as it is (`version` none), in the caller's
/// transaction. The version is one above the stored one; two writers at once conflict.
///
/// What is signed is read back the way the device will read it, against what the publishers signed:
/// a release that a device would not accept is not assigned.
pub async fn assign(
    tx: &mut Tx,
    ctx: &Context,
    device: &str,
    product: &str,
    version: Option<&Version>,
    now: Timestamp,
) -> Result<Assignment> {
    let previous = assignments::assignment_get(tx, device).await?.map_or(0, |held| held.version);
    let assignment = sign(ctx, device, product, version, previous + 1, now)?;
    assignments::assignment_put(tx, &assignment, previous).await?;
    Ok(assignment)
}

/// Signs an assignment anew when half of its life is over; none when it is not due.
pub async fn renew_if_due(
    tx: &mut Tx,
    ctx: &Context,
    held: &Assignment,
    product: &str,
    now: Timestamp,
) -> Result<Option<Assignment>> {
    if !held.is_due(now) {
        return Ok(None);
    }
    let version = match &held.release {
        None => None,
        Some(name) => {
            let known =
                release::parse_name(name).filter(|(of, _)| *of == product).map(|(_, version)| version);
            let known = known.ok_or_else(|| {
                Error::Internal(format!("table assignments, row {}: release {name:?}", held.device))
            })?;
            // One that was withdrawn is assigned to nobody: whoever runs it stays as he is.
            ctx.trust.require()?.release(product, &known).map(|_| known)
        }
    };
    assign(tx, ctx, &held.device, product, version.as_ref(), now).await.map(Some)
}

fn sign(
    ctx: &Context,
    device: &str,
    product: &str,
    release: Option<&Version>,
    version: u64,
    now: Timestamp,
) -> Result<Assignment> {
    let set = ctx.trust.require()?;
    let entry = match release {
        None => None,
        Some(wanted) => Some(
            set.release(product, wanted)
                .ok_or_else(|| release::not_found(&release::resource_name(product, wanted)))?,
        ),
    };
    let date = signing_date(&set, now);
    let expires = date.plus_days(lifetime::ASSIGNMENT_DAYS);
    let body = repo::assignment(version, expires, date, device, entry);
    let bytes =
        repo::sign(&body, &[&*ctx.trust.keys().director]).map_err(|error| Error::Internal(chain(&error)))?;

    let mut reader = set.device_view(product).clone();
    reader.update_assignment(device, &bytes, date).map_err(|error| not_acceptable(device, &error))?;
    if reader.assigned(product, device, date).map_err(|error| not_acceptable(device, &error))?.as_ref()
        != entry
    {
        return Err(Error::Internal(format!("an assignment for {device} reads back as another release")));
    }
    Ok(Assignment {
        device: device.to_owned(),
        version,
        release: release.map(|wanted| release::resource_name(product, wanted)),
        bytes: Bytes::from(bytes),
        expires_at: Timestamp::from_millis(expires.millis()),
        created_at: now,
    })
}

/// A device would refuse it now: an offline signature ran out, or the keys are not those of the root.
fn not_acceptable(device: &str, error: &slipway_trust::Error) -> Refusal {
    Refusal::new(
        Reason::MetadataRefused,
        format!("the device {device} would refuse its assignment: {error} [{}]", error.code()),
        "sign anew what has expired: the root, the targets or the product's metadata",
    )
    .fact("code", error.code())
}

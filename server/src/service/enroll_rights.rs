//! By what right a machine becomes a device: a registered key, a claim, a manufacturer's certificate.
//! Each is looked at twice: before anything is signed or written, and in the transaction that admits.

use std::net::IpAddr;

use slipway_trust::Sha256;
use tokio::sync::Semaphore;

use super::{
    Context, Error, Result,
    enroll::{self, Enrollment, Right, Shown},
    renew,
};
use crate::{
    limits,
    manufacturer::{self, ManufacturerError},
    model::{
        claim::Claim,
        device::Device,
        enrolment::{Authority, Grant, MAX_AUTHORITIES, by_key, check_product},
        refusal::{Reason, Refusal},
        time::Timestamp,
        token,
    },
    pki::{Pki, RequestedKey},
    proof::{enrolment_message, is_signed_by_manufacturer},
    store::{
        Tx,
        claims::{claim_get, claim_spend},
        devices::{device_get, device_get_by_key},
        manufacturers::{manufacturer_get, manufacturers_page},
    },
};

/// Manufacturers' certificates that are verified at once: a line of machines waits its turn, and the cores are
/// left to the fleet that is there.
static CHECKS: Semaphore = Semaphore::const_new(2);

/// Which device a machine is going to be.
pub(super) struct Identified {
    /// Its id.
    pub id: String,
    /// Its key, which signed the request.
    pub key: RequestedKey,
    /// The authority behind the certificate that it showed.
    authority: Option<Authority>,
}

/// A right that stands, as a transaction sees it.
pub(super) enum Standing {
    Key(String),
    Claim(Box<Claim>),
    Authority(Box<Authority>),
}

/// Finds out who asks, and whether he has any right at all. A stranger learns nothing, and costs neither a
/// signature of ours nor the writer's turn.
pub(super) async fn identify(ctx: &Context, asked: &Enrollment, from: IpAddr) -> Result<Identified> {
    match &asked.right {
        Right::Claim(text) => {
            check_guesses(ctx, from)?;
            let mut tx = ctx.db.read().await?;
            if let Err(error) = find_claim(&mut tx, text).await {
                if matches!(&error, Error::Refused(refusal) if refusal.reason == Reason::ClaimUnknown) {
                    note_guess(ctx, from);
                }
                return Err(error);
            }
            drop(tx);
            let key = enroll::check(asked)?;
            Ok(Identified { id: asked.device_id.clone(), key, authority: None })
        }
        // No claim, no certificate and no key: nobody.
        Right::Key if asked.csr.is_empty() => Err(not_registered("it shows none").into()),
        Right::Key => {
            let key = enroll::check(asked)?;
            let mut tx = ctx.db.read().await?;
            let known = device_get_by_key(&mut tx, &key.spki_sha256).await?;
            let device = registered(known.as_ref(), &key)?;
            check_named(asked, &device.id)?;
            Ok(Identified { id: device.id.clone(), key, authority: None })
        }
        Right::Manufacturer(shown) => by_manufacturer(ctx, asked, shown, from).await,
    }
}

/// The right as it stands in this transaction; `known` is the record of the device, if there is one.
pub(super) async fn right(
    ctx: &Context,
    tx: &mut Tx,
    asked: &Enrollment,
    who: &Identified,
    known: Option<&Device>,
) -> Result<Standing> {
    Ok(match &asked.right {
        Right::Key => Standing::Key(registered(known, &who.key)?.enrolled_by.clone()),
        Right::Claim(text) => Standing::Claim(Box::new(find_claim(tx, text).await?)),
        Right::Manufacturer(shown) => {
            let authority = match &who.authority {
                Some(before) => manufacturer_get(tx, &before.id).await?.filter(|now| now == before),
                None => None,
            };
            let authority = authority.ok_or_else(|| refused("its authority was removed"))?;
            // Once more: another call may have spent it.
            check_nonce(ctx, shown, &who.id, known)?;
            Standing::Authority(Box::new(authority))
        }
    })
}

impl Standing {
    /// As the record of a device names it.
    pub fn name(&self) -> String {
        match self {
            Standing::Key(name) => name.clone(),
            Standing::Claim(claim) => claim.grant().by,
            Standing::Authority(authority) => format!("authorities/{}", authority.id),
        }
    }

    /// Makes use of it for a device that is not there yet.
    pub async fn spend(
        self,
        tx: &mut Tx,
        asked: &Enrollment,
        who: &Identified,
        now: Timestamp,
    ) -> Result<Grant> {
        match self {
            // A registered device is there.
            Standing::Key(_) => Err(not_registered(&by_key(&who.key.spki_sha256)).into()),
            Standing::Claim(claim) => {
                claim.admits(&who.id, &asked.hardware, &asked.product, now)?;
                claim.check_uses()?;
                if !claim_spend(tx, &claim.id, now).await? {
                    return Err(Claim { used: claim.uses, ..*claim }.check_uses().err().map_or_else(
                        || Error::Internal("a claim with uses left could not be spent".to_owned()),
                        Error::from,
                    ));
                }
                Ok(claim.grant())
            }
            Standing::Authority(authority) => {
                authority.admits(&asked.hardware)?;
                check_product(&asked.product, &authority.product)?;
                Ok(Grant {
                    by: format!("authorities/{}", authority.id),
                    product: authority.product,
                    labels: authority.labels,
                    approve: authority.approve,
                })
            }
        }
    }
}

/// The device whose registered key this is, enrolled or not.
fn registered<'a>(known: Option<&'a Device>, key: &RequestedKey) -> Result<&'a Device> {
    let has =
        |device: &&Device| device.spki_sha256 == key.spki_sha256 && device.enrolled_by.starts_with("keys/");
    Ok(known.filter(has).ok_or_else(|| not_registered(&by_key(&key.spki_sha256)))?)
}

fn not_registered(key: &str) -> Refusal {
    Refusal::new(
        Reason::KeyNotRegistered,
        format!("this machine shows no claim, and its key is not registered ({key})"),
        "register the key (slipway device import), or enrol with a claim file that has a token",
    )
    .field("csr_der")
}

/// A machine that names itself has to mean the device that its right is for.
fn check_named(asked: &Enrollment, id: &str) -> std::result::Result<(), Refusal> {
    if asked.device_id.is_empty() || asked.device_id == id {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::DeviceIdInvalid,
        format!("this machine is the device {id}, not {}", asked.device_id),
        format!("enrol with --device-id {id}, or without that option"),
    )
    .field("device_id"))
}

async fn find_claim(tx: &mut Tx, text: &str) -> Result<Claim> {
    let unknown = || {
        Refusal::new(
            Reason::ClaimUnknown,
            "the server does not know this claim",
            "check that the claim file was copied whole and is for this server; ask for a new one: \
             slipway claim create",
        )
        .field("claim_token")
    };
    let (id, secret) = token::read_claim(text.trim()).ok_or_else(unknown)?;
    let claim = claim_get(tx, id).await?.ok_or_else(unknown)?;
    if token::same(&claim.secret_sha256, &secret) { Ok(claim) } else { Err(unknown().into()) }
}

/// Whoever showed too many claims or certificates that are good for nothing is not told of another one whether
/// it is good.
fn check_guesses(ctx: &Context, from: IpAddr) -> std::result::Result<(), Refusal> {
    ctx.guesses.check(&from, ctx.clock.now()).map_err(|pause| {
        let minutes = limits::GUESSES_WITHIN.as_secs() / 60;
        Refusal::new(
            Reason::RateLimited,
            format!(
                "{} claims that nobody made, or certificates that lead to nobody, came from this address within \
                 {minutes} minutes",
                limits::GUESSES
            ),
            "wait; check that the machines have the right claim file or certificate; slipway claim list and slipway \
             authority list show what there is",
        )
        .retry_after(pause)
    })
}

fn note_guess(ctx: &Context, from: IpAddr) {
    if ctx.guesses.note(from, ctx.clock.now()) {
        tracing::warn!(
            %from,
            "claims that nobody made, or certificates that lead to nobody, come from one address: it has to wait"
        );
    }
}

async fn by_manufacturer(
    ctx: &Context,
    asked: &Enrollment,
    shown: &Shown,
    from: IpAddr,
) -> Result<Identified> {
    check_guesses(ctx, from)?;
    manufacturer::check_size(&shown.chain).map_err(|error| refused_for(&error))?;
    let leaf = shown.chain.first().map_or(&[][..], Vec::as_slice);
    let id = named_by(leaf)?;
    check_named(asked, &id)?;
    let mut tx = ctx.db.read().await?;
    let known = device_get(&mut tx, &id).await?;
    // First, because it costs least: who was not challenged goes no further.
    check_nonce(ctx, shown, &id, known.as_ref())?;
    let key = enroll::check(asked)?;
    let authorities =
        manufacturers_page(&mut tx, "", i64::try_from(MAX_AUTHORITIES).unwrap_or(i64::MAX)).await?;
    drop(tx);
    let (shown, csr, pki) = (shown.clone(), asked.csr.clone(), ctx.pki.clone());
    let now = ctx.clock.now();
    // Nobody closes it.
    let turn = CHECKS.acquire().await.map_err(|error| Error::Internal(error.to_string()))?;
    let found =
        tokio::task::spawn_blocking(move || find_authority(&shown, &csr, &pki, authorities, now)).await;
    drop(turn);
    match found.map_err(|error| Error::Internal(error.to_string()))? {
        Ok(authority) => Ok(Identified { id, key, authority: Some(authority) }),
        Err(refusal) => {
            note_guess(ctx, from);
            Err(refusal.into())
        }
    }
}

/// The authority that the machine's certificate leads to. Work for a core for some milliseconds, whoever asks.
fn find_authority(
    shown: &Shown,
    csr: &[u8],
    pki: &Pki,
    authorities: Vec<Authority>,
    now: Timestamp,
) -> std::result::Result<Authority, Refusal> {
    let path = manufacturer::Path::of(&shown.chain).map_err(|error| refused_for(&error))?;
    let leaf = shown.chain.first().map_or(&[][..], Vec::as_slice);
    let signer = manufacturer::public_key(leaf).map_err(|error| refused_for(&error))?;
    let is_for = |server: &Sha256| {
        let message = enrolment_message(server, &shown.nonce, csr);
        is_signed_by_manufacturer(&signer, &message, &shown.signature)
    };
    // The machine names the generation of the authority that it knows.
    if !pki.server_ids().iter().any(is_for) {
        return Err(refused("the signature is not by the key of the certificate"));
    }
    let mut why = manufacturer::plain_flaw(&shown.chain, now).err().unwrap_or(ManufacturerError::OtherIssuer);
    for authority in authorities.into_iter().filter(|authority| path.may_lead_to(&authority.certificate)) {
        match manufacturer::check_chain(&shown.chain, &authority.certificate, now) {
            Ok(()) => return Ok(authority),
            // That of another issuer says nothing.
            Err(ManufacturerError::OtherIssuer) => {}
            Err(error) => why = error,
        }
    }
    Err(match why {
        ManufacturerError::OtherIssuer => refused("it leads to no authority that is known here"),
        why => refused_for(&why),
    })
}

/// The id that a manufacturer's certificate says.
pub fn named_by(leaf: &[u8]) -> std::result::Result<String, Refusal> {
    manufacturer::device_id(leaf).map_err(|error| match error {
        ManufacturerError::Nameless => Refusal::new(
            Reason::DeviceIdInvalid,
            format!("the manufacturer's certificate is of no use: {error}"),
            "use a claim, or register the machine's key (slipway device import)",
        )
        .field("manufacturer"),
        other => refused_for(&other),
    })
}

fn check_nonce(
    ctx: &Context,
    shown: &Shown,
    id: &str,
    known: Option<&Device>,
) -> std::result::Result<(), Refusal> {
    if renew::is_open(ctx, &shown.nonce, id, known) {
        return Ok(());
    }
    Err(refused("the challenge is not one of this server for this machine, or it is spent or too old"))
}

fn refused_for(error: &ManufacturerError) -> Refusal {
    refused(&error.to_string())
}

fn refused(what: &str) -> Refusal {
    Refusal::new(
        Reason::ManufacturerRefused,
        format!("the manufacturer's certificate is refused: {what}"),
        "check the files given with --manufacturer-cert and --manufacturer-key; slipway authority list shows \
         whose certificates are taken",
    )
    .field("manufacturer")
}

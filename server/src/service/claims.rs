//! Claims: made, listed and ended by operators.

use std::time::Duration;

use slipway_trust::Sha256;

use super::{Context, Result};
use crate::{
    limits,
    model::{
        claim::{Claim, MAX_HARDWARE, MAX_USES},
        glob, id, label,
        label::Labels,
        life,
        page::Page,
        refusal::{Reason, Refusal},
        text::{quoted, shown},
        token,
    },
    store::{
        audit::audit_append,
        claims::{claim_get, claim_insert, claim_revoke, claims_page},
        requests::{Request, request_begin},
    },
};

/// What an operator asks for.
#[derive(Clone, Debug, Default)]
pub struct NewClaim {
    /// Product of the devices.
    pub product: String,
    /// Hardware models that may use it.
    pub hardware: Vec<String>,
    /// Labels the devices start with.
    pub labels: Labels,
    /// How many devices; 0 means 1.
    pub uses: u32,
    /// Only this device; empty means any.
    pub device_id: String,
    /// Only devices whose ids match; empty means any.
    pub device_id_pattern: String,
    /// Whether its devices wait for an operator's yes.
    pub approve: bool,
    /// How long it lives; none means 30 days.
    pub ttl: Option<Duration>,
    /// The caller's id for this call; empty for none.
    pub request_id: String,
}

/// Makes a claim; returns it with its text, which is shown once.
pub async fn create(ctx: &Context, actor: &str, new: NewClaim) -> Result<(Claim, String)> {
    let life = check(&new)?;
    let now = ctx.clock.now();
    let secret = ctx.rng.bytes();
    let claim = Claim {
        id: id::mint(now, ctx.rng.bytes()),
        secret_sha256: token::hash(&secret),
        product: new.product.clone(),
        hardware: new.hardware.clone(),
        labels: new.labels.clone(),
        uses: new.uses.max(1),
        used: 0,
        device_id: new.device_id.clone(),
        device_id_pattern: new.device_id_pattern.clone(),
        approve: new.approve,
        created_at: now,
        created_by: actor.to_owned(),
        expires_at: now.after(life),
        revoked_at: None,
    };
    let name = format!("claims/{}", claim.id);
    let mut tx = ctx.db.write().await?;
    if !new.request_id.is_empty() {
        let call = Request {
            actor: actor.to_owned(),
            method: "CreateClaim".to_owned(),
            id: new.request_id.clone(),
            at: now,
            digest: digest(&new),
            resource: name.clone(),
        };
        let since = now.before(limits::REQUEST_MEMORY);
        if let Some(earlier) = request_begin(&mut tx, &call, since).await? {
            return Err(repeated(&earlier, &call).into());
        }
    }
    claim_insert(&mut tx, &claim).await?;
    let approve = if claim.approve { ", each to be approved" } else { "" };
    let detail = format!("product {}, {} uses{approve}", claim.product, claim.uses);
    audit_append(&mut tx, now, actor, "CreateClaim", &name, &detail).await?;
    tx.commit().await?;
    let text = token::claim_text(&claim.id, &secret);
    Ok((claim, text))
}

/// Claims, newest first, and the token of the next page.
pub async fn list(ctx: &Context, page: &Page) -> Result<(Vec<Claim>, String)> {
    let mut tx = ctx.db.read().await?;
    let mut claims = claims_page(&mut tx, page.after.as_deref(), page.probe()).await?;
    let next = page.cut(&mut claims, |claim| claim.id.clone());
    Ok((claims, next))
}

/// Ends a claim; ending it twice is ending it once.
pub async fn revoke(ctx: &Context, actor: &str, id: &str) -> Result<Claim> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    if claim_revoke(&mut tx, id, now).await? {
        audit_append(&mut tx, now, actor, "RevokeClaim", &format!("claims/{id}"), "").await?;
    }
    let claim = claim_get(&mut tx, id).await?.ok_or_else(|| {
        Refusal::new(
            Reason::ClaimNotFound,
            format!("there is no claim {}", shown(id)),
            "slipway claim list shows those there are",
        )
        .field("name")
    })?;
    tx.commit().await?;
    Ok(claim)
}

fn check(new: &NewClaim) -> std::result::Result<Duration, Refusal> {
    let invalid = |field: &str, message: String, hint: &str| {
        Err(Refusal::new(Reason::ClaimInvalid, message, hint).field(format!("claim.{field}")))
    };
    if let Err((message, hint)) = check_product_name(&new.product) {
        return invalid("product", message, hint);
    }
    if new.hardware.is_empty() || new.hardware.len() > MAX_HARDWARE {
        let message = format!("a claim for {} hardware models is not possible", new.hardware.len());
        return invalid("hardware", message, "name 1 to 32 hardware models that may use it");
    }
    if let Err((message, hint)) = new.hardware.iter().try_for_each(|model| check_hardware_name(model)) {
        return invalid("hardware", message, hint);
    }
    if new.uses > MAX_USES {
        let message = format!("{} uses are more than the {MAX_USES} a claim can have", new.uses);
        return invalid("uses", message, "make several claims, one for each batch");
    }
    if !new.device_id.is_empty() && !id::is_device_id(&new.device_id) {
        let message = format!("{} cannot be the id of a device", quoted(&new.device_id));
        return invalid("device_id", message, "use 1 to 63 of a-z, 0-9, '-', '_' and '.'");
    }
    if !new.device_id.is_empty() && new.uses > 1 {
        let message = format!("a claim for the one device {} cannot have {} uses", new.device_id, new.uses);
        return invalid("uses", message, "leave the uses or the device id out");
    }
    if !new.device_id_pattern.is_empty() && !glob::is_pattern(&new.device_id_pattern) {
        let message = format!("{} cannot be a pattern for ids of devices", quoted(&new.device_id_pattern));
        let hint = "use what ids have (a-z, 0-9, '-', '_' and '.'), * for any characters and ? for one";
        return invalid("device_id_pattern", message, hint);
    }
    if !new.device_id.is_empty() && !new.device_id_pattern.is_empty() {
        let message = format!("a claim for the one device {} needs no pattern", new.device_id);
        return invalid("device_id_pattern", message, "leave the pattern or the device id out");
    }
    if new.request_id.len() > limits::REQUEST_ID {
        let message = format!("a request id of {} bytes is too long", new.request_id.len());
        return Err(Refusal::new(Reason::ClaimInvalid, message, "use a UUID").field("request_id"));
    }
    label::check(&new.labels, "claim.labels")?;
    life::check(new.ttl, limits::CLAIM_LIFE, limits::CLAIM_LIFE_MAX, Reason::ClaimInvalid)
}

/// Whether a product can have this name; the error is what is wrong and what to do.
pub(super) fn check_product_name(name: &str) -> std::result::Result<(), (String, &'static str)> {
    if slipway_trust::product_name(name).is_ok() {
        return Ok(());
    }
    let message = format!("{} cannot be the name of a product", quoted(name));
    Err((message, "use 1 to 32 of a-z, 0-9 and '-', the first a letter or digit"))
}

/// The same for a hardware model.
pub(super) fn check_hardware_name(name: &str) -> std::result::Result<(), (String, &'static str)> {
    if slipway_trust::plain_name(name) {
        return Ok(());
    }
    let message = format!("{} cannot be the name of a hardware model", quoted(name));
    let hint = "use 1 to 63 letters, digits, '-', '_' and '.', the first a letter or digit, as releases do";
    Err((message, hint))
}

fn digest(new: &NewClaim) -> String {
    let ids = (&new.device_id, &new.device_id_pattern);
    let asked = (&new.product, &new.hardware, &new.labels, new.uses, ids, new.approve, new.ttl);
    Sha256::of(format!("{asked:?}").as_bytes()).to_string()
}

fn repeated(earlier: &Request, call: &Request) -> Refusal {
    let other = if earlier.digest == call.digest { "" } else { ", with other content" };
    Refusal::new(
        Reason::RequestRepeated,
        format!("the request {} was made before{other}; it made {}", call.id, earlier.resource),
        "the text of that claim cannot be shown again: revoke it, and ask for another with a new request id",
    )
    .field("request_id")
    .fact("resource", &earlier.resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewClaim {
        NewClaim { product: "pump".into(), hardware: vec!["gw-a".into()], ..NewClaim::default() }
    }

    #[tokio::test]
    async fn a_repeated_request_makes_one_claim() {
        let ctx = Context::for_test().await;
        let asked = NewClaim { request_id: "r1".into(), ..new() };
        let (claim, text) = create(&ctx, "tokens/a", asked.clone()).await.unwrap();
        assert_eq!(token::read_claim(&text).unwrap(), (claim.id.as_str(), claim.secret_sha256));
        let again = create(&ctx, "tokens/a", asked.clone()).await.unwrap_err();
        assert!(again.to_string().contains("REQUEST_REPEATED"), "{again}");
        assert!(create(&ctx, "tokens/b", asked.clone()).await.is_ok(), "ids are each caller's own");
        ctx.clock.advance(limits::REQUEST_MEMORY + Duration::from_secs(1));
        assert!(create(&ctx, "tokens/a", asked).await.is_ok(), "after a day it is forgotten");
        let page = Page::parse(2, "", &[]).unwrap();
        let (found, next) = list(&ctx, &page).await.unwrap();
        assert_eq!(found.len(), 2);
        let page = Page::parse(2, &next, &[]).unwrap();
        assert_eq!(list(&ctx, &page).await.unwrap().0.len(), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_asked_for() {
        let ctx = Context::for_test().await;
        for bad in [
            NewClaim { product: "Pump".into(), ..new() },
            NewClaim { product: "root".into(), ..new() },
            NewClaim { hardware: vec![], ..new() },
            NewClaim { hardware: vec!["gw a".into()], ..new() },
            // No release could be for it: what publishers sign has the same rule.
            NewClaim { hardware: vec!["vendor,board".into()], ..new() },
            NewClaim { hardware: vec!["-gw".into()], ..new() },
            NewClaim { uses: MAX_USES + 1, ..new() },
            NewClaim { device_id: "A".into(), ..new() },
            NewClaim { device_id: "a".into(), uses: 2, ..new() },
            NewClaim { device_id_pattern: "[a-z]".into(), ..new() },
            NewClaim { device_id_pattern: "a*".into(), device_id: "a".into(), ..new() },
            NewClaim { ttl: Some(Duration::from_secs(1)), ..new() },
            NewClaim { labels: Labels::from([("a b".into(), "x".into())]), ..new() },
        ] {
            assert!(create(&ctx, "t", bad.clone()).await.is_err(), "{bad:?}");
        }
        assert!(revoke(&ctx, "t", "nobody").await.is_err());
    }
}

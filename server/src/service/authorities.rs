//! Manufacturers' authorities: made, listed and removed by administrators.

use super::{
    Context, Result,
    claims::{check_hardware_name, check_product_name},
    enroll,
};
use crate::{
    manufacturer,
    model::{
        claim::MAX_HARDWARE,
        enrolment::{Authority, MAX_AUTHORITIES},
        label,
        page::Page,
        refusal::{Reason, Refusal},
        text::shown,
        time::Timestamp,
    },
    store::{
        StoreError,
        audit::audit_append,
        manufacturers::{manufacturer_delete, manufacturer_get, manufacturer_insert, manufacturers_page},
    },
};

/// Adds an authority. The same one again under the same id changes nothing.
pub async fn create(ctx: &Context, actor: &str, asked: Authority) -> Result<Authority> {
    let now = ctx.clock.now();
    check(&asked, now)?;
    let authority = Authority { created_at: now, created_by: actor.to_owned(), ..asked };
    let mut tx = ctx.db.write().await?;
    let all = manufacturers_page(&mut tx, "", i64::try_from(MAX_AUTHORITIES).unwrap_or(i64::MAX)).await?;
    if let Some(known) = all.iter().find(|known| known.id == authority.id) {
        if known.is_same(&authority) {
            return Ok(known.clone());
        }
        let message = format!("there is another authority {}", known.id);
        let hint = "remove that one first (slipway authority remove), or choose another name";
        return Err(exists(message, hint.to_owned()).into());
    }
    if let Some(known) = all.iter().find(|known| known.certificate == authority.certificate) {
        return Err(same_certificate(&known.id).into());
    }
    if all.len() >= MAX_AUTHORITIES {
        let message = format!("there are {MAX_AUTHORITIES} authorities already");
        return Err(invalid("authority", message, "remove those whose machines have all enrolled").into());
    }
    let name = format!("authorities/{}", authority.id);
    let detail =
        format!("product {}, {}", authority.product, slipway_trust::Sha256::of(&authority.certificate));
    audit_append(&mut tx, now, actor, "CreateAuthority", &name, &detail).await?;
    match manufacturer_insert(&mut tx, &authority).await {
        Ok(()) => {}
        Err(StoreError::Conflict { .. }) => {
            // Another call was first, with the name or with the certificate.
            let message = format!("another call made {} or took its certificate just now", authority.id);
            return Err(exists(message, "slipway authority list shows what is there".to_owned()).into());
        }
        Err(error) => return Err(error.into()),
    }
    tx.commit().await?;
    Ok(authority)
}

/// One page of authorities by id, and the token of the next.
pub async fn list(ctx: &Context, page: &Page) -> Result<(Vec<Authority>, String)> {
    let mut tx = ctx.db.read().await?;
    let after = page.after.as_deref().unwrap_or_default();
    let mut authorities = manufacturers_page(&mut tx, after, page.probe()).await?;
    let next = page.cut(&mut authorities, |authority| authority.id.clone());
    Ok((authorities, next))
}

/// Removes an authority; devices that enrolled with it stay.
pub async fn delete(ctx: &Context, actor: &str, id: &str) -> Result<Authority> {
    let mut tx = ctx.db.write().await?;
    let Some(authority) = manufacturer_get(&mut tx, id).await? else {
        let message = format!("there is no authority {}", shown(id));
        let hint = "slipway authority list shows those there are";
        return Err(Refusal::new(Reason::AuthorityNotFound, message, hint).field("name").into());
    };
    let name = format!("authorities/{id}");
    audit_append(&mut tx, ctx.clock.now(), actor, "DeleteAuthority", &name, &authority.product).await?;
    manufacturer_delete(&mut tx, id).await?;
    tx.commit().await?;
    Ok(authority)
}

fn check(asked: &Authority, now: Timestamp) -> std::result::Result<(), Refusal> {
    if let Err(refusal) = enroll::check_id(&asked.id) {
        let message = refusal.message.replace("the id of a device", "the id of an authority");
        return Err(Refusal::new(Reason::AuthorityInvalid, message, refusal.hint).field("authority_id"));
    }
    check_product_name(&asked.product).map_err(|(message, hint)| invalid("product", message, hint))?;
    if asked.hardware.len() > MAX_HARDWARE {
        let message = format!("an authority for {} hardware models is not possible", asked.hardware.len());
        return Err(invalid("hardware", message, "name at most 32, or none to admit any"));
    }
    let hardware = asked.hardware.iter().try_for_each(|model| check_hardware_name(model));
    hardware.map_err(|(message, hint)| invalid("hardware", message, hint))?;
    label::check(&asked.labels, "authority.labels")?;
    manufacturer::check_authority(&asked.certificate, now).map(drop).map_err(|error| {
        let message = format!("the certificate cannot be an authority: {error}");
        invalid(
            "certificate_der",
            message,
            "import the certificate of the CA that signs the machines' certificates",
        )
    })
}

fn invalid(field: &str, message: String, hint: &str) -> Refusal {
    Refusal::new(Reason::AuthorityInvalid, message, hint).field(format!("authority.{field}"))
}

fn same_certificate(id: &str) -> Refusal {
    let hint = format!(
        "one certificate is one authority: use {id} as it is, or remove it first (slipway authority remove {id})"
    );
    exists(format!("this certificate is there already, under the name {id}"), hint)
}

fn exists(message: String, hint: String) -> Refusal {
    Refusal::new(Reason::AuthorityExists, message, hint).field("authority_id")
}

#[cfg(test)]
#[path = "authorities_tests.rs"]
mod tests;

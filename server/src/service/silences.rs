//! Silences: made, listed, ended. What they do to alerts is for the suppression reconciler.

use super::{Context, Result};
use crate::{
    model::{
        filter::Filter,
        id,
        page::Page,
        refusal::{Reason, Refusal},
        silence::{MAX_SILENCES, Silence},
        text::quoted,
        time::Timestamp,
    },
    store::{
        audit::audit_append,
        silences::{silence_delete, silence_get, silence_insert, silences_count, silences_page},
    },
};

/// Silences what matches, from now on.
pub async fn create(
    ctx: &Context,
    actor: &str,
    matcher: Filter,
    reason: String,
    ends_at: Timestamp,
) -> Result<Silence> {
    let now = ctx.clock.now();
    let id = id::mint(now, ctx.rng.bytes());
    let silence = Silence { id, matcher, reason, created_at: now, created_by: actor.to_owned(), ends_at };
    silence.check(now)?;
    let mut tx = ctx.db.write().await?;
    if silences_count(&mut tx, now).await? >= i64::try_from(MAX_SILENCES).unwrap_or(i64::MAX) {
        let hint = "end some of them, or let one match several alerts";
        return Err(Refusal::new(
            Reason::SilenceInvalid,
            format!("there are {MAX_SILENCES} silences already, and every alert is held against all of them"),
            hint,
        )
        .field("silence.matcher")
        .into());
    }
    silence_insert(&mut tx, &silence).await?;
    let detail = format!("{} ({})", silence.matcher, silence.reason);
    audit_append(&mut tx, now, actor, "CreateSilence", &format!("silences/{}", silence.id), &detail).await?;
    tx.commit().await?;
    ctx.suppression.changed();
    Ok(silence)
}

/// One page of silences by id, and the token of the next: those in force, or all that are kept.
pub async fn list(ctx: &Context, page: &Page, with_ended: bool) -> Result<(Vec<Silence>, String)> {
    let since = if with_ended { Timestamp::from_millis(i64::MIN) } else { ctx.clock.now() };
    let mut tx = ctx.db.read().await?;
    let after = page.after.as_deref().unwrap_or_default();
    let mut silences = silences_page(&mut tx, after, since, page.probe()).await?;
    let next = page.cut(&mut silences, |silence| silence.id.clone());
    Ok((silences, next))
}

/// Ends a silence before its time.
pub async fn delete(ctx: &Context, actor: &str, id: &str) -> Result<Silence> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    let Some(silence) = silence_get(&mut tx, id).await? else {
        let hint = "list what there is: slipway alert silence list";
        return Err(Refusal::new(
            Reason::SilenceNotFound,
            format!("there is no silence {}", quoted(id)),
            hint,
        )
        .field("name")
        .into());
    };
    silence_delete(&mut tx, id).await?;
    let detail = format!("{} ({})", silence.matcher, silence.reason);
    audit_append(&mut tx, now, actor, "DeleteSilence", &format!("silences/{id}"), &detail).await?;
    tx.commit().await?;
    ctx.suppression.changed();
    Ok(silence)
}

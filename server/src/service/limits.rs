//! Limits: what series are forecast against.

use super::{Context, Result, forecasts::append};
use crate::{
    model::{
        alert::Alert,
        fix::Fix,
        learned::MAX_LEARNED,
        limit::{Limit, MAX_LIMITS},
        page::Page,
        refusal::{Reason, Refusal},
        text::quoted,
        time::Timestamp,
    },
    store::{
        Tx,
        alerts::{alert_update, alerts_of_cause},
        audit::audit_append,
        fixes::fixes_page,
        inbox::inbox_lock,
        learned::learned_forget,
        limits::{limit_delete, limit_get, limit_put, limits_count, limits_learned, limits_page},
    },
};

/// Alerts resolved at once when their limit goes.
const FETCH: i64 = 500;

/// Sets a limit; one of the same name is replaced. Alerts of the one before stay where both judge
/// the same series; the next reading brings them up to date. One that belongs to a specification is replaced only by
/// that specification, or by who says `take_over`: what the file says of it would be gone without a word.
pub async fn create(ctx: &Context, actor: &str, limit: Limit, take_over: bool) -> Result<Limit> {
    limit.check()?;
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    inbox_lock(&mut tx).await?;
    let before = limit_get(&mut tx, &limit.id).await?;
    if let Some(before) = &before
        && !before.managed_by.is_empty()
        && before.managed_by != limit.managed_by
        && !take_over
    {
        return Err(Refusal::new(
            Reason::LimitInvalid,
            format!(
                "limit {} belongs to the specification {}; nothing was changed",
                quoted(&limit.id),
                quoted(&before.managed_by)
            ),
            "change its file and apply that, set a limit of another name, or replace all that it says with --take-over",
        )
        .field("limit.name")
        .into());
    }
    limit_put(&mut tx, &limit).await?;
    check_count(&mut tx).await?;
    let mut changes = Vec::new();
    if before.is_some_and(|before| !before.judges_same(&limit)) {
        learned_forget(&mut tx, &limit.id).await?;
        changes =
            end_alerts(&mut tx, &limit.id, "Nothing to do any more: the limit was changed.", now).await?;
    }
    let value = match &limit.learned {
        None => limit.value.to_string(),
        Some(learned) => format!("learned by {}", learned.factor),
    };
    let detail = format!("{} {:?} {value} {}", limit.metric, limit.side, limit.selector.as_str());
    audit_append(&mut tx, now, actor, "CreateLimit", &format!("limits/{}", limit.id), &detail).await?;
    let position = append(&mut tx, &changes).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok(limit)
}

/// One page of limits by name, and the token of the next.
pub async fn list(ctx: &Context, page: &Page) -> Result<(Vec<Limit>, String)> {
    let mut tx = ctx.db.read().await?;
    let mut limits = limits_page(&mut tx, page.after.as_deref().unwrap_or_default(), page.probe()).await?;
    let next = page.cut(&mut limits, |limit| limit.id.clone());
    Ok((limits, next))
}

/// One page of fixes by name, and the token of the next.
pub async fn fixes(ctx: &Context, page: &Page) -> Result<(Vec<Fix>, String)> {
    let mut tx = ctx.db.read().await?;
    let mut fixes = fixes_page(&mut tx, page.after.as_deref().unwrap_or_default(), page.probe()).await?;
    let next = page.cut(&mut fixes, |fix| fix.id.clone());
    Ok((fixes, next))
}

/// Removes a limit; its living alerts are resolved. One that belongs to a specification stays: its file would bring it
/// back, and until then nobody would know that it is gone.
pub async fn delete(ctx: &Context, actor: &str, id: &str) -> Result<Limit> {
    delete_one(ctx, actor, id, false).await
}

/// The same, also of a limit that belongs to a specification.
pub async fn delete_managed(ctx: &Context, actor: &str, id: &str) -> Result<Limit> {
    delete_one(ctx, actor, id, true).await
}

async fn delete_one(ctx: &Context, actor: &str, id: &str, is_forced: bool) -> Result<Limit> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    inbox_lock(&mut tx).await?;
    let Some(limit) = limit_get(&mut tx, id).await? else {
        let hint = "list what there is: slipway limit list";
        return Err(Refusal::new(Reason::LimitNotFound, format!("there is no limit {}", quoted(id)), hint)
            .field("name")
            .into());
    };
    if !limit.managed_by.is_empty() && !is_forced {
        return Err(Refusal::new(
            Reason::LimitInvalid,
            format!(
                "limit {} belongs to the specification {}; nothing was removed",
                quoted(id),
                quoted(&limit.managed_by)
            ),
            "take it out of its file and apply that with --prune; or remove it with --force, until the file is applied again",
        )
        .field("name")
        .into());
    }
    limit_delete(&mut tx, id).await?;
    let changes = end_alerts(&mut tx, id, "Nothing to do any more: the limit was removed.", now).await?;
    audit_append(&mut tx, now, actor, "DeleteLimit", &format!("limits/{id}"), &limit.metric).await?;
    let position = append(&mut tx, &changes).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok(limit)
}

/// Refuses what would make more limits than every reading can be held against.
pub(super) async fn check_count(tx: &mut Tx) -> Result<()> {
    if limits_learned(tx).await? > i64::try_from(MAX_LEARNED).unwrap_or(i64::MAX) {
        return Err(Refusal::new(
            Reason::LimitInvalid,
            format!("these would be more than {MAX_LEARNED} limits whose bounds are learned"),
            "let one limit select several models: each model has a bound of its own",
        )
        .field("limit.learned")
        .into());
    }
    if limits_count(tx).await? <= i64::try_from(MAX_LIMITS).unwrap_or(i64::MAX) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::LimitInvalid,
        format!(
            "these would be more than {MAX_LIMITS} limits, and every reading is held against all of them"
        ),
        "let one limit select several devices: use a selector",
    )
    .field("limit.selector")
    .into())
}

pub(super) async fn end_alerts(
    tx: &mut Tx,
    limit_id: &str,
    outcome: &str,
    now: Timestamp,
) -> Result<Vec<Alert>> {
    let mut changes = Vec::new();
    loop {
        // Resolved ones no longer show, so the list is always read from its beginning.
        let living = alerts_of_cause(tx, limit_id, "", FETCH).await?;
        if living.is_empty() {
            return Ok(changes);
        }
        for alert in living {
            let ended = alert.cleared(outcome, now);
            if !alert_update(tx, &ended).await? {
                return Err(changed_meanwhile(&alert.id).into());
            }
            changes.push(ended);
        }
    }
}

/// Somebody acknowledged or resolved an alert at the same moment.
pub(super) fn changed_meanwhile(alert_id: &str) -> Refusal {
    let wrong = format!("alert {alert_id} changed at the same moment; nothing was done");
    Refusal::new(Reason::Unavailable, wrong, "try again").retry_after(std::time::Duration::from_secs(1))
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;

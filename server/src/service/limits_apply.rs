//! Applies a whole specification of limits and fixes: all of it in one transaction, or nothing.

use super::{
    Context, Result,
    forecasts::append,
    limits::{check_count, end_alerts},
};
use crate::{
    model::{
        alert::Alert,
        limit::{Limit, MAX_LIMITS},
        refusal::{Reason, Refusal},
        specification::{Action, Change, Specification},
    },
    store::{
        Tx,
        audit::audit_append,
        fixes::{fix_delete, fix_put, fixes_page},
        inbox::inbox_lock,
        learned::learned_forget,
        limits::{limit_delete, limit_put, limits_page},
    },
};

/// Brings limits and fixes to what the specification says and returns what that changes. With
/// `validate_only` nothing is written. What is the same already is not written either: applied
/// twice, a file changes nothing the second time.
pub async fn apply(
    ctx: &Context,
    actor: &str,
    wanted: &Specification,
    prune: bool,
    validate_only: bool,
) -> Result<Vec<Change>> {
    refuse_faults(wanted)?;
    let now = ctx.clock.now();
    let most = i64::try_from(MAX_LIMITS).unwrap_or(i64::MAX);
    let mut tx = ctx.db.write().await?;
    inbox_lock(&mut tx).await?;
    let limits = limits_page(&mut tx, "", most).await?;
    let fixes = fixes_page(&mut tx, "", most).await?;
    let changes = wanted.changes(&limits, &fixes, prune)?;
    if validate_only || changes.iter().all(|change| matches!(change.action, Action::Keep | Action::Leave)) {
        return Ok(changes);
    }
    let mut ended: Vec<Alert> = Vec::new();
    for change in &changes {
        if matches!(change.action, Action::Keep | Action::Leave) {
            continue;
        }
        if let Some(id) = change.name.strip_prefix("limits/") {
            let before = limits.iter().find(|limit| limit.id == id);
            let after = wanted.limits.iter().find(|limit| limit.id == id);
            ended.extend(replace(&mut tx, before, after, now).await?);
        } else if let Some(id) = change.name.strip_prefix("fixes/") {
            match wanted.fixes.iter().find(|fix| fix.id == id) {
                Some(fix) => fix_put(&mut tx, fix).await?,
                None => fix_delete(&mut tx, id).await?,
            }
        }
    }
    check_count(&mut tx).await?;
    let detail = summary(&changes);
    audit_append(&mut tx, now, actor, "ApplyLimits", &format!("specifications/{}", wanted.set), &detail)
        .await?;
    let position = append(&mut tx, &ended).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    ctx.suppression.changed();
    Ok(changes)
}

fn refuse_faults(wanted: &Specification) -> Result<()> {
    let faults = wanted.faults();
    let Some(((field, first), rest)) = faults.split_first() else { return Ok(()) };
    let mut refusal = Refusal::new(
        Reason::LimitInvalid,
        first.clone(),
        "correct them all and apply the file again: nothing was changed",
    )
    .field(field);
    refusal.violations = rest.to_vec();
    Err(refusal.into())
}

/// Writes one limit as it is to be; returns the alerts that end with what it was.
async fn replace(
    tx: &mut Tx,
    before: Option<&Limit>,
    after: Option<&Limit>,
    now: crate::model::time::Timestamp,
) -> Result<Vec<Alert>> {
    match (before, after) {
        (_, Some(after)) => {
            limit_put(tx, after).await?;
            if before.is_some_and(|before| !before.judges_same(after)) {
                learned_forget(tx, &after.id).await?;
                return end_alerts(tx, &after.id, "Nothing to do any more: the limit was changed.", now)
                    .await;
            }
        }
        (Some(before), None) => {
            limit_delete(tx, &before.id).await?;
            return end_alerts(tx, &before.id, "Nothing to do any more: the limit was removed.", now).await;
        }
        (None, None) => {}
    }
    Ok(Vec::new())
}

fn summary(changes: &[Change]) -> String {
    let count = |action: Action| changes.iter().filter(|change| change.action == action).count();
    format!(
        "{} new, {} changed, {} removed, {} as before",
        count(Action::Create),
        count(Action::Update),
        count(Action::Delete),
        count(Action::Keep)
    )
}

#[cfg(test)]
#[path = "limits_apply_tests.rs"]
mod tests;

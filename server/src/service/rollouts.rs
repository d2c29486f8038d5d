//! Rollouts: made, paused, resumed and ended by operators.

use std::borrow::Cow;

use slipway_trust::{Sha256, Version};

use super::{
    Context, Result,
    prospects::{check_failure_modes, check_not_in_vain, draw_seed},
};
use crate::{
    limits,
    model::{
        event::NewEvent,
        filter::{Field, Filter, Subject},
        id,
        page::Page,
        plan::{Draft, Plan},
        refusal::{Reason, Refusal},
        release,
        rollout::{Act, Rollout, RolloutState, after},
        time::Timestamp,
        update::{self, Outcome},
        wave::{Counts, Wave, WaveState},
    },
    store::{
        Tx,
        audit::audit_append,
        changes::{Kind, changes_bump},
        outbox::outbox_put,
        requests::{Request, request_begin},
        rollouts::{rollout_enter, rollout_get, rollout_insert, rollouts_page},
        updates::updates_cancel,
        waves::{wave_finish, waves_forgive},
    },
};

/// Fields a filter on rollouts may name.
pub const FILTER_FIELDS: &[Field] = &[
    Field::text("product"),
    Field::text("release"),
    Field::words("state", || RolloutState::ALL.map(RolloutState::as_str).to_vec()),
];

impl Subject for Rollout {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        match path {
            "product" => Some(Cow::Borrowed(&self.product)),
            "release" => Some(Cow::Owned(self.release())),
            "state" => Some(Cow::Borrowed(self.state.as_str())),
            _ => None,
        }
    }
}

/// One page of rollouts, newest first, and the token of the next.
pub async fn list(ctx: &Context, filter: &Filter, page: &Page) -> Result<(Vec<Rollout>, String)> {
    let mut found = Vec::new();
    let mut cursor = page.after.clone();
    loop {
        let mut tx = ctx.db.read().await?;
        let (rows, next) = rollouts_page(&mut tx, cursor.as_deref(), page.probe()).await?;
        drop(tx);
        found.extend(rows.into_iter().filter(|rollout| filter.matches(rollout)));
        if next.is_none() || found.len() > page.size {
            let next = page.cut(&mut found, |rollout| rollout.id.clone());
            return Ok((found, next));
        }
        cursor = next;
    }
}

/// A caller's id for a call, and a fingerprint of what he asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// At most 64 bytes; empty for none.
    pub request_id: String,
    /// Over the whole plan.
    pub digest: Sha256,
}

/// Starts a rollout. With `validate_only` everything is checked and nothing is written.
///
/// Refused with `NAME_INVALID`, `PLAN_INVALID`, `SELECTOR_INVALID`, `RELEASE_NOT_FOUND`,
/// `NOBODY_TO_UPDATE`.
pub async fn create(
    ctx: &Context,
    actor: &str,
    draft: Draft,
    validate_only: bool,
    asked: &Asked,
) -> Result<Rollout> {
    let now = ctx.clock.now();
    if asked.request_id.len() > limits::REQUEST_ID {
        let message =
            format!("a request id of {} bytes is longer than {}", asked.request_id.len(), limits::REQUEST_ID);
        return Err(Refusal::new(Reason::NameInvalid, message, "use a UUID").field("request_id").into());
    }
    let rollout = planned(ctx, actor, draft, now).await?;
    if validate_only {
        check_not_in_vain(ctx, &rollout, now).await?;
        return Ok(rollout);
    }
    let mut tx = ctx.db.write().await?;
    if let Some(first) = repeated(&mut tx, actor, asked, &rollout).await? {
        return Ok(first);
    }
    check_not_in_vain(ctx, &rollout, now).await?;
    rollout_insert(&mut tx, &rollout).await?;
    let detail = format!("{} to {}", rollout.release(), describe(&rollout.selector));
    audit_append(&mut tx, now, actor, "CreateRollout", &rollout.name(), &detail).await?;
    changes_bump(&mut tx, Kind::Rollouts).await?;
    outbox_put(&mut tx, NewEvent::of_rollout(&rollout, rollout.state, "", now)).await?;
    tx.commit().await?;
    ctx.rollouts.reload(ctx).await?;
    ctx.wake.rollouts();
    Ok(rollout)
}

/// The rollout that the same request made before; remembers the request when there is none.
async fn repeated(tx: &mut Tx, actor: &str, asked: &Asked, rollout: &Rollout) -> Result<Option<Rollout>> {
    if asked.request_id.is_empty() {
        return Ok(None);
    }
    let request = Request {
        actor: actor.to_owned(),
        method: "CreateRollout".to_owned(),
        id: asked.request_id.clone(),
        at: rollout.created_at,
        digest: asked.digest.to_string(),
        resource: rollout.name(),
    };
    let since = rollout.created_at.before(limits::REQUEST_MEMORY);
    let Some(before) = request_begin(tx, &request, since).await? else { return Ok(None) };
    if before.digest != request.digest {
        return Err(Refusal::new(
            Reason::RequestRepeated,
            "this request id was used for another rollout within a day",
            "choose a new request id for each rollout",
        )
        .field("request_id")
        .into());
    }
    let first = rollout_get(tx, id::within("rollouts", &before.resource).unwrap_or_default()).await?;
    first.map(Some).ok_or_else(|| not_found(&before.resource).into())
}

/// The rollout that a draft would be. Its first wave is open.
pub(super) async fn planned(ctx: &Context, actor: &str, draft: Draft, now: Timestamp) -> Result<Rollout> {
    let name = draft.release.clone();
    let plan = Plan::new(draft)?;
    check_failure_modes(ctx, &plan.selector).await?;
    let version: Option<Version> = plan.version.parse().ok();
    let is_known =
        || version.as_ref().and_then(|version| ctx.trust.release(&plan.product, version)).is_some();
    if ctx.db.is_shared() && !is_known() {
        // Published a moment ago through another replica.
        ctx.trust.refresh(&ctx.db).await?;
    }
    if !is_known() {
        return Err(release::not_found(&name).field("rollout.release").into());
    }
    let waves = (1..).zip(&plan.waves).map(|(number, (upper, max_in_flight, gate))| Wave {
        number,
        upper: *upper,
        max_in_flight: *max_in_flight,
        gate: *gate,
        state: if number == 1 { WaveState::Open } else { WaveState::Pending },
        opened_at: (number == 1).then_some(now),
        soaking_since: None,
        counts: Counts::default(),
    });
    let mut rollout = Rollout {
        waves: waves.collect(),
        id: id::mint(now, ctx.rng.bytes()),
        selector: plan.selector.as_str().to_owned(),
        product: plan.product,
        version: plan.version,
        on_failure: plan.on_failure,
        standing: plan.standing,
        allow_downgrade: plan.allow_downgrade,
        spread_by: plan.spread_by,
        update_timeout: plan.update_timeout,
        seed: String::new(),
        state: RolloutState::Running,
        state_reason: String::new(),
        created_at: now,
        created_by: actor.to_owned(),
        updated_at: now,
        generation: 1,
    };
    rollout.seed = draw_seed(ctx, &rollout, now);
    Ok(rollout)
}

/// Pauses, resumes or ends a rollout. An `etag` that is not empty must be current.
///
/// Refused with `ROLLOUT_NOT_FOUND`, `ROLLOUT_STATE`, `ETAG_MISMATCH`.
pub async fn act(ctx: &Context, actor: &str, rollout_id: &str, act: Act, etag: &str) -> Result<Rollout> {
    let now = ctx.clock.now();
    let mut tx = ctx.db.write().await?;
    let name = format!("rollouts/{rollout_id}");
    let rollout = rollout_get(&mut tx, rollout_id).await?.ok_or_else(|| not_found(&name))?;
    if !etag.is_empty() && etag != rollout.etag() {
        return Err(changed_meanwhile(&name).into());
    }
    let next = after(rollout.state, act).ok_or_else(|| refused(&rollout, act))?;
    if !rollout_enter(&mut tx, rollout_id, rollout.generation, next, "", now).await? {
        return Err(changed_meanwhile(&name).into());
    }
    let mut cancelled = 0;
    match act {
        Act::Pause => {}
        Act::Resume => waves_forgive(&mut tx, rollout_id).await?,
        Act::Abort => {
            let detail = format!("{actor} ended the rollout").chars().take(1024).collect();
            let reason = update::Reason { code: "ROLLOUT_ABORTED".to_owned(), detail };
            cancelled = cancel(&mut tx, rollout_id, actor, &reason, now).await?;
        }
    }
    let detail = if cancelled > 0 { format!("{cancelled} offers taken back") } else { String::new() };
    let method = match act {
        Act::Pause => "PauseRollout",
        Act::Resume => "ResumeRollout",
        Act::Abort => "AbortRollout",
    };
    audit_append(&mut tx, now, actor, method, &name, &detail).await?;
    changes_bump(&mut tx, Kind::Rollouts).await?;
    let rollout = rollout_get(&mut tx, rollout_id).await?.ok_or_else(|| not_found(&name))?;
    outbox_put(&mut tx, NewEvent::of_rollout(&rollout, next, "", now)).await?;
    tx.commit().await?;
    ctx.rollouts.reload(ctx).await?;
    if cancelled > 0 {
        ctx.devices.reload(ctx).await?;
    }
    ctx.wake.rollouts();
    Ok(rollout)
}

/// Takes back what was not installed yet, in the caller's transaction; returns how many.
pub(crate) async fn cancel(
    tx: &mut Tx,
    rollout_id: &str,
    actor: &str,
    reason: &update::Reason,
    now: Timestamp,
) -> Result<i64> {
    let mut cancelled = 0;
    for (wave, updates) in updates_cancel(tx, rollout_id, actor, reason, now).await? {
        wave_finish(tx, rollout_id, wave, Outcome::Neither, updates).await?;
        cancelled += updates;
    }
    if cancelled > 0 {
        changes_bump(tx, Kind::Devices).await?;
    }
    Ok(cancelled)
}

/// The refusal of a name that no rollout has.
pub fn not_found(name: &str) -> Refusal {
    Refusal::new(
        Reason::RolloutNotFound,
        format!("there is no rollout {name:?}"),
        "`slipway rollout list` shows those there are",
    )
    .fact("rollout", name)
}

fn refused(rollout: &Rollout, act: Act) -> Refusal {
    let hint = match act {
        Act::Resume => "only a paused rollout can be resumed; to try again, create a new one",
        Act::Pause => "only a running rollout can be paused",
        Act::Abort => "it is over already",
    };
    Refusal::new(
        Reason::RolloutStateRefused,
        format!("cannot {} {}: it is {}", act.as_str(), rollout.name(), rollout.state.words()),
        hint,
    )
    .fact("state", rollout.state.as_str())
}

fn changed_meanwhile(name: &str) -> Refusal {
    Refusal::new(
        Reason::EtagMismatch,
        format!("{name} changed since it was read"),
        "read it again, look at what changed, and repeat with the new etag",
    )
    .fact("rollout", name)
}

fn describe(selector: &str) -> &str {
    if selector.is_empty() { "every device of the product" } else { selector }
}

//! Limits, fixes and silences on the wire.

use std::time::Duration;

use slipway_insight::Side;
use slipway_proto::v1;

use super::{
    alert_wire::severity,
    wire::{duration, from_duration, timestamp},
};
use crate::model::{
    alert::Severity,
    fix::Fix,
    id,
    learned::{Learned, LearnedBound},
    limit::{DEFAULT_HORIZON, Limit},
    refusal::{Reason, Refusal},
    selector::Selector,
    silence::Silence,
    specification::{Action, Change},
    text::quoted,
    time::Timestamp,
};

/// A limit as an operator reads it.
pub fn limit(limit: &Limit) -> v1::Limit {
    v1::Limit {
        name: format!("limits/{}", limit.id),
        selector: limit.selector.as_str().to_owned(),
        component: limit.component.clone(),
        metric: limit.metric.clone(),
        value: limit.value,
        below: limit.side == Side::Below,
        consumable: limit.consumable,
        lead_time: Some(duration(limit.lead_time)),
        horizon: Some(duration(limit.horizon)),
        part: limit.part.clone(),
        unit: limit.unit.clone(),
        failure_mode: limit.failure_mode.clone(),
        severity: severity(limit.severity).into(),
        source: limit.source.clone(),
        managed_by: limit.managed_by.clone(),
        learned: limit.learned.as_ref().map(|learned| v1::LearnedLimit {
            factor: learned.factor,
            bounds: learned.bounds.iter().map(learned_bound).collect(),
            learn_time: learned.learned_at.map(timestamp),
        }),
    }
}

fn learned_bound(bound: &LearnedBound) -> v1::LearnedBound {
    let (model, fence) = (&bound.model, bound.fence.as_ref());
    v1::LearnedBound {
        product: model.product.clone(),
        hardware: model.hardware.clone(),
        component: model.component.clone(),
        unit: model.unit.clone(),
        value: fence.map(|fence| fence.value),
        median: fence.map_or(0.0, |fence| fence.median),
        devices: bound.devices,
        beyond: fence.map_or(0, |fence| fence.beyond),
        learn_time: Some(timestamp(bound.learned_at)),
    }
}

/// The limit that an operator wrote. What no limit may be is refused by [`Limit::check`]; here only
/// what cannot be read.
pub fn from_limit(wire: v1::Limit, actor: &str, now: Timestamp) -> Result<Limit, Refusal> {
    let invalid = |field: &str, wrong: String, hint: &str| {
        Refusal::new(Reason::LimitInvalid, wrong, hint).field(format!("limit.{field}"))
    };
    let id = id::within("limits", &wire.name).ok_or_else(|| {
        invalid("name", format!("{} is no name for a limit", quoted(&wire.name)), "name it limits/ID")
    })?;
    let span = |field: &str, span: Option<&prost_types::Duration>, default: Duration| match span {
        None => Ok(default),
        Some(span) => from_duration(span).ok_or_else(|| {
            invalid(field, format!("{field} is a negative time"), "give a time of zero or more")
        }),
    };
    let learned = wire.learned.as_ref().map(|learned| match learned.factor {
        0.0 => Learned::default(),
        factor => Learned::by(factor),
    });
    let severity = match wire.severity() {
        v1::AlertSeverity::Unspecified if learned.is_some() => Severity::Warning,
        v1::AlertSeverity::Info => Severity::Info,
        v1::AlertSeverity::Warning => Severity::Warning,
        v1::AlertSeverity::Unspecified | v1::AlertSeverity::Critical => Severity::Critical,
    };
    Ok(Limit {
        id: id.to_owned(),
        selector: Selector::parse(&wire.selector).map_err(|refusal| refusal.field("limit.selector"))?,
        component: wire.component,
        metric: wire.metric,
        value: wire.value,
        learned,
        side: if wire.below { Side::Below } else { Side::Above },
        consumable: wire.consumable,
        lead_time: span("lead_time", wire.lead_time.as_ref(), Duration::ZERO)?,
        horizon: span("horizon", wire.horizon.as_ref(), DEFAULT_HORIZON)?,
        part: wire.part,
        unit: wire.unit,
        failure_mode: wire.failure_mode,
        severity,
        source: wire.source,
        managed_by: wire.managed_by,
        created_at: now,
        created_by: actor.to_owned(),
    })
}

/// A fix as an operator reads it.
pub fn fix(fix: &Fix) -> v1::Fix {
    v1::Fix {
        name: format!("fixes/{}", fix.id),
        failure_mode: fix.failure_mode.clone(),
        release: fix.release(),
        selector: fix.selector.as_str().to_owned(),
        managed_by: fix.managed_by.clone(),
    }
}

/// The fix that an operator wrote; only what cannot be read is refused here.
pub fn from_fix(wire: v1::Fix, actor: &str, now: Timestamp) -> Result<Fix, Refusal> {
    let invalid = |field: &str, wrong: String, hint: &str| {
        Refusal::new(Reason::LimitInvalid, wrong, hint).field(format!("fix.{field}"))
    };
    let id = id::within("fixes", &wire.name).ok_or_else(|| {
        invalid("name", format!("{} is no name for a fix", quoted(&wire.name)), "name it fixes/ID")
    })?;
    let release = wire.release.strip_prefix("releases/").and_then(|release| release.split_once('/'));
    let parsed = release.and_then(|(product, version)| Some((product, version.parse().ok()?)));
    let (product, version) = parsed.filter(|(product, _)| !product.is_empty()).ok_or_else(|| {
        let hint = "write releases/PRODUCT/VERSION: the first release that has the fix";
        invalid("release", format!("{} is no release", quoted(&wire.release)), hint)
    })?;
    Ok(Fix {
        id: id.to_owned(),
        failure_mode: wire.failure_mode,
        product: product.to_owned(),
        version,
        selector: Selector::parse(&wire.selector).map_err(|refusal| refusal.field("fix.selector"))?,
        managed_by: wire.managed_by,
        created_at: now,
        created_by: actor.to_owned(),
    })
}

/// What applying a specification does to one limit or fix.
pub fn change(change: &Change) -> v1::LimitChange {
    let action = match change.action {
        Action::Create => v1::LimitAction::Create,
        Action::Update => v1::LimitAction::Update,
        Action::Keep => v1::LimitAction::Keep,
        Action::Delete => v1::LimitAction::Delete,
        Action::Leave => v1::LimitAction::Leave,
    };
    let fields = change.fields.iter().map(|field| v1::LimitFieldChange {
        field: field.field.to_owned(),
        before: field.before.clone(),
        after: field.after.clone(),
    });
    v1::LimitChange { name: change.name.clone(), action: action.into(), fields: fields.collect() }
}

/// A silence as an operator reads it.
pub fn silence(silence: &Silence) -> v1::Silence {
    v1::Silence {
        name: format!("silences/{}", silence.id),
        matcher: silence.matcher.as_str().to_owned(),
        reason: silence.reason.clone(),
        end_time: Some(timestamp(silence.ends_at)),
        create_time: Some(timestamp(silence.created_at)),
        created_by: silence.created_by.clone(),
    }
}

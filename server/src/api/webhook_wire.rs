//! Webhooks and deliveries on the wire.

use slipway_proto::v1;

use super::wire::timestamp;
use crate::{
    model::{
        delivery::DeliveryState,
        refusal::{Reason, Refusal},
        text::quoted,
        webhook::{Health, Signature, Webhook},
    },
    service::{
        deliveries::Sent,
        webhooks::{Change, NewWebhook, Standing},
    },
    webhook::public_key,
};

/// What a caller asks for.
pub fn new(asked: v1::Webhook) -> NewWebhook {
    NewWebhook {
        signature: match asked.signature() {
            v1::WebhookSignature::Ed25519 => Signature::Ed25519,
            v1::WebhookSignature::HmacSha256 | v1::WebhookSignature::Unspecified => Signature::HmacSha256,
        },
        display_name: asked.display_name,
        url: asked.url,
        scope: asked.scope,
        event_types: asked.event_types,
    }
}

/// What a caller changes.
pub fn change(wanted: v1::Webhook, paths: &[String]) -> Result<Change, Refusal> {
    let invalid = |message: String| {
        Refusal::new(
            Reason::FieldMaskInvalid,
            message,
            "name some of display_name, url, scope, event_types, disabled in update_mask",
        )
        .field("update_mask")
    };
    if paths.is_empty() {
        return Err(invalid("update_mask names nothing to change".to_owned()));
    }
    let mut change = Change::default();
    for path in paths {
        match path.as_str() {
            "display_name" => change.display_name = Some(wanted.display_name.clone()),
            "url" => change.url = Some(wanted.url.clone()),
            "scope" => change.scope = Some(wanted.scope.clone()),
            "event_types" => change.event_types = Some(wanted.event_types.clone()),
            "disabled" => change.enabled = Some(!wanted.disabled),
            other => return Err(invalid(format!("{} of a webhook cannot be changed", quoted(other)))),
        }
    }
    Ok(change)
}

/// A webhook that was made just now.
pub fn made(webhook: Webhook) -> v1::Webhook {
    self::webhook(&Standing { webhook, waiting: 0 })
}

/// A webhook and how it stands. Its secret is not part of it.
pub fn webhook(standing: &Standing) -> v1::Webhook {
    let Standing { webhook, waiting } = standing;
    v1::Webhook {
        name: format!("webhooks/{}", webhook.id),
        display_name: webhook.display_name.clone(),
        url: webhook.url.clone(),
        scope: webhook.scope.as_str().to_owned(),
        event_types: webhook.event_types.clone(),
        signature: match webhook.signature {
            Signature::HmacSha256 => v1::WebhookSignature::HmacSha256.into(),
            Signature::Ed25519 => v1::WebhookSignature::Ed25519.into(),
        },
        public_key: public_key(webhook).unwrap_or_default(),
        disabled: !webhook.enabled,
        disabled_reason: webhook.disabled_reason.clone(),
        health: health(webhook.enabled, &webhook.health).into(),
        failing_since: webhook.health.failing_since.map(timestamp),
        last_success_time: webhook.health.succeeded_at.map(timestamp),
        waiting: i32::try_from(*waiting).unwrap_or(i32::MAX),
        position: webhook.position,
        create_time: Some(timestamp(webhook.created_at)),
        update_time: Some(timestamp(webhook.updated_at)),
        etag: webhook.etag(),
    }
}

fn health(is_enabled: bool, of: &Health) -> v1::WebhookHealth {
    match (is_enabled, of.failures, of.succeeded_at) {
        (false, ..) => v1::WebhookHealth::Disabled,
        (true, 0, None) => v1::WebhookHealth::Untested,
        (true, 0, Some(_)) => v1::WebhookHealth::Working,
        (true, ..) => v1::WebhookHealth::Failing,
    }
}

/// One event on its way to one webhook.
pub fn delivery(sent: &Sent) -> v1::Delivery {
    let Sent { delivery, event } = sent;
    let is_waiting = delivery.state == DeliveryState::Waiting;
    let state = match delivery.state {
        DeliveryState::Waiting => v1::DeliveryState::Waiting,
        DeliveryState::Delivered => v1::DeliveryState::Delivered,
        DeliveryState::Failed => v1::DeliveryState::Failed,
        DeliveryState::Dropped => v1::DeliveryState::Dropped,
    };
    v1::Delivery {
        event_id: event.id.clone(),
        position: event.position,
        r#type: event.kind.as_str().to_owned(),
        subject: event.subject.clone(),
        state: state.into(),
        attempts: i32::try_from(delivery.attempts).unwrap_or(i32::MAX),
        event_time: Some(timestamp(event.at)),
        last_attempt_time: delivery.last_attempt_at.map(timestamp),
        next_attempt_time: is_waiting.then(|| timestamp(delivery.next_attempt_at)),
        http_status: i32::try_from(delivery.http_status).unwrap_or(0),
        error: delivery.error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    #[test]
    fn nothing_works_before_it_worked_once() {
        let worked = |failures| Health {
            failures,
            succeeded_at: Some(Timestamp::from_seconds(1)),
            ..Health::default()
        };
        assert_eq!(health(true, &Health::default()), v1::WebhookHealth::Untested);
        assert_eq!(health(true, &worked(0)), v1::WebhookHealth::Working);
        assert_eq!(health(true, &worked(1)), v1::WebhookHealth::Failing);
        assert_eq!(health(true, &Health { failures: 1, ..Health::default() }), v1::WebhookHealth::Failing);
        assert_eq!(health(false, &worked(0)), v1::WebhookHealth::Disabled);
    }
}

//! Signatures of Standard Webhooks: over id, time and body, so that none of the three can be exchanged.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};

use crate::model::{
    time::Timestamp,
    webhook::{Secret, Signature, Webhook},
};

/// The value of `webhook-signature`: by the secret, and for a day by the one before it as well.
pub fn signatures(webhook: &Webhook, id: &str, seconds: i64, body: &str, now: Timestamp) -> String {
    let text = format!("{id}.{seconds}.{body}");
    let mut all = sign(webhook.signature, &webhook.secret, text.as_bytes()).unwrap_or_default();
    if let Some((old, until)) = &webhook.old_secret
        && now < *until
        && let Some(old) = sign(webhook.signature, old, text.as_bytes())
    {
        all.push(' ');
        all.push_str(&old);
    }
    all
}

/// A secret as receivers are given it: `whsec_…`; none for Ed25519, of which they get the public key alone.
pub fn secret_text(webhook: &Webhook) -> Option<String> {
    match webhook.signature {
        Signature::HmacSha256 => Some(format!("whsec_{}", STANDARD.encode(webhook.secret.0))),
        Signature::Ed25519 => None,
    }
}

/// The public key of an Ed25519 webhook: `whpk_…`.
pub fn public_key(webhook: &Webhook) -> Option<String> {
    match webhook.signature {
        Signature::HmacSha256 => None,
        Signature::Ed25519 => {
            Some(format!("whpk_{}", STANDARD.encode(key_pair(&webhook.secret)?.public_key())))
        }
    }
}

fn sign(signature: Signature, secret: &Secret, text: &[u8]) -> Option<String> {
    Some(match signature {
        Signature::HmacSha256 => {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret.0), text);
            format!("v1,{}", STANDARD.encode(tag))
        }
        Signature::Ed25519 => format!("v1a,{}", STANDARD.encode(key_pair(secret)?.sign(text))),
    })
}

/// Every seed of 32 bytes is a key; none of another length gets here.
fn key_pair(secret: &Secret) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(&secret.0).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;
    use crate::model::{selector::Selector, webhook::Health};

    fn webhook(signature: Signature, secret: [u8; 32]) -> Webhook {
        Webhook {
            id: "a".into(),
            display_name: "desk".into(),
            url: "https://desk.example".into(),
            scope: Selector::default(),
            event_types: Vec::new(),
            signature,
            secret: Secret(secret),
            old_secret: None,
            by_client: false,
            position: 0,
            enabled: true,
            disabled_reason: String::new(),
            health: Health::default(),
            created_at: Timestamp::from_seconds(0),
            created_by: String::new(),
            updated_at: Timestamp::from_seconds(0),
            generation: 1,
        }
    }

    /// The example of the specification has a secret of 24 bytes; the same by Python's `hmac` with one of 32.
    #[test]
    fn hmac_as_others_compute_it() {
        let mut hook = webhook(Signature::HmacSha256, *b"0123456789abcdef0123456789abcdef");
        let now = Timestamp::from_seconds(1_614_265_330);
        let by = |hook: &Webhook, now| {
            signatures(hook, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#, now)
        };
        let one = by(&hook, now);
        assert_eq!(one, "v1,hK4CWvngkaAwjY1pABLuUbOIkEJjW9tAapq1no4ojG0=");
        assert_eq!(secret_text(&hook).as_deref(), Some("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
        assert_eq!(public_key(&hook), None);
        // During a change of the secret both sign, then only the new one.
        let until = now.after(Duration::from_secs(10));
        hook.old_secret = Some((hook.secret.clone(), until));
        hook.secret = Secret([9; 32]);
        let both = by(&hook, now);
        assert!(both.ends_with(&format!(" {one}")) && both.split(' ').count() == 2, "{both}");
        assert_eq!(both.split(' ').next(), Some(by(&hook, until).as_str()));
    }

    #[test]
    fn ed25519_by_its_public_key() {
        let hook = webhook(Signature::Ed25519, [7; 32]);
        let signature = signatures(&hook, "msg_a", 5, "{}", Timestamp::from_seconds(0));
        let signature = STANDARD.decode(signature.strip_prefix("v1a,").unwrap()).unwrap();
        let public = public_key(&hook).unwrap();
        let public = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, public);
        assert!(key.verify(b"msg_a.5.{}", &signature).is_ok());
        assert!(key.verify(b"msg_b.5.{}", &signature).is_err());
        assert_eq!(secret_text(&hook), None);
    }
}

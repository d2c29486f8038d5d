//! Webhooks: who hears of which events, at which address, and by which signature he knows them.

use std::{net::IpAddr, time::Duration};

use url::{Host, Url};

use super::{
    address::AddressPolicy,
    event::{Event, EventKind},
    filter::Subject,
    refusal::{Reason, Refusal},
    selector::Selector,
    text::{is_hidden, quoted},
    time::{DAY, Timestamp},
};

/// Webhooks of one server. Each may have eight requests under way, of 15 s at most.
pub const MAX_WEBHOOKS: i64 = 200;
/// Webhooks that the clients of one scope may have: a desk, its spare, and a few to try things with.
pub const MAX_OF_SCOPE: i64 = 16;
/// How long the secret before signs as well.
pub const OLD_SECRET: Duration = DAY;
/// Bytes of a secret, and of an Ed25519 seed. Standard Webhooks asks for 24 to 64.
pub const SECRET_BYTES: usize = 32;

const DISPLAY_NAME: usize = 63;
const URL_LENGTH: usize = 2048;
const EVENT_TYPES: usize = 32;

/// How events are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// `v1`.
    HmacSha256,
    /// `v1a`.
    Ed25519,
}

impl Signature {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Signature::HmacSha256 => "hmac_sha256",
            Signature::Ed25519 => "ed25519",
        }
    }

    /// Reads [`Signature::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Signature::HmacSha256, Signature::Ed25519].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A key of HMAC, or the seed of an Ed25519 key. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; SECRET_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// How attempts went lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Attempts that failed since the last that did not.
    pub failures: i64,
    /// Since when.
    pub failing_since: Option<Timestamp>,
    /// The last that was taken.
    pub succeeded_at: Option<Timestamp>,
    /// When the receiver was back, or was given another chance, the last time: what waits is not sent all at once.
    pub recovering_since: Option<Timestamp>,
}

/// An address that hears of events.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// Where it leads.
    pub url: String,
    /// Which devices; empty means all.
    pub scope: Selector,
    /// Which kinds of events; empty means all.
    pub event_types: Vec<String>,
    /// How events are signed.
    pub signature: Signature,
    /// With what.
    pub secret: Secret,
    /// The secret before, and until when it signs as well.
    pub old_secret: Option<(Secret, Timestamp)>,
    /// A client made it: it rests when no token with its scope lives.
    pub by_client: bool,
    /// Events up to here were looked at.
    pub position: i64,
    /// Whether anything is sent.
    pub enabled: bool,
    /// Why not.
    pub disabled_reason: String,
    /// How attempts went lately.
    pub health: Health,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When somebody changed it last.
    pub updated_at: Timestamp,
    /// Grows by one whenever somebody changes it.
    pub generation: i64,
}

impl Webhook {
    /// Changes whenever somebody changes it.
    pub fn etag(&self) -> String {
        format!("{:x}", self.generation)
    }

    /// Whether it is to hear of an event about `device`, as that is now; none when the event is about no single
    /// device, or one that is gone. Those are for webhooks without a scope.
    pub fn hears(&self, event: &Event, device: Option<&impl Subject>) -> bool {
        event.kind.is_one_of(&self.event_types)
            && (self.scope.is_empty() || device.is_some_and(|device| self.scope.matches(device)))
    }

    /// Refuses what cannot be a webhook; what is at fault is named as a field of the request's `webhook`.
    pub fn check(&self, policy: &AddressPolicy) -> Result<(), Refusal> {
        let length = self.display_name.chars().count();
        if !(1..=DISPLAY_NAME).contains(&length) || self.display_name.chars().any(is_hidden) {
            return Err(invalid(
                "display_name",
                "a webhook needs a name of 1 to 63 characters, all of which can be seen",
                "name the program or the desk that hears",
            ));
        }
        if self.event_types.len() > EVENT_TYPES {
            return Err(invalid(
                "event_types",
                format!("{} types of events are more than {EVENT_TYPES}", self.event_types.len()),
                "leave the list empty for every event",
            ));
        }
        if let Some(unknown) = self.event_types.iter().find(|text| !EventKind::is_type(text)) {
            return Err(invalid(
                "event_types",
                format!("there is no event of type {}", quoted(unknown)),
                "docs/webhooks.md lists the types; `alert.*` means all that begin so",
            ));
        }
        check_url(&self.url, policy)
    }
}

fn invalid(field: &str, message: impl Into<String>, hint: &str) -> Refusal {
    Refusal::new(Reason::WebhookInvalid, message, hint).field(format!("webhook.{field}"))
}

/// Refuses an address that is none, that leaks, or that is one of the server's own network by its number. Where a name
/// leads is looked at when it is called.
fn check_url(text: &str, policy: &AddressPolicy) -> Result<(), Refusal> {
    let wrong = |problem: &str| {
        invalid(
            "url",
            format!("{} is no address of a webhook: {problem}", quoted(text)),
            "write for example https://desk.example/slipway",
        )
    };
    if text.len() > URL_LENGTH {
        return Err(wrong("it is longer than 2,048 bytes"));
    }
    // A parser passes over tabs and line feeds: what people read would not be what is called.
    if text.chars().any(|c| is_hidden(c) || c.is_whitespace()) {
        return Err(wrong("it has spaces, or characters that cannot be seen"));
    }
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    match url.scheme() {
        "https" => {}
        "http" if policy.http => {}
        "http" => {
            return Err(invalid(
                "url",
                format!(
                    "{} is no address of a webhook: what is sent by http can be read on the way, and this server's \
                     configuration does not allow it",
                    quoted(text)
                ),
                "write https://desk.example/slipway, or let the server's operator allow it: --webhook-allow-http, and \
                 for a private address --webhook-allow-network",
            ));
        }
        _ => return Err(wrong("it has to start with https://")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("user names and passwords do not belong into it; the signature says who sends"));
    }
    if url.port() == Some(0) {
        return Err(wrong("nothing listens on port 0"));
    }
    if url.fragment().is_some() {
        return Err(wrong("it has a fragment, which is never sent"));
    }
    let ip = match url.host() {
        Some(Host::Domain(_)) => return Ok(()),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        None => return Err(wrong("it names no host")),
    };
    policy.check(ip).map_err(|what| {
        Refusal::new(
            Reason::WebhookAddressRefused,
            format!("{ip} is no address on the Internet: it is {what}"),
            "name a public address, or let the server's operator allow the network: --webhook-allow-network",
        )
        .field("webhook.url")
    })
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;

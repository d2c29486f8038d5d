//! Who is calling, and may he: decided from the access table before anything is dispatched.

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};

use super::access_table::{Access, Rule};
use crate::{
    listen::Peer,
    model::{
        device::DeviceState,
        id,
        refusal::{Reason, Refusal},
        renewal::revoked,
        token::{self, Role},
    },
    service::{Context, Error, device_cache::DeviceEntry, devices, renew, token_cache::TokenCaller},
};

/// A caller who may make the call he makes.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody in particular.
    Anyone,
    /// A device.
    Device(Arc<DeviceEntry>),
    /// Somebody with a token.
    Token(Arc<TokenCaller>),
}

impl Caller {
    /// As log lines name him.
    pub fn name(&self) -> String {
        match self {
            Caller::Anyone => "anyone".to_owned(),
            Caller::Device(entry) => format!("devices/{}", entry.id()),
            Caller::Token(caller) => format!("tokens/{}", caller.token.id),
        }
    }
}

/// A call that is refused, and who made it as far as that is proved.
#[derive(Debug)]
pub struct Denied {
    /// Who: known, and without the right to this call; else nobody in particular.
    pub caller: Caller,
    /// What he says he is and did not prove; for the log, never for a decision.
    pub claimed: Option<String>,
    /// Why.
    pub error: Box<Error>,
}

impl From<Error> for Denied {
    fn from(error: Error) -> Self {
        Denied { caller: Caller::Anyone, claimed: None, error: Box::new(error) }
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Error::from(refusal).into()
    }
}

/// Finds the caller and checks his right to `rule`; what handlers need goes into the extensions.
pub async fn authenticate(ctx: &Context, rule: &Rule, parts: &mut Parts) -> Result<Caller, Denied> {
    let caller = match rule.access {
        Access::Public | Access::Claim => Caller::Anyone,
        Access::Device => device(ctx, parts).await?,
        Access::Approved => approved(device(ctx, parts).await?)?,
        Access::DeviceOrProof => match parts.extensions.get::<Peer>() {
            Some(peer) if peer.spki_sha256.is_some() => device(ctx, parts).await?,
            // The signature in the message has to say who.
            _ => Caller::Anyone,
        },
        Access::Roles(roles) => with_token(ctx, rule, roles, &parts.headers)?,
        Access::ApprovedOr(roles) => {
            if parts.headers.contains_key(AUTHORIZATION) {
                with_token(ctx, rule, roles, &parts.headers)?
            } else {
                approved(device(ctx, parts).await?)?
            }
        }
        Access::LocalOr(roles) => {
            let local = parts.extensions.get::<Peer>().is_some_and(|peer| peer.addr.ip().is_loopback());
            if local && !ctx.metrics_token && !parts.headers.contains_key(AUTHORIZATION) {
                Caller::Anyone
            } else {
                with_token(ctx, rule, roles, &parts.headers)?
            }
        }
    };
    match &caller {
        Caller::Anyone => {}
        Caller::Device(entry) => drop(parts.extensions.insert(entry.clone())),
        Caller::Token(caller) => drop(parts.extensions.insert(caller.clone())),
    }
    Ok(caller)
}

async fn device(ctx: &Context, parts: &Parts) -> Result<Caller, Denied> {
    let peer = parts.extensions.get::<Peer>();
    let (peer, key) = peer.and_then(|peer| Some((peer, peer.spki_sha256?))).ok_or_else(|| {
        Refusal::new(
            Reason::DeviceCertificateRequired,
            "this call is for devices and needs a device certificate",
            "enrol the device: slipway-agent enroll --claim FILE",
        )
    })?;
    let unknown = || {
        let refusal = Refusal::new(
            Reason::DeviceUnknown,
            "no device of this fleet has the key of this certificate",
            "enrol it again with a new claim; the server may have been set up anew",
        );
        Denied { claimed: Some(format!("key {key}")), ..refusal.into() }
    };
    let entry = ctx.devices.find(ctx, &key).await?.ok_or_else(unknown)?;
    if entry.state() == DeviceState::Registered {
        // The database was set back to before it enrolled: it has to do that again.
        return Err(unknown());
    }
    if entry.state() == DeviceState::Revoked {
        // A connection that was opened since.
        peer.line.close();
        let refusal = revoked(entry.id());
        return Err(Denied { caller: Caller::Device(entry), ..refusal.into() });
    }
    let entry = match entry.is_announced(&key) {
        true => renew::promote(ctx, entry.id(), &key).await?.ok_or_else(unknown)?,
        false => entry,
    };
    if entry.called_on(&peer.line) && !entry.is_duplicate {
        devices::flag_duplicate(ctx, entry.id(), peer.addr.ip()).await?;
    }
    Ok(Caller::Device(entry))
}

/// Nothing of a device counts that nobody has said yes to yet.
fn approved(caller: Caller) -> Result<Caller, Denied> {
    match &caller {
        Caller::Device(entry) if entry.state() == DeviceState::Pending => {
            let refusal = Refusal::new(
                Reason::DevicePending,
                format!("the device {} waits for an operator to approve it", entry.id()),
                format!("look at it, then: slipway device approve {}", entry.id()),
            );
            Err(Denied { caller, ..refusal.into() })
        }
        _ => Ok(caller),
    }
}

fn with_token(
    ctx: &Context,
    rule: &Rule,
    roles: &'static [Role],
    headers: &HeaderMap,
) -> Result<Caller, Denied> {
    let header = headers.get(AUTHORIZATION).ok_or_else(|| {
        Refusal::new(
            Reason::TokenRequired,
            "this call needs a token",
            "send `authorization: Bearer slip_…`; the command line takes --token-file or a profile",
        )
    })?;
    let bearer = header.to_str().ok().and_then(|text| {
        let (scheme, rest) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
    });
    let bearer = bearer.unwrap_or_default();
    let caller = ctx.tokens.find(bearer, ctx.clock.now()).map_err(|refusal| {
        let known = ctx.tokens.known(bearer);
        let claimed = match known {
            Some(_) => None,
            None => token::read_bearer(bearer).filter(|(id, _)| id::is_plain(id)),
        };
        Denied {
            caller: known.map_or(Caller::Anyone, Caller::Token),
            claimed: claimed.map(|(id, _)| format!("tokens/{id}")),
            error: Box::new(refusal.into()),
        }
    })?;
    if roles.contains(&caller.token.role) {
        return Ok(Caller::Token(caller));
    }
    let wanted: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let refusal = Refusal::new(
        Reason::RoleRequired,
        format!("{} is not for the role {}", rule.method, caller.token.role.as_str()),
        format!("use a token with one of these roles: {}", wanted.join(", ")),
    )
    .fact("role", caller.token.role.as_str())
    .fact("required", wanted.join(","));
    Err(Denied { caller: Caller::Token(caller), ..refusal.into() })
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;

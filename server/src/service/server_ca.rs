//! The authorities that devices are told to accept the server's certificate from: a file that the top-level
//! targets name, so that its word is the owners' and not the server's.

use bytes::Bytes;
use slipway_trust::{SERVER_CA, Targets};

use super::{Context, Error, Result, trust_set::TrustSet};
use crate::{
    chain::chain,
    model::{
        refusal::{Reason, Refusal},
        time::Timestamp,
    },
    pki::read_anchors,
};

/// What is to be stored beside new targets: the file that they name, when it is not the one in force.
///
/// A device that took a set from which this server's certificate does not come could never be told of a
/// better one, so such a set is refused here, before anybody hears of it.
pub fn check(
    ctx: &Context,
    current: Option<&TrustSet>,
    targets: Option<&Targets>,
    brought: &[u8],
    now: Timestamp,
) -> Result<Option<Vec<u8>>> {
    let held = current.and_then(TrustSet::server_ca);
    match targets.and_then(Targets::server_ca) {
        None if brought.is_empty() => Ok(None),
        None => Err(refused(
            "NOT_NAMED",
            "a file of the server's authorities was sent, and the targets name none".to_owned(),
            "make the draft with `slipway trust rotate server-ca`, which names it",
        )),
        Some(named)
            if held.is_some_and(|held| named.is(held)) && (brought.is_empty() || named.is(brought)) =>
        {
            Ok(None)
        }
        Some(_) if brought.is_empty() => Err(refused(
            "MISSING",
            format!("the targets name {SERVER_CA}, and the file was not sent"),
            "publish the whole draft: it holds server-ca.pem",
        )),
        Some(named) if !named.is(brought) => Err(refused(
            "DIGEST_MISMATCH",
            format!("the file that was sent is not the one that the targets name as {SERVER_CA}"),
            "publish the draft as it was made: its server-ca.pem was exchanged",
        )),
        Some(_) => {
            check_file(ctx, brought, now)?;
            Ok(Some(brought.to_vec()))
        }
    }
}

fn check_file(ctx: &Context, pem: &[u8], now: Timestamp) -> Result<()> {
    let anchors = read_anchors(pem).map_err(|error| {
        refused(
            "INVALID",
            format!("the file of the server's authorities cannot be used: {error}"),
            "give it the server-ca.pem of the server's data directory, or what shall follow it",
        )
    })?;
    let is_believed = ctx.pki.is_believed_by(&anchors, now);
    if is_believed.map_err(|error| Error::Internal(chain(&error)))? {
        return Ok(());
    }
    Err(refused(
        "LOCKS_OUT",
        "the certificate that this server shows does not come from any authority in the file: every device that \
         took it would be locked out"
            .to_owned(),
        "include the newest certificate of server-ca.pem in the data directory; after `slipwayd ca next`, start \
         every replica again with the new keys first",
    ))
}

/// The file at a target path, if it is that of the authorities in force, and whether the path named its digest.
pub fn read(ctx: &Context, plain: &str, digest: Option<&str>) -> Option<(Bytes, bool)> {
    let set = ctx.trust.current()?;
    let named = set.trusted.targets()?.body.server_ca()?.sha256?.to_string();
    let is_it = plain == SERVER_CA && digest.is_none_or(|digest| digest == named);
    set.server_ca().filter(|_| is_it).map(|bytes| (bytes.clone(), digest.is_some()))
}

fn refused(code: &str, message: String, hint: &str) -> Error {
    Refusal::new(Reason::ServerCaRefused, message, hint).field("server_ca").fact("code", code).into()
}

#[cfg(test)]
#[path = "server_ca_tests.rs"]
mod tests;

//! What time it is, from the server, signed: for a clock that cannot be believed.

use slipway_proto::v1::TrustDelta;

use crate::{
    aside::Aside,
    link::{self, GetError, chain},
    machine::Reason,
    verify::{TrustError, TrustStore},
};

/// Asks for the time and takes it over. `nonce` is random, and another one each time.
///
/// A device that was away for years may not know the key that signs the time today. It then takes the roots
/// that were published since, each vouched for by the one before, and looks again.
///
/// # Errors
/// The server was not reached, or its answer is not to be believed.
pub async fn ask(aside: &Aside, trust: &mut TrustStore, nonce: [u8; 16]) -> Result<(), Reason> {
    let answer = aside.time(nonce).await?;
    let seconds = answer.time.unwrap_or_default().seconds;
    let mut proved = trust.prove_time(&nonce, seconds, &answer.signature);
    while let Err(TrustError::Time) = &proved {
        let known = trust.have().root;
        let Some(root) = aside.root(known.saturating_add(1)).await.map_err(|error| of_get(&error))? else {
            break;
        };
        trust.apply(&TrustDelta { roots: vec![root], ..TrustDelta::default() }).map_err(|e| refused(&e))?;
        proved = trust.prove_time(&nonce, seconds, &answer.signature);
    }
    proved.map_err(|error| refused(&error))
}

fn refused(error: &TrustError) -> Reason {
    Reason::new(error.code(), chain(error))
}

fn of_get(error: &GetError) -> Reason {
    Reason::new(link::UNREACHABLE, error)
}

//! The time, signed, for devices whose clock cannot be believed.

use super::{Context, Error, Result};
use crate::model::{
    refusal::{Reason, Refusal},
    time::Timestamp,
};

/// What is signed begins with this: the key signs metadata too, and neither can be taken for the other.
const PREFIX: &[u8] = b"slipway-time/v1\n";
/// So long that no answer to an earlier question fits.
const NONCE: usize = 16;

/// The time in whole seconds, and the signature of the `timestamp` key over it for this nonce.
pub fn sign(ctx: &Context, nonce: &[u8]) -> Result<(Timestamp, [u8; 64])> {
    if nonce.len() != NONCE {
        return Err(Refusal::new(
            Reason::NonceInvalid,
            format!("a nonce of {} bytes is no nonce", nonce.len()),
            format!("send {NONCE} random bytes, others each time"),
        )
        .field("nonce")
        .into());
    }
    let seconds = ctx.clock.now().seconds();
    let signature = ctx
        .trust
        .keys()
        .timestamp
        .sign(&message(nonce, seconds))
        .map_err(|error| Error::Internal(crate::chain::chain(&error)))?;
    Ok((Timestamp::from_seconds(seconds), signature))
}

fn message(nonce: &[u8], seconds: i64) -> Vec<u8> {
    [PREFIX, nonce, seconds.to_string().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::START;

    #[tokio::test]
    async fn the_time_is_signed_for_one_question() {
        let ctx = Context::for_test().await;
        let (time, signature) = sign(&ctx, &[7; 16]).unwrap();
        assert_eq!(time, START);
        let key = ctx.trust.keys().timestamp.public_key();
        assert!(key.verify(
            b"slipway-time/v1\n\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x071767225600",
            &signature
        ));
        assert!(!key.verify(&message(&[8; 16], START.seconds()), &signature));
        for length in [0, 15, 17, 4096] {
            assert!(sign(&ctx, &vec![0; length]).is_err(), "{length}");
        }
    }
}

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use slipway_trust::{
        Date, Signer,
        fake::{DEVICE, Fake, PRODUCT},
    };

    use super::*;
    use crate::{StateDir, clock::Clock, kept};

    /// 2027-01-15, which is what it is; the device's clock shows 1970.
    const NOW: i64 = 1_800_000_000;

    fn device(fake: &Fake) -> (tempfile::TempDir, StateDir, TrustStore, Clock) {
        let folder = tempfile::tempdir().unwrap();
        let (state, clock) = (StateDir::new(folder.path()), Clock::from_source(Arc::new(|| 0)));
        TrustStore::pin(&state, &fake.repository.roots[0]).unwrap();
        let (trust, _) = TrustStore::open(&state, PRODUCT, DEVICE, &clock).unwrap();
        (folder, state, trust, clock)
    }

    fn signed(key: &dyn Signer, prefix: &str, nonce: [u8; 16], seconds: i64) -> [u8; 64] {
        let message = [prefix.as_bytes(), &nonce, seconds.to_string().as_bytes()].concat();
        key.sign(&message).unwrap()
    }

    #[test]
    fn a_signed_time_is_believed_and_kept() {
        let fake = Fake::new(Date::from_unix(NOW));
        let (_folder, state, trust, clock) = device(&fake);
        assert!(clock.is_in_doubt());
        let signature = signed(&fake.keys.timestamp, "slipway-time/v1\n", [7; 16], NOW);
        trust.prove_time(&[7; 16], NOW, &signature).unwrap();
        assert!((NOW * 1000..NOW * 1000 + 60_000).contains(&clock.now()));
        assert_eq!(kept::read(&state.clock()).value(), Some(NOW.unsigned_abs() * 1000));
    }

    #[test]
    fn row_54_what_is_no_answer_to_this_question_changes_nothing() {
        let fake = Fake::new(Date::from_unix(NOW));
        let (_folder, state, trust, clock) = device(&fake);
        let (before, keys) = (clock.now(), &fake.keys);
        let end = slipway_trust::Root::parse(&fake.repository.roots[0]).unwrap().expires.unix();
        let (prefix, nonce) = ("slipway-time/v1\n", [7; 16]);
        for (what, seconds, signature) in [
            ("replayed", NOW, signed(&keys.timestamp, prefix, [6; 16], NOW)),
            ("another prefix", NOW, signed(&keys.timestamp, "slipway-renew/v1\n", nonce, NOW)),
            ("no prefix", NOW, signed(&keys.timestamp, "", nonce, NOW)),
            ("another time", NOW + 1, signed(&keys.timestamp, prefix, nonce, NOW)),
            ("the snapshot's key", NOW, signed(&keys.snapshot, prefix, nonce, NOW)),
            ("a stranger's key", NOW, signed(&keys.stranger, prefix, nonce, NOW)),
            ("after the end of the root", end + 1, signed(&keys.timestamp, prefix, nonce, end + 1)),
            ("nothing", NOW, [0; 64]),
        ] {
            let refused = trust.prove_time(&nonce, seconds, &signature);
            assert!(matches!(refused, Err(TrustError::Time)), "{what}: {refused:?}");
        }
        assert_eq!(clock.now(), before);
        assert_eq!(kept::read(&state.clock()).value(), None);
    }
}

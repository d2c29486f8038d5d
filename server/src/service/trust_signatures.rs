//! Who still has to sign: said by name before a device would only say that it is too few.

use slipway_trust::{repo::Signatures, signed::Authority};

use crate::model::refusal::{Reason, Refusal};

/// What the document came in: each kind has its own command to sign it.
#[derive(Debug, Clone, Copy)]
pub enum DraftOf {
    /// A release, or the withdrawal of one.
    Release,
    /// Who may sign.
    Trust,
}

/// Refuses a document that too few keys of `authority` signed, and lists those whose signatures would
/// help. What cannot be read at all is left to whoever reads it.
pub fn check(
    draft: DraftOf,
    what: &str,
    field: &str,
    bytes: &[u8],
    authority: &Authority,
) -> Result<(), Refusal> {
    let Ok(signatures) = Signatures::of(what, bytes, authority) else { return Ok(()) };
    let missing = signatures.missing();
    if missing == 0 {
        return Ok(());
    }
    let (signed, threshold) = (signatures.signed.len(), signatures.threshold);
    let open: Vec<String> = signatures.open.iter().map(ToString::to_string).collect();
    let whose = match open.is_empty() {
        true => "and there is no other key that could sign it".to_owned(),
        false => format!("{missing} more of these have to sign:\n  {}", open.join("\n  ")),
    };
    let message = format!("{what} is signed by {signed} of the {threshold} keys that it needs; {whose}");
    let noun = match draft {
        DraftOf::Release => "release",
        DraftOf::Trust => "trust",
    };
    let hint = format!(
        "let their holders sign the draft (`slipway {noun} sign DRAFT --key FILE`), then publish it again"
    );
    Err(Refusal::new(Reason::MetadataRefused, message, hint)
        .field(field)
        .fact("code", "SIGNATURES_MISSING")
        .fact("missing", missing)
        .fact("may_sign", open.join(",")))
}

#[cfg(test)]
mod tests {
    use slipway_trust::{
        Date, SecretKey, Signer as _, Targets,
        repo::{self, RoleSpec},
    };

    use super::*;

    #[test]
    fn the_refusal_names_how_many_are_missing_and_whose() {
        let key = |n: u8| SecretKey::from_seed([n; 32]);
        let spec = RoleSpec { keys: [1, 2, 3].map(|n| key(n).public_key()).into(), threshold: 3 };
        let mut targets = Targets::empty(1, Date::from_unix(2_000_000_000));
        targets.delegate_product("pump", &spec).unwrap();
        let authority = targets.authority("pump").unwrap();
        let signed = |keys: &[u8]| {
            let mut bytes = repo::sign(&Targets::empty(1, Date::from_unix(0)), &[]).unwrap();
            for n in keys {
                bytes = repo::add_signature(&bytes, &key(*n)).unwrap();
            }
            check(DraftOf::Release, "the metadata of pump", "product_metadata", &bytes, &authority)
        };
        assert_eq!(signed(&[1, 2, 3]), Ok(()));
        let refusal = signed(&[2, 9]).unwrap_err();
        let mut open = [key(1), key(3)].map(|key| key.public_key().to_string());
        open.sort();
        assert_eq!(
            refusal.message,
            format!(
                "the metadata of pump is signed by 1 of the 3 keys that it needs; 2 more of these have to sign:\n  {}\n  {}",
                open[0], open[1]
            )
        );
        assert_eq!(
            (refusal.facts["missing"].as_str(), refusal.facts["may_sign"].clone()),
            ("2", open.join(","))
        );
    }
}

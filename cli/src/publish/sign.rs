//! The new documents of a release, signed on this machine. Pure but for the keys.

use slipway_trust::{
    Artifact, Date, Error, Manifest, SecretKey, Signer, Targets, Version,
    repo::{self, ReleaseRules, RoleSpec, lifetime},
};

use crate::{error::Failure, human, publish::current::Current};

/// Top-level targets that end sooner than this are signed again on the occasion.
const RENEW_DAYS: i64 = 60;

/// What is to be published.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Product.
    pub product: String,
    /// Version.
    pub version: Version,
    /// What it installs.
    pub artifact: Artifact,
    /// After running it a device never goes below this counter; `None` leaves it as it was.
    pub floor: Option<u64>,
    /// Needs at least this counter installed.
    pub min_from: u64,
}

/// What the server is given.
#[derive(Debug)]
pub struct Signed {
    /// Top-level targets, if they had to be signed anew; else empty.
    pub targets: Vec<u8>,
    /// The product's role.
    pub product: Vec<u8>,
    /// The release manifest.
    pub manifest: Vec<u8>,
    /// The release's counter.
    pub counter: u64,
}

/// The counter that a release of this version gets: one more than the newest.
///
/// # Errors
/// A version that is not newer than every release of the product.
pub fn next_counter(current: &Current, product: &str, version: &Version) -> Result<u64, Failure> {
    match current.newest(product)? {
        None => Ok(1),
        Some(newest) if version.is_newer_than(&newest.version) => Ok(newest.counter + 1),
        Some(newest) if *version > newest.version => Err(Failure::new(format!(
            "version {version} of {product} is the same as {}, which is published, in another spelling",
            newest.version
        ))
        .hint(format!("choose a version above {}; what follows a '+' does not count", newest.version))
        .reason("VERSION_NOT_NEWER")),
        Some(newest) => Err(Failure::new(format!(
            "version {version} of {product} is not newer than {}, which is published",
            newest.version
        ))
        .hint(format!("choose a version above {}; what is published is never replaced", newest.version))
        .reason("VERSION_NOT_NEWER")),
    }
}

/// Refuses rules that no device could follow, before anything is sent.
///
/// # Errors
/// A floor above the release itself or below the one before, a stepping stone that is not older.
pub fn check_rules(current: &Current, draft: &Draft, counter: u64) -> Result<ReleaseRules, Failure> {
    let invalid = |message: String, hint: &str| Failure::new(message).hint(hint).reason("MANIFEST_INVALID");
    let before = current.newest(&draft.product)?.map_or(0, |newest| newest.floor);
    let floor = draft.floor.unwrap_or(before);
    if floor > counter {
        return Err(invalid(
            format!("the floor {floor} is above this release, whose counter is {counter}"),
            "a release may forbid older ones, not itself",
        ));
    }
    if draft.min_from >= counter && draft.min_from > 0 {
        return Err(invalid(
            format!(
                "this release, whose counter is {counter}, cannot need {} installed before it",
                draft.min_from
            ),
            "--min-from takes the counter of an older release; `slipway release list` shows them",
        ));
    }
    Ok(ReleaseRules { floor, min_from: draft.min_from })
}

/// Whether the top-level targets have to be signed: a new product, or an end that is near.
///
/// # Errors
/// A product that another key signs.
pub fn needs_targets(
    current: &Current,
    product: &str,
    publisher: &SecretKey,
    now: Date,
) -> Result<bool, Failure> {
    let Some(authority) = current.targets.authority(product) else { return Ok(true) };
    if !authority.public_keys().contains(&publisher.public_key()) {
        return Err(Failure::new(format!(
            "the publisher key of this directory may not sign releases of {product}"
        ))
        .hint("use the key directory of that product's publisher, or another --product")
        .reason("PUBLISHER_NOT_AUTHORIZED"));
    }
    Ok(current.targets.expires < now.plus_days(RENEW_DAYS))
}

/// Signs the release on top of what is published. `targets_key` is needed if [`needs_targets`] says so.
///
/// # Errors
/// A draft that makes no valid documents.
pub fn sign(
    current: &Current,
    draft: &Draft,
    publisher: &SecretKey,
    targets_key: Option<&SecretKey>,
    now: Date,
) -> Result<Signed, Failure> {
    let counter = next_counter(current, &draft.product, &draft.version)?;
    let rules = check_rules(current, draft, counter)?;
    let ends = now.plus_days(lifetime::TARGETS_DAYS);
    let targets = match targets_key {
        None => Vec::new(),
        Some(key) => {
            let mut targets = current.targets.clone();
            targets.version += 1;
            targets.expires = ends;
            if targets.delegation(&draft.product).is_none() {
                let keys = RoleSpec::single(publisher.public_key());
                targets.delegate_product(&draft.product, &keys).map_err(|error| invalid(&error))?;
            }
            repo::sign(&targets, &[key as &dyn Signer]).map_err(|error| not_signed(&error))?
        }
    };
    let manifest = Manifest {
        product: draft.product.clone(),
        version: draft.version.clone(),
        counter,
        artifacts: vec![draft.artifact.clone()],
    };
    let manifest_bytes = manifest.to_bytes().map_err(|error| invalid(&error))?;
    let mut role = current.product.clone().unwrap_or_else(|| Targets::empty(0, ends));
    role.version += 1;
    role.expires = ends;
    role.add_release(&manifest, &manifest_bytes, rules).map_err(|error| invalid(&error))?;
    let product = repo::sign(&role, &[publisher as &dyn Signer]).map_err(|error| not_signed(&error))?;
    Ok(Signed { targets, product, manifest: manifest_bytes, counter })
}

fn invalid(error: &Error) -> Failure {
    let failure = Failure::new(format!("this release cannot be signed: {error}"));
    match error {
        Error::TooLarge { limit, .. } => failure
            .hint(format!(
                "a manifest may have {}: publish the image in several components",
                human::bytes(*limit as u64)
            ))
            .reason("IMAGE_TOO_LARGE"),
        _ => failure.hint("look at --product, --component and --hardware").reason("MANIFEST_INVALID"),
    }
}

fn not_signed(error: &slipway_trust::SignError) -> Failure {
    Failure::new(format!("the release could not be signed: {error}"))
        .hint("nothing was published; look at the keys in --keys, or restore them from their copy")
        .reason(error.code())
}

#[cfg(test)]
mod tests {
    use slipway_trust::{Sha256, TARGETS};

    use super::*;

    const NOW: i64 = 1_795_356_185;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed([n; 32])
    }

    fn now() -> Date {
        Date::from_unix(NOW)
    }

    fn fresh() -> Current {
        let director = RoleSpec::single(key(5).public_key());
        let targets = repo::targets(1, now().plus_days(365), &director, &[]).unwrap();
        Current { targets, product: None }
    }

    fn draft(version: &str) -> Draft {
        Draft {
            product: "pump".into(),
            version: version.parse().unwrap(),
            artifact: Artifact {
                component: "system".into(),
                hardware: vec!["gw-a".into()],
                size: 8,
                digest: Sha256::of(b"firmware"),
                segment_size: slipway_payload::SEGMENT_SIZE,
                segments: vec![Sha256::of(b"firmware")],
            },
            floor: None,
            min_from: 0,
        }
    }

    fn published(current: &Current, draft: &Draft) -> Result<Current, Failure> {
        let new = needs_targets(current, &draft.product, &key(6), now())?;
        let targets_key = new.then(|| key(2));
        let signed = sign(current, draft, &key(6), targets_key.as_ref(), now())?;
        let targets = match signed.targets.is_empty() {
            true => current.targets.clone(),
            false => Targets::parse(TARGETS, &signed.targets).unwrap(),
        };
        Ok(Current { targets, product: Some(Targets::parse("pump", &signed.product).unwrap()) })
    }

    #[test]
    fn the_first_release_brings_the_delegation_and_the_second_does_not() {
        let first = published(&fresh(), &draft("1.0.0")).unwrap();
        assert_eq!((first.targets.version, first.product.as_ref().unwrap().version), (2, 1));
        let second = published(&first, &draft("2.0.0")).unwrap();
        assert_eq!((second.targets.version, second.product.as_ref().unwrap().version), (2, 2));
        assert_eq!(second.newest("pump").unwrap().unwrap().counter, 2);
    }

    #[test]
    fn targets_that_end_soon_are_signed_again() {
        let mut current = published(&fresh(), &draft("1.0.0")).unwrap();
        assert!(!needs_targets(&current, "pump", &key(6), now()).unwrap());
        current.targets.expires = now().plus_days(30);
        assert!(needs_targets(&current, "pump", &key(6), now()).unwrap());
    }

    #[test]
    fn refusals_come_before_anything_is_sent() {
        let current = published(&fresh(), &draft("2.0.0")).unwrap();
        let refusal = published(&current, &draft("2.0.0")).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "error: version 2.0.0 of pump is not newer than 2.0.0, which is published\n\
             hint: choose a version above 2.0.0; what is published is never replaced\n\
             see docs/errors/VERSION_NOT_NEWER.md"
        );
        let refusal = published(&current, &draft("2.0.0+again")).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "error: version 2.0.0+again of pump is the same as 2.0.0, which is published, in another spelling\n\
             hint: choose a version above 2.0.0; what follows a '+' does not count\n\
             see docs/errors/VERSION_NOT_NEWER.md"
        );
        let short = published(&fresh(), &draft("5.0")).unwrap();
        let refusal = published(&short, &draft("5.0.0")).unwrap_err();
        assert_eq!(refusal.reason_code(), Some("VERSION_NOT_NEWER"));
        let refusal = published(&current, &Draft { floor: Some(3), ..draft("2.1.0") }).unwrap_err();
        assert_eq!(refusal.reason_code(), Some("MANIFEST_INVALID"));
        let refusal = published(&current, &Draft { min_from: 2, ..draft("2.1.0") }).unwrap_err();
        assert_eq!(refusal.reason_code(), Some("MANIFEST_INVALID"));
        let refusal = needs_targets(&current, "pump", &key(7), now()).unwrap_err();
        assert_eq!(refusal.reason_code(), Some("PUBLISHER_NOT_AUTHORIZED"));
        let refusal = published(&fresh(), &Draft { product: "root".into(), ..draft("1.0.0") }).unwrap_err();
        assert_eq!(refusal.reason_code(), Some("MANIFEST_INVALID"));
    }

    #[test]
    fn a_floor_stays_until_it_is_raised() {
        let first = published(&fresh(), &Draft { floor: Some(1), ..draft("1.0.0") }).unwrap();
        let second = published(&first, &draft("2.0.0")).unwrap();
        assert_eq!(second.newest("pump").unwrap().unwrap().floor, 1);
    }
}

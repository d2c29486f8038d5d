//! The new documents of a release, and their signatures by keys of this machine. Pure but for the keys.

use slipway_trust::{
    Artifact, Date, Error, Manifest, Signer, Targets, Version,
    repo::{self, Body, ReleaseRules, RoleSpec, lifetime},
    signed::Authority,
};

use crate::{
    error::Failure,
    human,
    keys::{KeyDir, KeyRole},
    output::Console,
    publish::current::Current,
};

/// Top-level targets that end sooner than this are signed again on the occasion.
const RENEW_DAYS: i64 = 60;

/// What is to be published.
#[derive(Debug, Clone)]
pub struct Plan {
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

/// The documents of a release, not signed yet.
#[derive(Debug)]
pub struct Composed {
    /// Top-level targets, if they have to be signed anew.
    pub targets: Option<Targets>,
    /// The product's role.
    pub product: Targets,
    /// The release manifest.
    pub manifest: Vec<u8>,
    /// The release's counter.
    pub counter: u64,
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
pub fn check_rules(current: &Current, plan: &Plan, counter: u64) -> Result<ReleaseRules, Failure> {
    let invalid = |message: String, hint: &str| Failure::new(message).hint(hint).reason("MANIFEST_INVALID");
    let before = current.newest(&plan.product)?.map_or(0, |newest| newest.floor);
    let floor = plan.floor.unwrap_or(before);
    if floor > counter {
        return Err(invalid(
            format!("the floor {floor} is above this release, whose counter is {counter}"),
            "a release may forbid older ones, not itself",
        ));
    }
    if plan.min_from >= counter && plan.min_from > 0 {
        return Err(invalid(
            format!(
                "this release, whose counter is {counter}, cannot need {} installed before it",
                plan.min_from
            ),
            "--min-from takes the counter of an older release; `slipway release list` shows them",
        ));
    }
    Ok(ReleaseRules { floor, min_from: plan.min_from })
}

/// Keys of one directory that sign a release.
pub struct Hands {
    publishers: Vec<Box<dyn Signer>>,
    /// Present when the top-level targets are signed too.
    targets: Vec<Box<dyn Signer>>,
    /// Who publishes the product from now on, when nobody did before.
    delegate: Option<RoleSpec>,
}

impl Hands {
    /// Takes as many keys from the directory as have to sign. Those of the top-level targets are needed
    /// for a new product (of publishers who publish nothing else only with `new_publishers`), and used where they are at hand when targets end soon.
    ///
    /// # Errors
    /// Keys that are missing, may not sign, or cannot be read.
    pub fn take(
        keys: &mut KeyDir,
        current: &Current,
        product: &str,
        new_publishers: bool,
        now: Date,
        console: &Console,
    ) -> Result<Self, Failure> {
        let top = current.targets_authority();
        let Some(authority) = current.targets.authority(product) else {
            let delegate = keys.publishers_of_new(&current.targets, new_publishers)?;
            let publishers = keys.signers(KeyRole::Publisher, &authority_of(product, &delegate)?)?;
            let targets = keys.signers(KeyRole::Targets, &top)?;
            return Ok(Self { publishers, targets, delegate: Some(delegate) });
        };
        let publishers = keys.signers(KeyRole::Publisher, &authority)?;
        let mut targets = Vec::new();
        if ends_soon(current, now) {
            match keys.signers(KeyRole::Targets, &top) {
                Ok(found) => targets = found,
                Err(_) => console.say(
                    "the top-level targets end soon, and their keys are not here: sign them anew with `slipway trust rotate`",
                ),
            }
        }
        Ok(Self { publishers, targets, delegate: None })
    }

    /// Signs the release on top of what is published.
    ///
    /// # Errors
    /// A plan that makes no valid documents.
    pub fn sign(&self, current: &Current, plan: &Plan, now: Date) -> Result<Signed, Failure> {
        let renew = !self.targets.is_empty();
        let composed = compose(current, plan, self.delegate.as_ref(), renew, now)?;
        Ok(Signed {
            targets: composed.targets.map_or(Ok(Vec::new()), |body| sign_all(&body, &self.targets))?,
            product: sign_all(&composed.product, &self.publishers)?,
            manifest: composed.manifest,
            counter: composed.counter,
        })
    }
}

/// Signs a document with every one of these keys.
///
/// # Errors
/// A key that does not sign.
pub fn sign_all(body: &(impl Body + ?Sized), signers: &[Box<dyn Signer>]) -> Result<Vec<u8>, Failure> {
    let signers: Vec<&dyn Signer> = signers.iter().map(AsRef::as_ref).collect();
    repo::sign(body, &signers).map_err(|error| not_signed(&error))
}

/// The documents of a release on top of what is published. Targets are among them for a product that
/// nobody published before (`delegate` says who does from now on), and when they are to be renewed.
///
/// # Errors
/// A plan that makes no valid documents.
pub fn compose(
    current: &Current,
    plan: &Plan,
    delegate: Option<&RoleSpec>,
    renew: bool,
    now: Date,
) -> Result<Composed, Failure> {
    let counter = next_counter(current, &plan.product, &plan.version)?;
    let rules = check_rules(current, plan, counter)?;
    let ends = now.plus_days(lifetime::TARGETS_DAYS);
    let targets = match (delegate, renew) {
        (None, false) => None,
        (delegate, _) => {
            let mut targets = current.targets.clone();
            targets.version += 1;
            targets.expires = ends;
            if let Some(keys) = delegate {
                targets.delegate_product(&plan.product, keys).map_err(|error| invalid(&error))?;
            }
            Some(targets)
        }
    };
    let manifest = Manifest {
        product: plan.product.clone(),
        version: plan.version.clone(),
        counter,
        artifacts: vec![plan.artifact.clone()],
    };
    let manifest_bytes = manifest.to_bytes().map_err(|error| invalid(&error))?;
    let mut role = current.product(&plan.product).cloned().unwrap_or_else(|| Targets::empty(0, ends));
    role.version += 1;
    role.expires = ends;
    role.add_release(&manifest, &manifest_bytes, rules).map_err(|error| invalid(&error))?;
    Ok(Composed { targets, product: role, manifest: manifest_bytes, counter })
}

/// Whether the top-level targets end so soon that they are signed on the occasion.
fn ends_soon(current: &Current, now: Date) -> bool {
    current.targets.expires < now.plus_days(RENEW_DAYS)
}

/// The authority that a delegation of `product` to these keys makes.
fn authority_of(product: &str, keys: &RoleSpec) -> Result<Authority, Failure> {
    let mut targets = Targets::empty(1, Date::from_unix(0));
    targets.delegate_product(product, keys).map_err(|error| invalid(&error))?;
    targets.authority(product).ok_or_else(|| Failure::bug("a delegation was not made"))
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
#[path = "sign_tests.rs"]
mod tests;

//! What is published now, verified from the root that this publisher keeps. The new signature will
//! vouch for every release that is listed, so nothing is taken on the server's word.

use slipway_proto::v1;
use slipway_trust::{
    Error, Root, TARGETS, Targets, Version, limits,
    signed::{Authority, Envelope},
};

use crate::{connect::Api, error::Failure, keys::KeyDir};

/// The published documents of one product.
#[derive(Debug)]
pub struct Current {
    /// Top-level targets.
    pub targets: Targets,
    /// The product's role; `None` before its first release.
    pub product: Option<Targets>,
}

impl Current {
    /// Asks the server and verifies the answer.
    ///
    /// # Errors
    /// A server without a root, with a foreign one, or with documents that the root's keys did not sign.
    pub async fn fetch(api: &Api, keys: &KeyDir, product: &str) -> Result<Self, Failure> {
        let request = v1::GetTrustRequest { product: product.to_owned() };
        let trust = api.releases().get_trust(request).await?.into_inner();
        Self::verify(&trust, keys, product)
    }

    /// Verifies what the server said.
    ///
    /// # Errors
    /// As [`Current::fetch`], without asking.
    pub fn verify(trust: &v1::Trust, keys: &KeyDir, product: &str) -> Result<Self, Failure> {
        if trust.root.is_empty() {
            return Err(Failure::no_root());
        }
        let root = trusted_root(&trust.root, keys)?;
        let targets =
            verified(TARGETS, &trust.targets, &root.authority(&root.targets)).map_err(|e| refused(&e))?;
        let role = match trust.product.is_empty() {
            true => None,
            false => {
                let authority = targets.authority(product).ok_or_else(|| {
                    Failure::new(format!("the server has releases of {product}, and nobody may sign them"))
                        .hint("this server is not to be trusted: look at it before you publish")
                        .reason("METADATA_REFUSED")
                })?;
                Some(verified(product, &trust.product, &authority).map_err(|e| refused(&e))?)
            }
        };
        Ok(Self { targets, product: role })
    }

    /// The newest release of the product, if there is one: its version and counter, and its floor.
    ///
    /// # Errors
    /// A listed release that does not make sense.
    pub fn newest(&self, product: &str) -> Result<Option<Newest>, Failure> {
        let Some(role) = &self.product else { return Ok(None) };
        let releases = role.releases(product).map_err(|error| refused(&error))?;
        let counter = releases.iter().map(|release| release.counter).max();
        let floor = releases.iter().map(|release| release.floor).max();
        let version = releases.into_iter().map(|release| release.version).max();
        Ok(version.map(|version| Newest {
            version,
            counter: counter.unwrap_or(0),
            floor: floor.unwrap_or(0),
        }))
    }
}

/// The highest of each among the product's releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Version.
    pub version: Version,
    /// Counter.
    pub counter: u64,
    /// Floor.
    pub floor: u64,
}

/// The server's root if it is the one we keep, or the one that follows it; that one is kept from now on.
fn trusted_root(offered: &[u8], keys: &KeyDir) -> Result<Root, Failure> {
    let path = keys.path().display();
    let kept = keys.root()?.ok_or_else(|| {
        Failure::new(format!("{path}/root.json is missing: without it no server can be believed"))
            .hint(format!(
                "use the directory that `slipway trust init` filled; or copy root.json back: cp COPY/root.json {path}/"
            ))
            .reason("ROOT_FOREIGN")
    })?;
    let mut set = keys.trusted(&kept)?;
    if kept != offered {
        set.update_root(offered).map_err(|error| {
            Failure::new(format!(
                "the server's root is not the one in {path} and does not follow it: {error}"
            ))
            .hint("use the key directory this server was set up with, or the server these keys belong to")
            .reason("ROOT_FOREIGN")
        })?;
        keys.store_root(offered)?;
    }
    Ok(set.root().body.clone())
}

fn verified(role: &str, bytes: &[u8], authority: &Authority) -> Result<Targets, Error> {
    let name = if role == TARGETS { role.to_owned() } else { format!("role {role}") };
    Envelope::parse(&name, bytes, limits::TARGETS_BYTES)?.verify(authority)?;
    Targets::parse(role, bytes)
}

fn refused(error: &Error) -> Failure {
    Failure::new(format!("what the server has published cannot be believed: {error}"))
        .hint("nothing was signed; look at the server before you publish")
        .reason(error.code())
}

#[cfg(test)]
mod tests {
    use slipway_trust::{
        Date, SecretKey, Signer as _,
        repo::{self, RoleSpec, RootKeys},
    };

    use super::*;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed([n; 32])
    }

    fn spec(n: u8) -> RoleSpec {
        RoleSpec::single(key(n).public_key())
    }

    fn ends() -> Date {
        Date::from_unix(2_000_000_000)
    }

    fn root(n: u8) -> Vec<u8> {
        let keys = RootKeys { root: spec(n), targets: spec(2), snapshot: spec(3), timestamp: spec(4) };
        repo::sign(&repo::root(1, ends(), &keys), &[&key(n)]).unwrap()
    }

    fn trust(targets_signer: u8, product_signer: u8) -> v1::Trust {
        let products = [("pump".to_owned(), spec(6))];
        let targets = repo::targets(2, ends(), &spec(5), &products).unwrap();
        v1::Trust {
            root: root(1),
            targets: repo::sign(&targets, &[&key(targets_signer)]).unwrap(),
            product: repo::sign(&Targets::empty(1, ends()), &[&key(product_signer)]).unwrap(),
            online_keys: vec![],
        }
    }

    fn outcome(trust: &v1::Trust) -> Result<Current, String> {
        let dir = tempfile::tempdir().unwrap();
        let keys = KeyDir::new(dir.path(), None);
        keys.store_root(&root(1)).unwrap();
        Current::verify(trust, &keys, "pump").map_err(|f| f.reason_code().unwrap_or_default().to_owned())
    }

    #[test]
    fn what_our_keys_signed_is_believed() {
        let current = outcome(&trust(2, 6)).unwrap();
        assert_eq!((current.targets.version, current.newest("pump").unwrap()), (2, None));
        assert!(outcome(&v1::Trust { product: vec![], ..trust(2, 6) }).unwrap().product.is_none());
    }

    #[test]
    fn a_server_that_lies_gets_no_signature() {
        assert_eq!(outcome(&trust(9, 6)).unwrap_err(), "SIGNATURES_MISSING");
        assert_eq!(outcome(&trust(2, 9)).unwrap_err(), "SIGNATURES_MISSING");
        assert_eq!(outcome(&v1::Trust { root: root(9), ..trust(2, 6) }).unwrap_err(), "ROOT_FOREIGN");
        assert_eq!(outcome(&v1::Trust { root: vec![], ..trust(2, 6) }).unwrap_err(), "TRUST_NOT_INITIALIZED");
    }
}

//! What is published now, verified from the root that somebody keeps here. A new signature will vouch
//! for every release that is listed, so nothing is taken on the server's word.

use std::collections::BTreeMap;

use slipway_proto::v1;
use slipway_trust::{
    DIRECTOR, Error, Root, TARGETS, Targets, Version, limits,
    signed::{Authority, Envelope},
};

use crate::{connect::Api, error::Failure, keys::RootFile};

/// How far above the newest signed counter the server may say that the next one has to be: releases that
/// were withdrawn. A server that lies could otherwise use up all numbers at once.
const WITHDRAWN_AT_MOST: u64 = 1_000;

/// Signed files as the server hands them out, or as a draft recorded them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Roots, ending with the newest.
    pub roots: Vec<Vec<u8>>,
    /// Targets and products, by role.
    pub documents: BTreeMap<String, Vec<u8>>,
}

/// Published documents that verified.
#[derive(Debug, Clone)]
pub struct Current {
    /// The bytes.
    pub published: Published,
    /// The newest root.
    pub root: Root,
    /// Top-level targets.
    pub targets: Targets,
    /// Product roles that have releases.
    pub products: BTreeMap<String, Targets>,
    /// The highest counter and version that the server says were ever published, of the one product
    /// that was asked for.
    last: Option<(u64, Version)>,
}

impl Published {
    /// Asks the server for the trust and these products.
    ///
    /// # Errors
    /// A server without a root; what it says.
    pub async fn fetch(api: &Api, products: &[String]) -> Result<(Self, v1::Trust), Failure> {
        let mut found = Self::default();
        let mut last = v1::Trust::default();
        let none = [String::new()];
        for product in if products.is_empty() { &none } else { products } {
            let request = v1::GetTrustRequest { product: product.clone() };
            last = api.releases().get_trust(request).await?.into_inner();
            found.take(&last, product)?;
        }
        Ok((found, last))
    }

    fn take(&mut self, trust: &v1::Trust, product: &str) -> Result<(), Failure> {
        if trust.root.is_empty() {
            return Err(Failure::no_root());
        }
        self.roots = if trust.roots.is_empty() { vec![trust.root.clone()] } else { trust.roots.clone() };
        self.documents.insert(TARGETS.to_owned(), trust.targets.clone());
        if !trust.product.is_empty() {
            self.documents.insert(product.to_owned(), trust.product.clone());
        }
        Ok(())
    }
}

impl Current {
    /// Asks the server for a product and verifies the answer; a root that follows the one kept is kept
    /// from now on.
    ///
    /// # Errors
    /// A server without a root, with a foreign one, or with documents that the root's keys did not sign.
    pub async fn fetch(api: &Api, root: &RootFile, product: &str) -> Result<Self, Failure> {
        let (published, trust) = Published::fetch(api, &[product.to_owned()]).await?;
        let mut current = Self::verify(published, root)?;
        current.last = match trust.last_version.is_empty() {
            true => None,
            false => Some((trust.last_counter, parse_version(&trust.last_version)?)),
        };
        current.keep_root(root)?;
        Ok(current)
    }

    /// Asks the server for every product of the trust.
    ///
    /// # Errors
    /// As [`Current::fetch`].
    pub async fn fetch_all(api: &Api, root: &RootFile) -> Result<(Self, v1::Trust), Failure> {
        let (published, trust) = Published::fetch(api, &[]).await?;
        let listed = Self::verify(published, root)?.listed();
        let (published, _) = Published::fetch(api, &listed).await?;
        let current = Self::verify(published, root)?;
        current.keep_root(root)?;
        Ok((current, trust))
    }

    /// Verifies what somebody said is published.
    ///
    /// # Errors
    /// As [`Current::fetch`], without asking.
    pub fn verify(published: Published, root: &RootFile) -> Result<Self, Failure> {
        let newest = published.roots.last().ok_or_else(Failure::no_root)?;
        let root = root.follow(&published.roots, newest)?.root().body.clone();
        let nothing = Vec::new();
        let bytes = published.documents.get(TARGETS).unwrap_or(&nothing);
        let targets =
            verified(TARGETS, bytes, &root.authority(&root.targets)).map_err(|error| refused(&error))?;
        let mut products = BTreeMap::new();
        for (role, bytes) in published.documents.iter().filter(|(role, _)| *role != TARGETS) {
            let authority = targets.authority(role).ok_or_else(|| {
                Failure::new(format!("the server has releases of {role}, and nobody may sign them"))
                    .hint("this server is not to be trusted: look at it before you publish")
                    .reason("METADATA_REFUSED")
            })?;
            products
                .insert(role.clone(), verified(role, bytes, &authority).map_err(|error| refused(&error))?);
        }
        Ok(Self { published, root, targets, products, last: None })
    }

    fn keep_root(&self, root: &RootFile) -> Result<(), Failure> {
        match self.published.roots.last() {
            Some(newest) if root.read()?.as_ref() != Some(newest) => root.store(newest),
            _ => Ok(()),
        }
    }

    /// Products that targets delegate to.
    pub fn listed(&self) -> Vec<String> {
        let roles = self.targets.delegations.roles.iter().map(|role| role.name.clone());
        roles.filter(|name| name != DIRECTOR).collect()
    }

    /// The role of a product; `None` before its first release.
    pub fn product(&self, product: &str) -> Option<&Targets> {
        self.products.get(product)
    }

    /// Who signs the top-level targets.
    pub fn targets_authority(&self) -> Authority {
        self.root.authority(&self.root.targets)
    }

    /// The newest release of the product, if there ever was one: its version and counter, and its floor.
    ///
    /// # Errors
    /// A listed release that does not make sense; a counter that the server makes up.
    pub fn newest(&self, product: &str) -> Result<Option<Newest>, Failure> {
        let Some(role) = self.product(product) else { return Ok(None) };
        let releases = role.releases(product).map_err(|error| refused(&error))?;
        let mut counter = releases.iter().map(|release| release.counter).max().unwrap_or(0);
        let floor = releases.iter().map(|release| release.floor).max().unwrap_or(0);
        let mut version = releases.into_iter().map(|release| release.version).max();
        if let Some((told, highest)) = &self.last {
            if *told > counter + WITHDRAWN_AT_MOST {
                return Err(Failure::new(format!(
                    "the server says that counter {told} was used, and the newest that publishers signed is {counter}"
                ))
                .hint("nothing was signed; look at the server before you publish")
                .reason("METADATA_REFUSED"));
            }
            counter = counter.max(*told);
            version = version.max(Some(highest.clone()));
        }
        Ok(version.map(|version| Newest { version, counter, floor }))
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

fn parse_version(text: &str) -> Result<Version, Failure> {
    text.parse().map_err(|error| {
        Failure::new(format!("the server says that {text:?} was published, which is no version: {error}"))
            .hint("nothing was signed; look at the server before you publish")
            .reason("METADATA_REFUSED")
    })
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

    /// Root `version`, whose key is `version`, signed by itself and the one before.
    fn following(version: u8) -> Vec<u8> {
        let keys = RootKeys { root: spec(version), targets: spec(2), snapshot: spec(3), timestamp: spec(4) };
        repo::sign(&repo::root(version.into(), ends(), &keys), &[&key(version), &key(version - 1)]).unwrap()
    }

    fn trust(targets_signer: u8, product_signer: u8) -> v1::Trust {
        let products = [("pump".to_owned(), spec(6))];
        let targets = repo::targets(2, ends(), &spec(5), &products).unwrap();
        v1::Trust {
            root: root(1),
            targets: repo::sign(&targets, &[&key(targets_signer)]).unwrap(),
            product: repo::sign(&Targets::empty(1, ends()), &[&key(product_signer)]).unwrap(),
            ..v1::Trust::default()
        }
    }

    fn outcome(trust: &v1::Trust) -> Result<Current, String> {
        let dir = tempfile::tempdir().unwrap();
        let kept = RootFile::new(&dir.path().join("root.json"));
        kept.store(&root(1)).unwrap();
        let verify = || {
            let mut published = Published::default();
            published.take(trust, "pump")?;
            Current::verify(published, &kept)
        };
        verify().map_err(|failure: Failure| failure.reason_code().unwrap_or_default().to_owned())
    }

    #[test]
    fn what_our_keys_signed_is_believed() {
        let current = outcome(&trust(2, 6)).unwrap();
        assert_eq!((current.targets.version, current.newest("pump").unwrap()), (2, None));
        assert_eq!(current.listed(), ["pump"]);
        assert!(outcome(&v1::Trust { product: vec![], ..trust(2, 6) }).unwrap().product("pump").is_none());
    }

    #[test]
    fn a_server_that_lies_gets_no_signature() {
        assert_eq!(outcome(&trust(9, 6)).unwrap_err(), "SIGNATURES_MISSING");
        assert_eq!(outcome(&trust(2, 9)).unwrap_err(), "SIGNATURES_MISSING");
        assert_eq!(outcome(&v1::Trust { root: root(9), ..trust(2, 6) }).unwrap_err(), "ROOT_FOREIGN");
        assert_eq!(outcome(&v1::Trust { root: vec![], ..trust(2, 6) }).unwrap_err(), "TRUST_NOT_INITIALIZED");
        let mut current = outcome(&trust(2, 6)).unwrap();
        current.last = Some((u64::MAX >> 11, "1.0.0".parse().unwrap()));
        assert_eq!(current.newest("pump").unwrap_err().reason_code(), Some("METADATA_REFUSED"));
        current.last = Some((7, "1.0.0".parse().unwrap()));
        assert_eq!(current.newest("pump").unwrap().unwrap().counter, 7);
    }

    #[test]
    fn a_publisher_who_slept_through_rotations_follows() {
        let chain = vec![root(1), following(2), following(3)];
        let newest = chain[2].clone();
        let rotated = v1::Trust { root: newest.clone(), roots: chain, ..trust(2, 6) };
        assert_eq!(outcome(&rotated).unwrap().root.version, 3);
        let gap = v1::Trust { roots: vec![root(1), newest], ..rotated.clone() };
        assert_eq!(outcome(&gap).unwrap_err(), "ROOT_FOREIGN");
        let other_end = v1::Trust { roots: vec![root(1), following(2)], ..rotated };
        assert!(outcome(&other_end).is_ok(), "the chain says which is the newest");
    }
}

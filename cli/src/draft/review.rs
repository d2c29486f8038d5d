//! What a draft means to somebody who trusts a root: what it changes, and who has to sign.

use std::collections::BTreeMap;

use slipway_trust::{
    Error, Manifest, PublicKey, Root, Signer, TARGETS, Targets, limits,
    repo::{self, Body, Signatures},
    signed::{Authority, Envelope},
};

use super::{Draft, changes};
use crate::{error::Failure, keys::RootFile, publish::current::Current, server_ca};

/// A draft, read beside what was published when it was made, which verified.
#[derive(Debug)]
pub struct Review {
    /// What was published.
    pub current: Current,
    root: Option<Root>,
    targets: Option<Targets>,
    products: BTreeMap<String, Targets>,
    manifest: Option<Manifest>,
    /// What tells the server's CAs apart that devices shall know.
    server_ca: Vec<String>,
}

/// A role that has to sign a document.
#[derive(Debug)]
pub struct Seat {
    /// The document.
    pub role: String,
    /// Whose word it is that these keys count: `root 1`, `targets 2`.
    pub by: String,
    /// Who signed, and who may.
    pub signatures: Signatures,
}

impl Review {
    /// Verifies what the draft says was published from `root` on, and reads what is to be signed.
    ///
    /// # Errors
    /// Published documents that do not verify; documents that do not follow them, or carry what this
    /// program does not know and could not show.
    pub fn new(draft: &Draft, root: &RootFile) -> Result<Self, Failure> {
        let current = Current::verify(draft.published.clone(), root)?;
        let mut review = Self {
            current,
            root: None,
            targets: None,
            products: BTreeMap::new(),
            manifest: None,
            server_ca: Vec::new(),
        };
        for (role, bytes) in &draft.documents {
            review.read(role, bytes)?;
        }
        for role in review.products.keys() {
            if review.next_targets().authority(role).is_none() {
                return Err(odd(role, "nobody may sign it"));
            }
        }
        review.server_ca = review.check_server_ca(draft)?;
        if !draft.manifest.is_empty() {
            review.manifest = Some(review.check_manifest(draft).map_err(|error| unreadable(&error))?);
        }
        Ok(review)
    }

    fn read(&mut self, role: &str, bytes: &[u8]) -> Result<(), Failure> {
        let envelope =
            Envelope::parse(role, bytes, limits::TARGETS_BYTES).map_err(|error| unreadable(&error))?;
        let (version, held, same) = match role {
            "root" => {
                let body = Root::parse(bytes).map_err(|error| unreadable(&error))?;
                let same = body.to_json() == *envelope.signed();
                let version = body.version;
                self.root = Some(body);
                (version, self.current.root.version, same)
            }
            _ => {
                let body = Targets::parse(role, bytes).map_err(|error| unreadable(&error))?;
                let (version, same) = (body.version, body.to_json() == *envelope.signed());
                let held = match role {
                    TARGETS => Some(&self.current.targets),
                    product => self.current.product(product),
                };
                let held = held.map_or(0, |held| held.version);
                match role {
                    TARGETS => self.targets = Some(body),
                    product => drop(self.products.insert(product.to_owned(), body)),
                }
                (version, held, same)
            }
        };
        if !same {
            return Err(odd(role, "it has fields that this program does not know, and cannot show"));
        }
        if version != held + 1 {
            return Err(odd(role, &format!("it is version {version}, and {} has to follow", held + 1)));
        }
        Ok(())
    }

    /// Targets that name other CAs than before come with the file, so that who signs sees them.
    fn check_server_ca(&self, draft: &Draft) -> Result<Vec<String>, Failure> {
        let named = self.targets.as_ref().and_then(Targets::server_ca);
        let file = &draft.server_ca;
        match named.filter(|named| Some(*named) != self.current.targets.server_ca()) {
            Some(named) if named.is(file) => server_ca::fingerprints(file),
            Some(_) => {
                Err(odd(TARGETS, "it names other CAs of the server than those in server-ca.pem beside it"))
            }
            None if file.is_empty() => Ok(Vec::new()),
            None => Err(odd(TARGETS, "there are CAs of the server beside it that it does not name")),
        }
    }

    fn check_manifest(&self, draft: &Draft) -> Result<Manifest, Error> {
        let manifest = Manifest::parse(&draft.manifest)?;
        let product = self.products.get(&manifest.product);
        let releases = product.map(|body| body.releases(&manifest.product)).transpose()?.unwrap_or_default();
        match releases.iter().find(|release| release.version == manifest.version) {
            Some(entry) => Manifest::verify(entry, &draft.manifest),
            None => Err(Error::NotPublished { path: format!("{}/{}", manifest.product, manifest.version) }),
        }
    }

    fn next_root(&self) -> &Root {
        self.root.as_ref().unwrap_or(&self.current.root)
    }

    fn next_targets(&self) -> &Targets {
        self.targets.as_ref().unwrap_or(&self.current.targets)
    }

    /// What changes, for a person to read.
    ///
    /// # Errors
    /// Releases that make no sense.
    pub fn changes(&self) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        if let Some(root) = &self.root {
            lines.extend(changes::root(&self.current.root, root));
        }
        if let Some(targets) = &self.targets {
            lines.extend(changes::targets(&self.current.targets, targets, &self.server_ca));
        }
        for (name, body) in &self.products {
            let releases = |body: &Targets| body.releases(name).map_err(|error| unreadable(&error));
            let new = releases(body)?;
            let held = self.current.product(name);
            let old = held.map(releases).transpose()?;
            let old = held.zip(old.as_deref());
            lines.extend(changes::product(name, old, (body, &new), self.manifest.as_ref()));
        }
        Ok(lines)
    }

    /// Every role that has to sign something, and how far it is. A root has to be signed by those whom
    /// it replaces too.
    ///
    /// # Errors
    /// A document that is none.
    pub fn seats(&self, draft: &Draft) -> Result<Vec<Seat>, Failure> {
        let mut seats = Vec::new();
        for (role, bytes) in &draft.documents {
            for (by, authority) in self.authorities(role) {
                let signatures =
                    Signatures::of(role, bytes, &authority).map_err(|error| unreadable(&error))?;
                seats.push(Seat { role: role.clone(), by, signatures });
            }
        }
        Ok(seats)
    }

    /// Who has to sign a document, each with the document whose word it is.
    pub fn authorities(&self, role: &str) -> Vec<(String, Authority)> {
        let (old, new) = (&self.current.root, self.next_root());
        let by_root = |root: &Root| format!("root {}", root.version);
        match role {
            "root" => {
                let mut both = vec![(by_root(old), old.authority(&old.root))];
                let own = new.authority(&new.root);
                if own != both[0].1 {
                    both.push((by_root(new), own));
                }
                both
            }
            TARGETS => vec![(by_root(new), new.authority(&new.targets))],
            product => {
                let targets = self.next_targets();
                let authority = targets.authority(product).into_iter();
                authority.map(|authority| (format!("targets {}", targets.version), authority)).collect()
            }
        }
    }

    /// Adds the signature of a key to every document that it may sign; returns those.
    ///
    /// # Errors
    /// A key that may sign nothing of it, or does not sign.
    pub fn sign(&self, draft: &mut Draft, signer: &dyn Signer) -> Result<Vec<String>, Failure> {
        let key = signer.public_key();
        let mut signed = Vec::new();
        for (role, bytes) in &mut draft.documents {
            if !self.authorities(role).iter().any(|(_, authority)| authority.public_keys().contains(&key)) {
                continue;
            }
            *bytes = repo::add_signature(bytes, signer).map_err(|error| {
                Failure::new(format!("{role} could not be signed: {error}"))
                    .hint("nothing was written; look at the key, and at what holds it")
                    .reason(error.code())
            })?;
            signed.push(role.clone());
        }
        match signed.is_empty() {
            true => Err(not_named(&key, &self.seats(draft)?)),
            false => Ok(signed),
        }
    }
}

fn not_named(key: &PublicKey, seats: &[Seat]) -> Failure {
    let mut may: Vec<String> = Vec::new();
    for seat in seats {
        let keys = seat.signatures.open.iter().chain(&seat.signatures.signed);
        may.extend(keys.map(|key| format!("  {} of {}: {key}", seat.role, seat.by)));
    }
    Failure::new(format!("the key {key} may sign nothing in this draft; these may:\n{}", may.join("\n")))
        .hint("compare with the .pub file beside each key")
        .reason("KEY_NOT_NAMED")
}

fn unreadable(error: &Error) -> Failure {
    Failure::new(format!("this draft cannot be signed: {error}"))
        .hint("have it made anew")
        .reason(error.code())
}

fn odd(role: &str, why: &str) -> Failure {
    Failure::new(format!("{role} of this draft cannot be signed: {why}"))
        .hint("have it made anew, with the version of slipway that you have")
        .reason("DRAFT_INVALID")
}

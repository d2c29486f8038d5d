//! The client workflow of TUF 1.0.34 as a value: fed with bytes and `now`, it returns what changed
//! or the name of an attack, and after an error it is what it was before.
//!
//! The order of a refresh is: [`update_root`](TrustedSet::update_root) until there is no next one,
//! then timestamp, snapshot, targets, delegated roles, assignment. Persist each document before
//! offering the next. What was stored is loaded with [`TrustedSet::load`] and counts as a *floor*:
//! it may have expired, and then it only says what may not be older. Whether all that is held may
//! be acted on now is the question of [`TrustedSet::assigned`].

use std::collections::BTreeMap;

use crate::assignment::Assignment;
use crate::date::Date;
use crate::document::{Change, Document, RootStep};
use crate::error::Error;
use crate::limits;
use crate::role::{Root, Snapshot, Timestamp};
use crate::signed::{Authority, Envelope};
use crate::targets::{Targets, document_name};

/// Name of the top-level targets role, which delegates to products and to the director.
pub const TARGETS: &str = "targets";
/// Name of the delegated role that assigns releases to devices.
pub const DIRECTOR: &str = "director";

/// Everything a device believes, from one root on.
#[derive(Debug, Clone)]
pub struct TrustedSet {
    pub(crate) root: Document<Root>,
    steps: u32,
    pub(crate) timestamp: Option<Document<Timestamp>>,
    pub(crate) snapshot: Option<Document<Snapshot>>,
    pub(crate) targets: Option<Document<Targets>>,
    /// By delegator and role: a role is verified anew for each delegator that leads to it.
    pub(crate) delegated: BTreeMap<(String, String), Document<Targets>>,
    pub(crate) assignment: Option<Document<Assignment>>,
}

impl TrustedSet {
    /// Starts from the root that came with the device or was stored last. It has to be signed by its
    /// own keys; its expiry does not matter yet, newer ones may follow.
    pub fn from_root(bytes: &[u8]) -> Result<Self, Error> {
        let envelope = Envelope::parse("root", bytes, limits::ROOT_BYTES)?;
        let root = Root::read(envelope.signed())?;
        check_self_signed(&envelope, &root)?;
        Ok(Self {
            root: Document { body: root, bytes: bytes.to_vec() },
            steps: 0,
            timestamp: None,
            snapshot: None,
            targets: None,
            delegated: BTreeMap::new(),
            assignment: None,
        })
    }

    /// Takes the next root: version N + 1, signed by the keys of N and by its own. Expired ones on
    /// the way are taken; [`finish_root`](Self::finish_root) judges the last.
    ///
    /// When the keys of timestamp or snapshot changed, both are dropped: a thief of the old keys may
    /// have set their versions as high as they go. Targets that the new root's keys did not sign are
    /// dropped too, with what hangs under them.
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<RootStep, Error> {
        if self.steps >= limits::ROOTS_IN_CHAIN {
            return Err(Error::RootChainTooLong { limit: limits::ROOTS_IN_CHAIN });
        }
        let envelope = Envelope::parse("root", bytes, limits::ROOT_BYTES)?;
        let root = Root::read(envelope.signed())?;
        let (old, version) = (&self.root.body, root.version);
        let previous = old.authority(&old.root);
        let (valid, threshold) = (envelope.count(&previous), previous.threshold());
        if valid < threshold {
            return Err(Error::RootNotSignedByPrevious { version, valid, threshold });
        }
        check_self_signed(&envelope, &root)?;
        if version != old.version + 1 {
            return Err(Error::RootVersion { expected: old.version + 1, found: version });
        }
        let rotated = old.authority(&old.timestamp) != root.authority(&root.timestamp)
            || old.authority(&old.snapshot) != root.authority(&root.snapshot);
        self.root = Document { body: root, bytes: bytes.to_vec() };
        self.steps += 1;
        Ok(RootStep { version, dropped: self.drop_what_lost_its_keys(rotated) })
    }

    /// Refuses when the newest root has expired. Root updates are kept in any case.
    pub fn finish_root(&self, now: Date) -> Result<(), Error> {
        check_expiry(&format!("root {}", self.root.body.version), self.root.body.expires, now)
    }

    /// Takes a newer timestamp. One of equal version is dropped without a word.
    pub fn update_timestamp(&mut self, bytes: &[u8], now: Date) -> Result<Change, Error> {
        self.finish_root(now)?;
        let new = self.verify_timestamp(bytes)?;
        if let Some(held) = &self.timestamp {
            let (trusted, found) = (held.body.version, new.version);
            if found < trusted {
                return Err(Error::RolledBack { document: "timestamp".to_owned(), trusted, found });
            }
            if found == trusted {
                return Ok(Change::Unchanged);
            }
            let (trusted, found) = (held.body.snapshot.version, new.snapshot.version);
            if found < trusted {
                return Err(Error::OlderSnapshot { version: new.version, trusted, found });
            }
        }
        check_expiry("timestamp", new.expires, now)?;
        self.check_issued("timestamp", new.issued, new.expires)?;
        self.timestamp = Some(Document { body: new, bytes: bytes.to_vec() });
        Ok(Change::Accepted)
    }

    /// Takes the snapshot that the timestamp names.
    pub fn update_snapshot(&mut self, bytes: &[u8], now: Date) -> Result<Change, Error> {
        let timestamp = self.fresh_timestamp(now)?;
        timestamp.snapshot.check("snapshot", "the timestamp", bytes)?;
        let expected = timestamp.snapshot.version;
        let new = self.verify_snapshot(bytes)?;
        check_version("snapshot", "the timestamp", expected, new.version)?;
        if let Some(held) = &self.snapshot {
            check_no_role_goes_back(&held.body, &new)?;
        }
        check_expiry("snapshot", new.expires, now)?;
        Ok(replace(&mut self.snapshot, new, bytes))
    }

    /// Takes the top-level targets that the snapshot names. An assignment whose signer they no longer
    /// know is dropped, as a thief of the director's key may have set its version as high as it goes.
    pub fn update_targets(&mut self, bytes: &[u8], now: Date) -> Result<Change, Error> {
        self.check_against_snapshot(TARGETS, bytes, now)?;
        let new = self.verify_targets(bytes)?;
        self.check_listed_version(TARGETS, new.version)?;
        check_expiry(TARGETS, new.expires, now)?;
        let change = replace(&mut self.targets, new, bytes);
        self.drop_unsigned_delegations();
        Ok(change)
    }

    /// Takes the targets file of `role`, as `delegator` (`targets` or a role held) delegates to it.
    pub fn update_delegated(
        &mut self,
        delegator: &str,
        role: &str,
        bytes: &[u8],
        now: Date,
    ) -> Result<Change, Error> {
        let document = document_name(role);
        self.check_against_snapshot(role, bytes, now)?;
        let authority = self.authority(delegator, role)?;
        let new = verify_delegated(role, bytes, &authority)?;
        self.check_listed_version(role, new.version)?;
        check_expiry(&document, new.expires, now)?;
        let held = self.delegated.remove(&(delegator.to_owned(), role.to_owned()));
        let same = held.is_some_and(|held| held.bytes == bytes);
        let new = Document { body: new, bytes: bytes.to_vec() };
        self.delegated.insert((delegator.to_owned(), role.to_owned()), new);
        Ok(if same { Change::Unchanged } else { Change::Accepted })
    }

    /// Takes the role of a product, which the top-level targets delegate to.
    pub fn update_product(&mut self, product: &str, bytes: &[u8], now: Date) -> Result<Change, Error> {
        self.update_delegated(TARGETS, product, bytes, now)
    }

    /// Takes the assignment of `device`. One of equal version is dropped without a word.
    pub fn update_assignment(&mut self, device: &str, bytes: &[u8], now: Date) -> Result<Change, Error> {
        self.finish_root(now)?;
        let new = self.verify_assignment(device, bytes)?;
        if let Some(held) = &self.assignment {
            let (trusted, found) = (held.body.version, new.version);
            if found < trusted {
                return Err(Error::RolledBack { document: "assignment".to_owned(), trusted, found });
            }
            if found == trusted {
                return Ok(Change::Unchanged);
            }
        }
        check_expiry("assignment", new.expires, now)?;
        self.check_issued("assignment", new.issued, new.expires)?;
        self.assignment = Some(Document { body: new, bytes: bytes.to_vec() });
        Ok(Change::Accepted)
    }

    // ---- signatures and types: what must hold of a document wherever it came from ---------------

    pub(crate) fn verify_timestamp(&self, bytes: &[u8]) -> Result<Timestamp, Error> {
        let envelope = Envelope::parse("timestamp", bytes, limits::TIMESTAMP_BYTES)?;
        let root = &self.root.body;
        envelope.verify(&root.authority(&root.timestamp))?;
        Timestamp::read(envelope.signed())
    }

    pub(crate) fn verify_snapshot(&self, bytes: &[u8]) -> Result<Snapshot, Error> {
        let envelope = Envelope::parse("snapshot", bytes, limits::SNAPSHOT_BYTES)?;
        let root = &self.root.body;
        envelope.verify(&root.authority(&root.snapshot))?;
        Snapshot::read(envelope.signed())
    }

    pub(crate) fn verify_targets(&self, bytes: &[u8]) -> Result<Targets, Error> {
        let envelope = Envelope::parse(TARGETS, bytes, limits::TARGETS_BYTES)?;
        let root = &self.root.body;
        envelope.verify(&root.authority(&root.targets))?;
        Targets::read(TARGETS, envelope.signed())
    }

    pub(crate) fn verify_assignment(&self, device: &str, bytes: &[u8]) -> Result<Assignment, Error> {
        let envelope = Envelope::parse("assignment", bytes, limits::ASSIGNMENT_BYTES)?;
        envelope.verify(&self.authority(TARGETS, DIRECTOR)?)?;
        let assignment = Assignment::read(envelope.signed())?;
        if assignment.device != device {
            return Err(Error::ForeignAssignment { device: device.to_owned(), found: assignment.device });
        }
        if let Some(target) = &assignment.target {
            let within =
                |targets: &Targets| targets.delegation(DIRECTOR).map(|d| d.paths.matches(&target.path));
            // The delegation's pattern is `assignments/*/*` for `assignments/<product>/<version>.json`.
            if self.targets.as_ref().and_then(|targets| within(&targets.body)) != Some(true) {
                return Err(Error::AssignmentPath { path: target.path.clone() });
            }
        }
        Ok(assignment)
    }

    /// Who may sign `role` by the word of `delegator`.
    pub(crate) fn authority(&self, delegator: &str, role: &str) -> Result<Authority, Error> {
        let held = if delegator == TARGETS {
            self.targets.as_ref()
        } else {
            self.delegated.iter().find(|((_, name), _)| name == delegator).map(|(_, held)| held)
        };
        let Some(held) = held else {
            return Err(Error::Missing { document: document_name(role), needs: document_name(delegator) });
        };
        held.body
            .authority(role)
            .ok_or_else(|| Error::NotDelegated { delegator: document_name(delegator), role: role.to_owned() })
    }

    // ---- freshness -----------------------------------------------------------------------------

    /// Online keys set the device's clock, for good: they may not set it to where nothing that is signed
    /// offline can follow. The next root always ends later than this one.
    fn check_issued(&self, document: &str, issued: Option<Date>, expires: Date) -> Result<(), Error> {
        let root = &self.root.body;
        let Some(issued) = issued else { return Ok(()) };
        for (ended, expires) in
            [(format!("root {}", root.version), root.expires), (document.to_owned(), expires)]
        {
            if expires <= issued {
                return Err(Error::IssuedTooLate { document: document.to_owned(), issued, ended, expires });
            }
        }
        Ok(())
    }

    pub(crate) fn fresh_timestamp(&self, now: Date) -> Result<&Timestamp, Error> {
        self.finish_root(now)?;
        let Some(held) = &self.timestamp else {
            return Err(Error::Missing { document: "snapshot".to_owned(), needs: "timestamp".to_owned() });
        };
        check_expiry("timestamp", held.body.expires, now)?;
        Ok(&held.body)
    }

    /// The snapshot, if it is the one that the timestamp names and neither has expired.
    pub(crate) fn fresh_snapshot(&self, now: Date) -> Result<&Snapshot, Error> {
        let expected = self.fresh_timestamp(now)?.snapshot.version;
        let Some(held) = &self.snapshot else {
            return Err(Error::Missing { document: TARGETS.to_owned(), needs: "snapshot".to_owned() });
        };
        check_version("snapshot", "the timestamp", expected, held.body.version)?;
        check_expiry("snapshot", held.body.expires, now)?;
        Ok(&held.body)
    }

    fn check_against_snapshot(&self, role: &str, bytes: &[u8], now: Date) -> Result<(), Error> {
        match self.fresh_snapshot(now)?.meta.get(role) {
            Some(listed) => listed.check(&document_name(role), "the snapshot", bytes),
            None => Err(Error::NotInSnapshot { document: document_name(role) }),
        }
    }

    /// Whether the snapshot held lists `role` in this version.
    pub(crate) fn check_listed_version(&self, role: &str, version: u64) -> Result<(), Error> {
        let listed = self.snapshot.as_ref().and_then(|held| held.body.meta.get(role));
        match listed {
            Some(listed) => check_version(&document_name(role), "the snapshot", listed.version, version),
            None => Err(Error::NotInSnapshot { document: document_name(role) }),
        }
    }

    // ---- what a change of keys takes away ------------------------------------------------------

    fn drop_what_lost_its_keys(&mut self, rotated: bool) -> Vec<String> {
        let mut dropped = Vec::new();
        if rotated {
            let held = [
                (self.timestamp.take().is_some(), "timestamp"),
                (self.snapshot.take().is_some(), "snapshot"),
            ];
            dropped.extend(held.into_iter().filter(|(held, _)| *held).map(|(_, name)| name.to_owned()));
        }
        let unsigned = |set: &Self, held: &Document<Targets>| set.verify_targets(&held.bytes).is_err();
        if self.targets.as_ref().is_some_and(|held| unsigned(self, held)) {
            // The assignment stays: its version is a floor until new targets say who the director is.
            self.targets = None;
            dropped.push(TARGETS.to_owned());
            dropped.extend(std::mem::take(&mut self.delegated).into_keys().map(|(_, role)| role));
        }
        dropped
    }

    fn drop_unsigned_delegations(&mut self) {
        let roles: Vec<_> = self.delegated.keys().cloned().collect();
        for (delegator, role) in roles {
            let signed = self.authority(&delegator, &role).is_ok_and(|authority| {
                let held = &self.delegated[&(delegator.clone(), role.clone())];
                verify_delegated(&role, &held.bytes, &authority).is_ok()
            });
            if !signed {
                self.delegated.remove(&(delegator, role));
            }
        }
        if let Some(held) = self.assignment.take() {
            let device = held.body.device.clone();
            if self.verify_assignment(&device, &held.bytes).is_ok() {
                self.assignment = Some(held);
            }
        }
    }
}

pub(crate) fn verify_delegated(role: &str, bytes: &[u8], authority: &Authority) -> Result<Targets, Error> {
    let document = document_name(role);
    let envelope = Envelope::parse(&document, bytes, limits::TARGETS_BYTES)?;
    envelope.verify(authority)?;
    Targets::read(&document, envelope.signed())
}

/// A document has expired once `now` reaches its date.
pub(crate) fn check_expiry(document: &str, expires: Date, now: Date) -> Result<(), Error> {
    if expires <= now {
        return Err(Error::Expired { document: document.to_owned(), expires, now });
    }
    Ok(())
}

fn check_self_signed(envelope: &Envelope, root: &Root) -> Result<(), Error> {
    let own = root.authority(&root.root);
    let (valid, threshold) = (envelope.count(&own), own.threshold());
    if valid < threshold {
        return Err(Error::RootNotSignedByItself { version: root.version, valid, threshold });
    }
    Ok(())
}

fn check_version(document: &str, named_by: &'static str, expected: u64, found: u64) -> Result<(), Error> {
    if expected != found {
        return Err(Error::VersionMismatch { document: document.to_owned(), named_by, expected, found });
    }
    Ok(())
}

fn check_no_role_goes_back(held: &Snapshot, new: &Snapshot) -> Result<(), Error> {
    let version = new.version;
    for (role, listed) in &held.meta {
        let Some(now_listed) = new.meta.get(role) else {
            return Err(Error::SnapshotDropsRole { version, role: role.clone() });
        };
        let (trusted, found) = (listed.version, now_listed.version);
        if found < trusted {
            return Err(Error::SnapshotListsOlderRole { version, role: role.clone(), trusted, found });
        }
    }
    Ok(())
}

fn replace<T>(slot: &mut Option<Document<T>>, body: T, bytes: &[u8]) -> Change {
    let same = slot.as_ref().is_some_and(|held| held.bytes == bytes);
    *slot = Some(Document { body, bytes: bytes.to_vec() });
    if same { Change::Unchanged } else { Change::Accepted }
}

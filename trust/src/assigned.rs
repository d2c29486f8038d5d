//! What a device may act on now: fresh, mutually current, and said by server and publisher both.

use crate::assignment::Assignment;
use crate::date::Date;
use crate::digest::Sha256;
use crate::document::{Document, Versions};
use crate::error::Error;
use crate::release::ReleaseEntry;
use crate::role::{Root, Snapshot, Timestamp};
use crate::search::Lookup;
use crate::set::{TARGETS, TrustedSet, check_expiry};
use crate::targets::{Target, Targets, document_name};

impl TrustedSet {
    /// Refuses unless root, timestamp, snapshot, targets and the product's role are held, belong
    /// together and have not expired: else the device is *stale* and installs nothing.
    pub fn check_fresh(&self, product: &str, now: Date) -> Result<(), Error> {
        let snapshot = self.fresh_snapshot(now)?;
        for (role, held) in [(TARGETS, self.targets()), (product, self.product(product))] {
            let document = document_name(role);
            let Some(held) = held else {
                return Err(Error::Missing { document: "a release".to_owned(), needs: document });
            };
            self.check_listed_version(role, held.body.version)?;
            if let Some(listed) = snapshot.meta.get(role) {
                listed.check(&document, "the snapshot", &held.bytes)?;
            }
            check_expiry(&document, held.body.expires, now)?;
        }
        Ok(())
    }

    /// The release that `device` shall run: assigned to it by the director, and signed by the
    /// publishers of `product`, who mean the same bytes. `None` says hold: there is no assignment, or
    /// an empty one. Every fact of the answer is the publishers'.
    pub fn assigned(&self, product: &str, device: &str, now: Date) -> Result<Option<ReleaseEntry>, Error> {
        let Some(assignment) = &self.assignment else { return Ok(None) };
        let assignment = &assignment.body;
        if assignment.device != device {
            let (device, found) = (device.to_owned(), assignment.device.clone());
            return Err(Error::ForeignAssignment { device, found });
        }
        let Some(assigned) = &assignment.target else { return Ok(None) };
        self.check_fresh(product, now)?;
        check_expiry("assignment", assignment.expires, now)?;

        let path = assigned.release_path();
        let target = self.listed(product, path)?;
        let mismatch = |what| Error::AssignmentMismatch { path: path.to_owned(), what };
        if target.length != assigned.length {
            return Err(mismatch("length"));
        }
        if target.sha256 != Some(assigned.sha256) {
            return Err(mismatch("digest"));
        }
        ReleaseEntry::read(product, path, target).map(Some)
    }

    /// The release whose manifest has this digest, signed by the publishers of `product`; `None` when they
    /// list no such release. Says nothing of who shall run it: that is [`assigned`](Self::assigned).
    pub fn published(
        &self,
        product: &str,
        manifest: Sha256,
        now: Date,
    ) -> Result<Option<ReleaseEntry>, Error> {
        self.check_fresh(product, now)?;
        let mut held = self.product(product).into_iter().flat_map(|held| &held.body.targets);
        let Some((path, _)) = held.find(|(_, target)| target.sha256 == Some(manifest)) else {
            return Ok(None);
        };
        ReleaseEntry::read(product, path, self.listed(product, path)?).map(Some)
    }

    /// What the role of `product` lists under `path`, by way of the delegations.
    fn listed(&self, product: &str, path: &str) -> Result<&Target, Error> {
        if !path.strip_prefix(product).is_some_and(|rest| rest.starts_with('/')) {
            return Err(Error::ForeignProduct { path: path.to_owned(), product: product.to_owned() });
        }
        match self.find(path)? {
            Lookup::Found { role, target } if role == product => Ok(target),
            Lookup::Found { .. } | Lookup::NotFound => Err(Error::NotPublished { path: path.to_owned() }),
            Lookup::Needs { role, .. } => {
                Err(Error::Missing { document: format!("target {path}"), needs: document_name(role) })
            }
        }
    }

    /// Versions held, to ask for what is newer. A document that no longer belongs to the others is
    /// reported all the same: its version differs from the one the server would send.
    pub fn versions(&self, product: &str) -> Versions {
        Versions {
            root: self.root.body.version,
            timestamp: self.timestamp().map_or(0, |held| held.body.version),
            snapshot: self.snapshot().map_or(0, |held| held.body.version),
            targets: self.targets().map_or(0, |held| held.body.version),
            product: self.product(product).map_or(0, |held| held.body.version),
            assignment: self.assignment().map_or(0, |held| held.body.version),
        }
    }

    /// The newest moment that a signer vouched for: no clock is right that shows less.
    pub fn time_floor(&self) -> Option<Date> {
        let timestamp = self.timestamp.as_ref().and_then(|held| held.body.issued);
        timestamp.max(self.assignment.as_ref().and_then(|held| held.body.issued))
    }

    /// The newest root.
    pub fn root(&self) -> &Document<Root> {
        &self.root
    }

    /// The timestamp held, possibly expired.
    pub fn timestamp(&self) -> Option<&Document<Timestamp>> {
        self.timestamp.as_ref()
    }

    /// The snapshot held, possibly expired.
    pub fn snapshot(&self) -> Option<&Document<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// The top-level targets held, possibly expired.
    pub fn targets(&self) -> Option<&Document<Targets>> {
        self.targets.as_ref()
    }

    /// The role of a product held, possibly expired.
    pub fn product(&self, product: &str) -> Option<&Document<Targets>> {
        self.delegated.get(&(TARGETS.to_owned(), product.to_owned()))
    }

    /// The assignment held, possibly expired.
    pub fn assignment(&self) -> Option<&Document<Assignment>> {
        self.assignment.as_ref()
    }
}

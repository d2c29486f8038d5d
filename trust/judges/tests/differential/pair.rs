//! Two verifiers that are fed alike.

use sigstore_tuf::trusted::TrustedMetadataSet;
use slipway_trust::fake::{Fake, PRODUCT};
use slipway_trust::{TARGETS, TrustedSet};

use crate::NOW;
use crate::mutate::{Input, Kind};

/// What a step said, in words.
pub type Outcome = Result<(), String>;

/// Ours and theirs.
#[derive(Clone)]
pub struct Pair {
    ours: TrustedSet,
    theirs: TrustedMetadataSet,
}

impl Pair {
    /// Both believe the repository of `fake`.
    pub fn start(fake: &Fake) -> Self {
        let root = &fake.repository.roots[0];
        let mut pair = Self {
            ours: TrustedSet::from_root(root).expect("an honest root"),
            theirs: TrustedMetadataSet::from_root(root).expect("an honest root"),
        };
        let repository = &fake.repository;
        for (kind, bytes) in [
            (Kind::Timestamp, &repository.timestamp),
            (Kind::Snapshot, &repository.snapshot),
            (Kind::Targets, &repository.targets),
            (Kind::Product, &repository.delegated[PRODUCT]),
        ] {
            assert_eq!(pair.offer(kind, bytes), (Ok(()), Ok(())), "honest {kind:?}");
        }
        pair
    }

    /// Offers the input after what vouches for it, until one of the two refuses something.
    pub fn feed(&mut self, input: &Input) -> (Outcome, Outcome) {
        for (kind, bytes) in &input.before {
            let outcome = self.offer(*kind, bytes);
            if outcome != (Ok(()), Ok(())) {
                return outcome;
            }
        }
        self.offer(input.kind, &input.bytes)
    }

    fn offer(&mut self, kind: Kind, bytes: &[u8]) -> (Outcome, Outcome) {
        let now = jiff::Timestamp::from_second(NOW.unix()).expect("a date of this century");
        let (ours, theirs) = (&mut self.ours, &mut self.theirs);
        let (ours, theirs) = match kind {
            Kind::Root => (ours.update_root(bytes).map(drop), theirs.update_root(bytes)),
            Kind::Timestamp => {
                (ours.update_timestamp(bytes, NOW).map(drop), theirs.update_timestamp(bytes, now))
            }
            Kind::Snapshot => {
                (ours.update_snapshot(bytes, NOW).map(drop), theirs.update_snapshot(bytes, now))
            }
            Kind::Targets => {
                (ours.update_targets(bytes, NOW).map(drop), theirs.update_targets(bytes, now).map(drop))
            }
            Kind::Product => (
                ours.update_product(PRODUCT, bytes, NOW).map(drop),
                theirs.update_delegated_targets(bytes, PRODUCT, TARGETS, now).map(drop),
            ),
        };
        let theirs = match theirs {
            // Their word for "unchanged": the same version is no fault and changes nothing.
            Err(sigstore_tuf::Error::EqualVersion { .. }) => Ok(()),
            other => other,
        };
        (
            ours.map_err(|error| format!("{}: {error}", error.code())),
            theirs.map_err(|error| error.to_string()),
        )
    }

    /// Versions of root, timestamp, snapshot, targets and product: ours, theirs.
    pub fn versions(&self) -> [(u64, u64); 5] {
        let ours = self.ours.versions(PRODUCT);
        let theirs = &self.theirs;
        let targets = |role| theirs.targets_role(role).map_or(0, |held| held.version);
        [
            (ours.root, theirs.root().version),
            (ours.timestamp, theirs.timestamp().map_or(0, |held| held.version)),
            (ours.snapshot, theirs.snapshot().map_or(0, |held| held.version)),
            (ours.targets, targets(TARGETS)),
            (ours.product, targets(PRODUCT)),
        ]
    }

    /// Whether both hold the same. Theirs forgets all that is below a new root, and all targets below a
    /// new snapshot; ours keeps them as floors: what is forgotten is not compared.
    pub fn agree(&self, kind: Kind) -> bool {
        let same = self.versions().into_iter().all(|(ours, theirs)| ours == theirs || theirs == 0);
        same && (kind != Kind::Product || self.same_targets())
    }

    fn same_targets(&self) -> bool {
        let (Some(ours), Some(theirs)) = (self.ours.product(PRODUCT), self.theirs.targets_role(PRODUCT))
        else {
            return true;
        };
        let ours = ours.body.targets.iter().map(|(path, target)| (path, target.length));
        ours.eq(theirs.targets.iter().map(|(path, target)| (path, target.length)))
    }
}

//! The signed files of the fleet as one verified value, and what a device lacks of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use slipway_trust::{
    Date, PublicKey, ReleaseEntry, Root, SERVER_CA, Stored, Targets, TrustedSet, Version, Versions, limits,
    repo::{Repository, lifetime},
    signed::Authority,
};

use super::online_keys::OnlineKeys;
use crate::model::{
    time::Timestamp,
    trust::{Assignment, Delta, SignedFile},
};

/// Verification against this date looks at signatures, versions and digests, and not at expiry:
/// what is stored may have expired while the server was off, and is then signed anew.
const BEFORE_ANY_EXPIRY: Date = Date::from_unix(0);

/// Milliseconds after which a device gets a newer timestamp though nothing else is new.
const REFRESH_AFTER_MS: i64 = lifetime::TIMESTAMP_DAYS * 86_400_000 / 3;

/// Why stored files are not believed.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// A file that has to be there is not.
    #[error("table metadata has no row of role {role}")]
    Missing {
        /// The role.
        role: String,
    },
    /// A row says another version than the file in it.
    #[error("table metadata: the row of role {role} says version {row}, its document {document}")]
    RowVersion {
        /// The role.
        role: String,
        /// The column.
        row: u64,
        /// The document.
        document: u64,
    },
    /// A file does not verify as a device would verify it.
    #[error("table metadata: a document does not verify")]
    Refused(#[from] slipway_trust::Error),
}

/// Everything that devices may be fed, verified from root 1 on.
#[derive(Debug)]
pub struct TrustSet {
    /// As a device sees it that holds every product.
    pub trusted: TrustedSet,
    /// As a device of each product sees it.
    by_product: BTreeMap<String, TrustedSet>,
    releases: BTreeMap<String, Vec<ReleaseEntry>>,
    /// From version 1 on, without a gap.
    roots: Vec<Bytes>,
    /// The newest of each role but root.
    files: BTreeMap<String, SignedFile>,
    /// The file of the server's authorities that the targets name.
    server_ca: Option<Bytes>,
    /// When the timestamps that devices may still hold were signed.
    timestamps: BTreeMap<u64, Timestamp>,
}

impl TrustSet {
    /// Verifies stored rows: all roots and the newest file of every other role. None when there is
    /// nothing stored.
    pub fn verify(
        rows: Vec<SignedFile>,
        timestamps: impl IntoIterator<Item = (u64, Timestamp)>,
    ) -> Result<Option<Self>, SetError> {
        if rows.is_empty() {
            return Ok(None);
        }
        let (mut roots, files): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.role == "root");
        let (plain, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|row| row.role == SERVER_CA);
        roots.sort_by_key(|row| row.version);
        let mut files: BTreeMap<String, SignedFile> =
            files.into_iter().map(|row| (row.role.clone(), row)).collect();
        let trusted = repository(roots.iter().map(|row| &row.bytes), &files)?.check(BEFORE_ANY_EXPIRY)?;
        // The chain holds, so the roots are 1, 2, 3 …; the columns have to say so too.
        for (row, document) in roots.iter().zip(1_u64..) {
            same_version(row, document)?;
        }
        let named = trusted.targets().and_then(|held| held.body.server_ca());
        let server_ca =
            plain.into_iter().map(|row| row.bytes).find(|bytes| named.is_some_and(|one| one.is(bytes)));
        if named.is_some() && server_ca.is_none() {
            tracing::error!(
                "the stored file {SERVER_CA} is not the one that was signed, or is gone: not served"
            );
        }
        let products = products(&trusted);
        for row in files.values_mut() {
            let (version, expires) = header(&trusted, &row.role).ok_or_else(|| missing(&row.role))?;
            same_version(row, version)?;
            // The signed date counts, not the column beside it.
            row.expires_at = Timestamp::from_millis(expires.millis());
        }
        if let Some(role) = products.iter().find(|role| !files.contains_key(*role)) {
            return Err(missing(role));
        }
        let mut by_product = BTreeMap::new();
        let mut releases = BTreeMap::new();
        for product in products {
            let bytes = &files[&product].bytes;
            by_product.insert(product.clone(), narrow(&trusted, &[(product.as_str(), &bytes[..])])?);
            let role = trusted.product(&product).ok_or_else(|| missing(&product))?;
            releases.insert(product.clone(), role.body.releases(&product)?);
        }
        // "" is no product: what a device holds whose product has published nothing yet.
        by_product.insert(String::new(), narrow(&trusted, &[])?);
        Ok(Some(TrustSet {
            trusted,
            by_product,
            releases,
            roots: roots.into_iter().map(|row| row.bytes).collect(),
            files,
            server_ca,
            timestamps: timestamps.into_iter().collect(),
        }))
    }

    /// All of it as bytes, to build the next one from.
    pub fn repository(&self) -> Result<Repository, SetError> {
        repository(self.roots.iter(), &self.files)
    }

    /// Roots from version 1 on.
    pub fn roots(&self) -> &[Bytes] {
        &self.roots
    }

    /// The newest file of a role other than root.
    pub fn file(&self, role: &str) -> Option<&SignedFile> {
        self.files.get(role)
    }

    /// The file of the server's authorities, as its owners signed it.
    pub fn server_ca(&self) -> Option<&Bytes> {
        self.server_ca.as_ref()
    }

    /// Every newest file but the roots.
    pub fn files(&self) -> impl Iterator<Item = &SignedFile> {
        self.files.values()
    }

    /// Version of a role's newest file; 0 when there is none.
    pub fn version(&self, role: &str) -> u64 {
        match role {
            "root" => self.roots.len() as u64,
            role => self.file(role).map_or(0, |file| file.version),
        }
    }

    /// What a device of this product trusts that is up to date, but for its assignment.
    pub fn device_view(&self, product: &str) -> &TrustedSet {
        self.by_product.get(product).or_else(|| self.by_product.get("")).unwrap_or(&self.trusted)
    }

    /// The product's releases, by counter.
    pub fn releases(&self, product: &str) -> &[ReleaseEntry] {
        self.releases.get(product).map_or(&[], Vec::as_slice)
    }

    /// One release as its publishers signed it.
    pub fn release(&self, product: &str, version: &Version) -> Option<&ReleaseEntry> {
        self.releases(product).iter().find(|release| release.version == *version)
    }

    /// The versions that an up-to-date device of the product holds; of its assignment it knows nothing.
    pub fn versions(&self, product: &str) -> Versions {
        Versions {
            root: self.version("root"),
            timestamp: self.version("timestamp"),
            snapshot: self.version("snapshot"),
            targets: self.version("targets"),
            product: self.version(product),
            assignment: 0,
        }
    }

    /// Whether the director's key signed this assignment for this device.
    pub fn check_assignment(&self, assignment: &Assignment) -> Result<(), slipway_trust::Error> {
        let mut device = self.device_view("").clone();
        device.update_assignment(&assignment.device, &assignment.bytes, BEFORE_ANY_EXPIRY).map(drop)
    }

    /// The newer files that a device of `product` lacks, and `assignment` when that is newer too.
    ///
    /// A newer timestamp alone is no news until the one held has lived a third of its life.
    pub fn delta(&self, have: &Versions, product: &str, assignment: Option<Bytes>, now: Timestamp) -> Delta {
        let known = usize::try_from(have.root).unwrap_or(usize::MAX);
        let roots = self.roots.get(known..).unwrap_or_default();
        if roots.len() > limits::ROOTS_PER_POLL {
            // What follows is signed by keys that only the last root names: next poll.
            return Delta { roots: roots[..limits::ROOTS_PER_POLL].to_vec(), ..Delta::default() };
        }
        // A new root may take away what the device holds: it gets all of it, and drops what it has.
        let is_rotated = !roots.is_empty();
        let newer = |role: &str, have: u64| {
            let wanted = self.file(role).filter(|file| is_rotated || file.version > have);
            wanted.map(|file| file.bytes.clone())
        };
        let mut delta = Delta {
            roots: roots.to_vec(),
            snapshot: newer("snapshot", have.snapshot),
            targets: newer("targets", have.targets),
            product: newer(product, have.product),
            assignment,
            timestamp: None,
        };
        if !delta.is_empty() || self.is_stale(have.timestamp, now) {
            delta.timestamp = newer("timestamp", have.timestamp);
        }
        delta
    }

    fn is_stale(&self, timestamp: u64, now: Timestamp) -> bool {
        match self.timestamps.get(&timestamp) {
            Some(signed_at) => now.millis().saturating_sub(signed_at.millis()) > REFRESH_AFTER_MS,
            // None yet, or one so old that it is forgotten.
            None => true,
        }
    }
}

/// The ids of the keys that the set lets sign each of this server's roles.
pub fn online_keys_named(set: &TrustSet) -> impl Iterator<Item = (&'static str, Vec<String>)> {
    let root = &set.trusted.root().body;
    let director = set.trusted.targets().and_then(|held| held.body.authority("director"));
    [
        ("timestamp", Some(root.authority(&root.timestamp))),
        ("snapshot", Some(root.authority(&root.snapshot))),
        ("director", director),
    ]
    .into_iter()
    .filter_map(|(role, authority)| {
        let keys = authority?.public_keys();
        Some((role, keys.iter().map(PublicKey::key_id).collect()))
    })
}

/// The roles that the server signs by itself.
pub const ONLINE_ROLES: [&str; 3] = ["timestamp", "snapshot", "director"];

/// Whether root and targets let `key` sign for one of [`ONLINE_ROLES`] without anybody else.
pub fn may_sign_alone(root: &Root, targets: Option<&Targets>, role: &str, key: PublicKey) -> bool {
    let authority: Option<Authority> = match role {
        "timestamp" => Some(root.authority(&root.timestamp)),
        "snapshot" => Some(root.authority(&root.snapshot)),
        _ => targets.and_then(|targets| targets.authority("director")),
    };
    authority.is_some_and(|one| one.threshold() == 1 && one.public_keys().contains(&key))
}

/// The first role that root and targets do not let this server sign alone; none when all is well.
pub fn foreign_role(root: &Root, targets: Option<&Targets>, keys: &OnlineKeys) -> Option<&'static str> {
    let foreign = |role: &&str| !may_sign_alone(root, targets, role, keys.signer(role).public_key());
    ONLINE_ROLES.into_iter().find(|role| foreign(role))
}

fn repository<'a>(
    roots: impl Iterator<Item = &'a Bytes>,
    files: &BTreeMap<String, SignedFile>,
) -> Result<Repository, SetError> {
    let bytes = |role: &str| files.get(role).map(|row| row.bytes.to_vec()).ok_or_else(|| missing(role));
    let top = ["timestamp", "snapshot", "targets"];
    let repository = Repository {
        roots: roots.map(|bytes| bytes.to_vec()).collect(),
        timestamp: bytes("timestamp")?,
        snapshot: bytes("snapshot")?,
        targets: bytes("targets")?,
        delegated: files
            .iter()
            .filter(|(role, _)| !top.contains(&role.as_str()))
            .map(|(role, row)| (role.clone(), row.bytes.to_vec()))
            .collect(),
    };
    if repository.roots.is_empty() {
        return Err(missing("root"));
    }
    if !repository.delegated.contains_key("director") {
        return Err(missing("director"));
    }
    Ok(repository)
}

/// The product roles that the snapshot lists.
fn products(trusted: &TrustedSet) -> Vec<String> {
    let listed = trusted.snapshot().map(|snapshot| snapshot.body.meta.keys().cloned().collect::<Vec<_>>());
    listed.unwrap_or_default().into_iter().filter(|role| role != "targets" && role != "director").collect()
}

fn header(trusted: &TrustedSet, role: &str) -> Option<(u64, Date)> {
    match role {
        "timestamp" => trusted.timestamp().map(|held| (held.body.version, held.body.expires)),
        "snapshot" => trusted.snapshot().map(|held| (held.body.version, held.body.expires)),
        "targets" => trusted.targets().map(|held| (held.body.version, held.body.expires)),
        delegated => trusted.product(delegated).map(|held| (held.body.version, held.body.expires)),
    }
}

/// The part of `trusted` that a device with these product roles holds.
fn narrow(trusted: &TrustedSet, products: &[(&str, &[u8])]) -> Result<TrustedSet, SetError> {
    let stored = Stored {
        timestamp: trusted.timestamp().map(|held| held.bytes.as_slice()),
        snapshot: trusted.snapshot().map(|held| held.bytes.as_slice()),
        targets: trusted.targets().map(|held| held.bytes.as_slice()),
        products,
        ..Stored::default()
    };
    let (set, mut refused) = TrustedSet::load(&trusted.root().bytes, stored, "")?;
    match refused.pop() {
        Some(error) => Err(error.into()),
        None => Ok(set),
    }
}

fn same_version(row: &SignedFile, document: u64) -> Result<(), SetError> {
    if row.version == document {
        return Ok(());
    }
    Err(SetError::RowVersion { role: row.role.clone(), row: row.version, document })
}

fn missing(role: &str) -> SetError {
    SetError::Missing { role: role.to_owned() }
}

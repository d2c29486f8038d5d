//! What a device asks a server for, in the order in which it does.

use slipway_payload::{
    Segment,
    bundle::{
        ASSIGNMENTS, MANIFEST, assignment_name, metadata_limit, metadata_name, root_name, segment_order,
    },
};
use slipway_proto::v1;
use slipway_trust::{Date, Error, Manifest, ReleaseEntry, TARGETS, TrustedSet, Version, limits};

use crate::{connect::Api, error::Failure, names, retry::Backoff};

/// In a row, each after a longer pause: about a minute.
pub const ATTEMPTS: u32 = 8;
/// Somebody who publishes meanwhile replaces the files that are being read.
const WALKS: u32 = 3;

/// Everything in a bundle but its segments.
#[derive(Debug)]
pub struct Gathered {
    /// Names and contents, in the order of the file.
    pub head: Vec<(String, Vec<u8>)>,
    /// The segments that follow, each once.
    pub segments: Vec<Segment>,
    /// What expires first, and when.
    pub until: (String, Date),
}

/// A file of the server; asked for again when a connection broke.
///
/// # Errors
/// What will not pass by itself.
pub async fn fetch(api: &Api, path: &str, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
    let mut backoff = Backoff::default();
    loop {
        match api.file(path, limit).await {
            Ok(found) => return Ok(found),
            Err(status) => backoff.pause(status, ATTEMPTS).await?,
        }
    }
}

/// Gathers a release for these devices, which are assigned it.
///
/// # Errors
/// A release that is not there, or that a device would refuse now; what the server refuses.
pub async fn gather(
    api: &Api,
    product: &str,
    version: &str,
    devices: &[String],
    now: Date,
) -> Result<Gathered, Failure> {
    let mut ids: Vec<&str> = devices.iter().map(|device| device.trim_start_matches("devices/")).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() > ASSIGNMENTS {
        return Err(Failure::usage(format!(
            "--device is given {} times; a bundle is for at most {ASSIGNMENTS} devices",
            ids.len()
        )));
    }
    // First, so that whatever is signed for it is in the files that are read then.
    let mut assignments = Vec::new();
    for id in ids {
        assignments.push((id, assign(api, id, product, version).await?));
    }
    let (mut set, mut head) = documents(api, product, now).await?;
    let entry = listed(&set, product, version)?;
    let mut until = first_end(&set, product);
    for (id, assignment) in assignments {
        set.update_assignment(id, &assignment, now).map_err(|error| refused(&error))?;
        if set.assigned(product, id, now).map_err(|error| refused(&error))?.as_ref() != Some(&entry) {
            return Err(Failure::new(format!(
                "the assignment of {id} names another release than {product}/{version}"
            ))
            .hint("somebody assigned another one meanwhile: try again")
            .reason("BUNDLE_NOT_ASSIGNED"));
        }
        let expires = set.assignment().map_or(until.1, |held| held.body.expires);
        until = until.clone().min_by_date((format!("the assignment of {id}"), expires));
        head.push((assignment_name(id), assignment));
    }
    let manifest = manifest(api, &entry).await?;
    let segments =
        Manifest::verify(&entry, &manifest).map_err(|error| refused(&error)).and_then(|manifest| {
            segment_order(&manifest).map_err(|error| {
                Failure::new(format!("the manifest of {product}/{version} cannot be used: {error}"))
                    .reason("MANIFEST_INCONSISTENT")
            })
        })?;
    head.push((MANIFEST.to_owned(), manifest));
    Ok(Gathered { head, segments, until })
}

trait Earlier {
    fn min_by_date(self, other: Self) -> Self;
}

impl Earlier for (String, Date) {
    fn min_by_date(self, other: Self) -> Self {
        if other.1 < self.1 { other } else { self }
    }
}

async fn assign(api: &Api, id: &str, product: &str, version: &str) -> Result<Vec<u8>, Failure> {
    let mut backoff = Backoff::default();
    loop {
        let request = v1::AssignReleaseRequest {
            device: names::full("devices", id),
            release: names::release(&format!("{product}/{version}")),
        };
        match api.rollouts().assign_release(request).await {
            Ok(answer) => return Ok(answer.into_inner().assignment),
            Err(status) => backoff.pause(status, ATTEMPTS).await?,
        }
    }
}

/// The signed files that belong together now, believed from the first root on.
async fn documents(
    api: &Api,
    product: &str,
    now: Date,
) -> Result<(TrustedSet, Vec<(String, Vec<u8>)>), Failure> {
    for _ in 0..WALKS {
        if let Some(found) = walk(api, product, now).await? {
            return Ok(found);
        }
    }
    Err(Failure::new("the server signs faster than its files can be read")
        .hint("try again")
        .reason("UNAVAILABLE"))
}

/// None when a file was replaced while the others were read.
async fn walk(
    api: &Api,
    product: &str,
    now: Date,
) -> Result<Option<(TrustedSet, Vec<(String, Vec<u8>)>)>, Failure> {
    let root_path = |version: u64| format!("/tuf/metadata/{version}.root.json");
    let first = fetch(api, &root_path(1), limits::ROOT_BYTES).await?.ok_or_else(Failure::no_root)?;
    let mut set = TrustedSet::from_root(&first).map_err(|error| refused(&error))?;
    let mut head = vec![(root_name(1), first)];
    for version in 2.. {
        let Some(root) = fetch(api, &root_path(version), limits::ROOT_BYTES).await? else { break };
        set.update_root(&root).map_err(|error| refused(&error))?;
        head.push((root_name(version), root));
    }
    for role in ["timestamp", "snapshot", TARGETS, product] {
        let listed = |role: &str| set.snapshot().and_then(|held| Some(held.body.meta.get(role)?.version));
        let path = match role {
            "timestamp" => Some("timestamp".to_owned()),
            "snapshot" => set.timestamp().map(|held| format!("{}.snapshot", held.body.snapshot.version)),
            _ => listed(role).map(|version| format!("{version}.{role}")),
        };
        let Some(path) = path else { return Err(no_release(product, None)) };
        let path = format!("/tuf/metadata/{path}.json");
        let Some(bytes) = fetch(api, &path, metadata_limit(role)).await? else { return Ok(None) };
        let taken = match role {
            "timestamp" => set.update_timestamp(&bytes, now),
            "snapshot" => set.update_snapshot(&bytes, now),
            TARGETS => set.update_targets(&bytes, now),
            _ => set.update_product(product, &bytes, now),
        };
        taken.map_err(|error| refused(&error))?;
        head.push((metadata_name(role), bytes));
    }
    Ok(Some((set, head)))
}

fn listed(set: &TrustedSet, product: &str, version: &str) -> Result<ReleaseEntry, Failure> {
    let wanted: Version = version.parse().map_err(|_| no_release(product, Some(version)))?;
    let held = set.product(product).map(|held| held.body.releases(product)).transpose();
    let mut releases = held.map_err(|error| refused(&error))?.unwrap_or_default().into_iter();
    releases.find(|release| release.version == wanted).ok_or_else(|| no_release(product, Some(version)))
}

fn no_release(product: &str, version: Option<&str>) -> Failure {
    let what = version.map_or_else(String::new, |version| format!(" {version}"));
    Failure::new(format!("there is no release{what} of the product {product}"))
        .hint("`slipway release list` shows those there are, and those that were withdrawn")
        .reason("RELEASE_NOT_FOUND")
}

async fn manifest(api: &Api, entry: &ReleaseEntry) -> Result<Vec<u8>, Failure> {
    let path = format!("/tuf/targets/{}/{}.{}.json", entry.product, entry.sha256, entry.version);
    let found = fetch(api, &path, limits::MANIFEST_BYTES).await?;
    found.ok_or_else(|| {
        Failure::new(format!("the server has no manifest of {}/{}", entry.product, entry.version))
            .hint("its database may be damaged: publish the release again under a new version")
            .reason("MANIFEST_UNAVAILABLE")
    })
}

/// What expires first among what every device needs.
fn first_end(set: &TrustedSet, product: &str) -> (String, Date) {
    let root = (format!("root {}", set.root().body.version), set.root().body.expires);
    let others = [
        set.timestamp().map(|held| ("timestamp".to_owned(), held.body.expires)),
        set.snapshot().map(|held| ("snapshot".to_owned(), held.body.expires)),
        set.targets().map(|held| (TARGETS.to_owned(), held.body.expires)),
        set.product(product).map(|held| (format!("role {product}"), held.body.expires)),
    ];
    others.into_iter().flatten().fold(root, Earlier::min_by_date)
}

/// A device would refuse it, so it is not written.
fn refused(error: &Error) -> Failure {
    Failure::new(format!("a device would refuse this release now: {error}"))
        .hint("`slipway trust expiring` shows what has to be signed anew; look at the server's log")
        .reason(error.code())
}

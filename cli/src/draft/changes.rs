//! What a document would change, in lines that a person reads before signing.

use std::collections::{BTreeMap, BTreeSet};

use slipway_trust::{
    DIRECTOR, Date, Manifest, PublicKey, ReleaseEntry, Root, SERVER_CA, TARGETS, Target, Targets,
    signed::Authority,
};

use crate::human;

/// Changes of a root.
pub fn root(old: &Root, new: &Root) -> Vec<String> {
    let mut lines = vec![headline("root", Some((old.version, old.expires)), (new.version, new.expires))];
    for (name, before, after) in [
        ("root", &old.root, &new.root),
        ("targets", &old.targets, &new.targets),
        ("snapshot", &old.snapshot, &new.snapshot),
        ("timestamp", &old.timestamp, &new.timestamp),
    ] {
        lines.extend(keys(name, &old.authority(before), &new.authority(after)));
    }
    if old.consistent_snapshot != new.consistent_snapshot {
        lines.push(format!("  ~ consistent snapshots: {}", new.consistent_snapshot));
    }
    lines
}

/// Changes of the top-level targets; `server_ca` are the fingerprints of the CAs in a file
/// that they name.
pub fn targets(old: &Targets, new: &Targets, server_ca: &[String]) -> Vec<String> {
    let mut lines = vec![headline(TARGETS, Some((old.version, old.expires)), (new.version, new.expires))];
    for delegated in &new.delegations.roles {
        let name = title(&delegated.name);
        let Some(after) = new.authority(&delegated.name) else { continue };
        match old.authority(&delegated.name) {
            Some(before) => lines.extend(keys(&name, &before, &after)),
            None => {
                lines.push(format!("  + {name}: {}", needed(&after)));
                lines.extend(after.public_keys().iter().map(|key| format!("      + key {key}")));
            }
        }
        let held = old.delegation(&delegated.name);
        if held
            .is_some_and(|held| (held.terminating, &held.paths) != (delegated.terminating, &delegated.paths))
        {
            lines.push(format!("  ~ {name}: may speak for {:?}", delegated.paths));
        }
    }
    for lost in old.delegations.roles.iter().filter(|role| new.delegation(&role.name).is_none()) {
        lines.push(format!("  - {}: nobody may sign it any more", title(&lost.name)));
    }
    match (old.server_ca(), new.server_ca()) {
        (before, Some(named)) if before != Some(named) => {
            let digest = named.sha256.map(|digest| digest.to_string()).unwrap_or_default();
            lines.push(format!("  ~ CAs of the server, which devices accept from then on: file {digest}"));
            lines.extend(server_ca.iter().map(|one| format!("      + CA with SHA-256 {one}")));
        }
        (Some(_), None) => {
            lines.push("  - CAs of the server: devices keep those that they know".to_owned());
        }
        _ => {}
    }
    let others = |body: &Targets| body.targets.iter().filter(|(path, _)| *path != SERVER_CA).count();
    let is_other =
        |(path, target): (&String, &Target)| path != SERVER_CA && old.targets.get(path) != Some(target);
    if others(old) != others(new) || new.targets.iter().any(is_other) {
        lines.push("  ~ files of its own, which no device asks for".to_owned());
    }
    lines
}

/// Changes of a product's role; `manifest` is that of a release that it adds.
pub fn product(
    name: &str,
    old: Option<(&Targets, &[ReleaseEntry])>,
    new: (&Targets, &[ReleaseEntry]),
    manifest: Option<&Manifest>,
) -> Vec<String> {
    let (body, releases) = new;
    let before = old.map(|(body, _)| (body.version, body.expires));
    let mut lines = vec![headline(name, before, (body.version, body.expires))];
    let by_version = |releases: &[ReleaseEntry]| -> BTreeMap<String, ReleaseEntry> {
        releases.iter().map(|release| (release.version.to_string(), release.clone())).collect()
    };
    let (held, listed) = (by_version(old.map_or(&[], |(_, releases)| releases)), by_version(releases));
    for (version, release) in &listed {
        match held.get(version) {
            Some(before) if before == release => {}
            Some(before) => {
                lines.push(format!("  - release {version}: {}", terms(before)));
                lines.push(format!("  + release {version}: {}", terms(release)));
            }
            None => {
                lines.push(format!("  + release {version}: {}", terms(release)));
                let of_this = manifest.filter(|manifest| manifest.version == release.version);
                for artifact in of_this.into_iter().flat_map(|manifest| &manifest.artifacts) {
                    lines.push(format!(
                        "      {} on {}: {}, SHA-256 {}",
                        artifact.component,
                        artifact.hardware.join(", "),
                        human::bytes(artifact.size),
                        artifact.digest
                    ));
                }
            }
        }
    }
    let gone = held.iter().filter(|(version, _)| !listed.contains_key(*version));
    lines.extend(gone.map(|(version, release)| format!("  - release {version}: {}", terms(release))));
    if held == listed {
        lines.push("  the releases stay as they are".to_owned());
    }
    if old.is_some_and(|(old, _)| old.delegations != body.delegations) {
        lines.push("  ~ delegations of its own, which no device follows".to_owned());
    }
    lines
}

fn headline(name: &str, old: Option<(u64, Date)>, (version, expires): (u64, Date)) -> String {
    let day = |date: Date| human::date(&human::timestamp(date.millis()));
    match old {
        None => format!("{name}: new, version {version}, ends {}", day(expires)),
        Some((before, ended)) => {
            format!("{name}: version {before} -> {version}, ends {} (was {})", day(expires), day(ended))
        }
    }
}

fn title(role: &str) -> String {
    if role == DIRECTOR { "the server's assignments".to_owned() } else { format!("product {role}") }
}

fn needed(authority: &Authority) -> String {
    let count = authority.public_keys().len() as u64;
    format!("{} of {} to sign", authority.threshold(), human::counted(count, "key"))
}

fn keys(name: &str, before: &Authority, after: &Authority) -> Vec<String> {
    let (old, new): (BTreeSet<PublicKey>, BTreeSet<PublicKey>) = (before.public_keys(), after.public_keys());
    if old == new && before.threshold() == after.threshold() {
        return Vec::new();
    }
    let mut lines = vec![format!("  ~ {name}: {} (was {})", needed(after), needed(before))];
    lines.extend(new.difference(&old).map(|key| format!("      + key {key}")));
    lines.extend(old.difference(&new).map(|key| format!("      - key {key}")));
    lines
}

fn terms(release: &ReleaseEntry) -> String {
    let from = match release.min_from {
        0 => "from any release".to_owned(),
        counter => format!("from counter {counter} on"),
    };
    let floor = match release.floor {
        0 => "no floor".to_owned(),
        counter => format!("floor {counter}"),
    };
    format!(
        "counter {}, {floor}, {from}, for {}, manifest {}",
        release.counter,
        release.hardware.join(", "),
        release.sha256
    )
}

//! Fetching a target: by any of its digests, kept under one file name, not fetched twice.

use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha512};
use slipway_trust::{Sha256, Target};

use crate::client::Client;
use crate::http::{get, quote};
use crate::{Failure, absent};

/// Fetches the target `path` into `folder`, unless it is there.
pub fn download(client: &mut Client, path: &str, url: &str, folder: &Path) -> Result<(), Failure> {
    let target = client.find(path)?;
    let file = folder.join(quote(path));
    if fs::read(&file).is_ok_and(|bytes| is_meant(&target, &bytes)) {
        return Ok(());
    }
    let parts: Vec<String> = path.split('/').map(quote).collect();
    let (name, folders) = parts.split_last().ok_or_else(|| absent(path))?;
    let digest =
        target.sha256.map(|digest| digest.to_string()).or(target.other_hashes.values().next().cloned());
    let name = match digest.filter(|_| client.consistent_snapshot()) {
        Some(digest) => format!("{}.{name}", quote(&digest)),
        None => name.clone(),
    };
    let mut address = url.trim_end_matches('/').to_owned();
    for part in folders.iter().chain([&name]) {
        address = format!("{address}/{part}");
    }
    let limit = usize::try_from(target.length)?;
    let bytes = get(&address, limit)?.ok_or_else(|| absent(&address))?;
    if !is_meant(&target, &bytes) {
        return Err(format!("{path} is not what was signed").into());
    }
    Ok(fs::write(file, bytes)?)
}

/// Length, and every digest by an algorithm that is known here; at least one has to be.
fn is_meant(target: &Target, bytes: &[u8]) -> bool {
    let sha256 = target.sha256.map(|digest| digest == Sha256::of(bytes));
    let sha512 = target.other_hashes.get("sha512").map(|digest| *digest == hex(&Sha512::digest(bytes)));
    let known: Vec<bool> = sha256.into_iter().chain(sha512).collect();
    target.length == bytes.len() as u64 && !known.is_empty() && known.into_iter().all(|same| same)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

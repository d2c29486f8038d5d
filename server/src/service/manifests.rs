//! Release manifests as files: found by path or digest, and compared with what was signed.

use bytes::Bytes;
use slipway_trust::{Manifest, ReleaseEntry};

use super::{Context, Result};
use crate::{model::release::hex_digest, store::releases};

/// The manifest at a target path such as `pump/2.0.0.json`, and whether the path named its digest.
///
/// Clients put the digest before the file name (`pump/<digest>.2.0.0.json`) or before the whole
/// path (`<digest>.pump/2.0.0.json`); both are found, and so is the plain path. A stored manifest
/// that is not the one that was signed is not served.
pub async fn read(ctx: &Context, path: &str) -> Result<Option<(Bytes, bool)>> {
    let Some(set) = ctx.trust.current() else { return Ok(None) };
    let (plain, digest) = without_digest(path);
    let Some((product, file)) = plain.split_once('/') else { return Ok(None) };
    let Some(entry) = set.releases(product).iter().find(|entry| names(entry, file)) else { return Ok(None) };
    let named = digest.map(hex_digest);
    if named.is_some_and(|digest| digest != Some(entry.sha256)) {
        return Ok(None);
    }
    let mut tx = ctx.db.read().await?;
    let Some(bytes) = releases::release_manifest(&mut tx, product, entry.version.as_str()).await? else {
        return Ok(None);
    };
    if let Err(error) = Manifest::verify(entry, &bytes) {
        tracing::error!(release = %plain, %error, "a stored manifest is not the one that was signed: not served");
        return Ok(None);
    }
    Ok(Some((Bytes::from(bytes), named.is_some())))
}

fn names(entry: &ReleaseEntry, file: &str) -> bool {
    file.strip_suffix(".json") == Some(entry.version.as_str())
}

/// The path without the digest that a client put into it, and the digest.
fn without_digest(path: &str) -> (String, Option<&str>) {
    const HEX: usize = 64;
    let is_digest = |text: &str| text.len() == HEX && text.bytes().all(|b| b.is_ascii_hexdigit());
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    if let Some((digest, rest)) = file.split_once('.').filter(|(digest, _)| is_digest(digest)) {
        let plain = if folder.is_empty() { rest.to_owned() } else { format!("{folder}/{rest}") };
        return (plain, Some(digest));
    }
    match path.split_once('.').filter(|(digest, _)| is_digest(digest)) {
        Some((digest, rest)) => (rest.to_owned(), Some(digest)),
        None => (path.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_digest_in_a_path() {
        let digest = "ab".repeat(32);
        for path in [format!("pump/{digest}.2.0.0.json"), format!("{digest}.pump/2.0.0.json")] {
            assert_eq!(
                without_digest(&path),
                ("pump/2.0.0.json".to_owned(), Some(digest.as_str())),
                "{path}"
            );
        }
        for path in ["pump/2.0.0.json", "pump/abcd.2.0.0.json", "2.0.0.json", ""] {
            assert_eq!(without_digest(path), (path.to_owned(), None), "{path}");
        }
    }
}

//! Release manifests as files: found by path or digest, and compared with what was signed, once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use slipway_trust::{Manifest, ReleaseEntry, Sha256};

use super::{Context, Result, server_ca};
use crate::{limits, model::release::hex_digest, store::releases};

/// Manifests in memory: whoever asks for one that somebody else is being sent shares its bytes, so that
/// callers, who may be anybody, cost no memory of their own.
#[derive(Clone, Debug, Default)]
pub struct Manifests(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    /// One is read at a time: many who ask for the same one at once read it once.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// Those that are kept, and those that somebody is being sent still.
    alive: HashMap<Sha256, Weak<Vec<u8>>>,
    /// The one used last at the end.
    kept: VecDeque<(Sha256, Arc<Vec<u8>>)>,
}

/// A part of an answer that keeps the manifest alive.
struct Held(Arc<Vec<u8>>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The manifest at a target path such as `pump/2.0.0.json` (or the one other target there is, the server's
/// authorities), and whether the path named its digest.
///
/// Clients put the digest before the file name (`pump/<digest>.2.0.0.json`) or before the whole
/// path (`<digest>.pump/2.0.0.json`); both are found, and so is the plain path. A stored manifest
/// that is not the one that was signed is not served.
pub async fn read(ctx: &Context, path: &str) -> Result<Option<(Bytes, bool)>> {
    let Some(set) = ctx.trust.current() else { return Ok(None) };
    let (plain, digest) = without_digest(path);
    if let Some(found) = server_ca::read(ctx, &plain, digest) {
        return Ok(Some(found));
    }
    let Some((product, file)) = plain.split_once('/') else { return Ok(None) };
    let Some(entry) = set.releases(product).iter().find(|entry| names(entry, file)) else { return Ok(None) };
    let named = digest.map(hex_digest);
    if named.is_some_and(|digest| digest != Some(entry.sha256)) {
        return Ok(None);
    }
    let manifest = match ctx.manifests.get(&entry.sha256) {
        Some(manifest) => Some(manifest),
        None => load(ctx, product, entry).await?,
    };
    Ok(manifest.map(|manifest| (Bytes::from_owner(Held(manifest)), named.is_some())))
}

async fn load(ctx: &Context, product: &str, entry: &ReleaseEntry) -> Result<Option<Arc<Vec<u8>>>> {
    let _turn = ctx.manifests.0.turn.lock().await;
    if let Some(manifest) = ctx.manifests.get(&entry.sha256) {
        return Ok(Some(manifest));
    }
    let mut tx = ctx.db.read().await?;
    let version = entry.version.as_str();
    let Some(bytes) = releases::release_manifest(&mut tx, product, version).await? else { return Ok(None) };
    if let Err(error) = Manifest::verify(entry, &bytes) {
        ctx.metrics.forged();
        tracing::error!(
            release = %format_args!("{product}/{version}"), %error,
            "a stored manifest is not the one that was signed: not served"
        );
        return Ok(None);
    }
    Ok(Some(ctx.manifests.keep(entry.sha256, bytes, limits::MANIFESTS_KEPT)))
}

impl Manifests {
    fn get(&self, digest: &Sha256) -> Option<Arc<Vec<u8>>> {
        let mut known = self.lock();
        let found = known.alive.get(digest)?.upgrade()?;
        if let Some(at) = known.kept.iter().position(|(kept, _)| kept == digest)
            && let Some(used) = known.kept.remove(at)
        {
            known.kept.push_back(used);
        }
        Some(found)
    }

    /// Keeps `bytes`, and of the others so many that all have at most `limit` bytes.
    fn keep(&self, digest: Sha256, bytes: Vec<u8>, limit: usize) -> Arc<Vec<u8>> {
        let manifest = Arc::new(bytes);
        let mut known = self.lock();
        known.kept.push_back((digest, manifest.clone()));
        while known.kept.iter().map(|(_, kept)| kept.len()).sum::<usize>() > limit {
            known.kept.pop_front();
        }
        known.alive.retain(|_, manifest| manifest.strong_count() > 0);
        known.alive.insert(digest, Arc::downgrade(&manifest));
        manifest
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    use crate::service::fake_trust::Publisher;

    #[tokio::test]
    async fn who_asks_at_once_shares_one_manifest_that_is_read_once() {
        let ctx = Context::for_test().await;
        let mut publisher = Publisher::initialize(&ctx).await;
        publisher.publish(&ctx, "1.0.0", 1).await;
        let before = ctx.db.statements();
        read(&ctx, "pump/1.0.0.json").await.unwrap().unwrap();
        let of_one = ctx.db.statements() - before;
        let ctx = Context { manifests: Manifests::default(), ..ctx.clone() };
        let before = ctx.db.statements();
        let asks = (0..50).map(|_| read(&ctx, "pump/1.0.0.json"));
        let answers = futures_util::future::try_join_all(asks).await.unwrap();
        assert_eq!(ctx.db.statements() - before, of_one);
        let places: Vec<_> = answers.iter().map(|answer| answer.as_ref().unwrap().0.as_ptr()).collect();
        assert!(places.iter().all(|place| *place == places[0]));
    }

    #[test]
    fn the_latest_are_kept_and_what_is_being_sent_is_shared() {
        let manifests = Manifests::default();
        let digest = |number: u8| Sha256::of(&[number]);
        drop(manifests.keep(digest(1), vec![1; 40], 100));
        drop(manifests.keep(digest(2), vec![2; 40], 100));
        assert!(manifests.get(&digest(1)).is_some(), "used last");
        drop(manifests.keep(digest(3), vec![3; 40], 100));
        assert!(manifests.get(&digest(1)).is_some() && manifests.get(&digest(2)).is_none());
        let sent = Bytes::from_owner(Held(manifests.keep(digest(4), vec![4; 101], 100)));
        assert_eq!(manifests.get(&digest(4)).unwrap().as_ptr(), sent.as_ptr(), "too large to be kept");
        drop(sent);
        assert!(manifests.get(&digest(4)).is_none() && manifests.get(&digest(1)).is_none());
    }

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

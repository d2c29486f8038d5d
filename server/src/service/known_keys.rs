//! Which keys the fleet relies on. Read at a start before anything is made: a key that devices
//! believe cannot be made a second time.

use std::{collections::BTreeMap, path::Path};

use slipway_trust::Sha256;

use super::{
    Result,
    trust_set::{TrustSet, online_keys_named},
};
use crate::{
    data_dir::DataDirError,
    model::time::Timestamp,
    store::{
        Db,
        authorities::{authorities_all, authority_forget, authority_put},
        metadata::metadata_current,
    },
};

/// The keys that devices, clients and the signed metadata name. The default is that of a first
/// start: nobody relies on any, so what is missing is made.
#[derive(Clone, Debug, Default)]
pub struct KnownKeys {
    /// There is a root of trust: from now on no key is made anew.
    is_relied_on: bool,
    /// Ids of the keys that are right, by the name of their file without `.pem`. A name that is
    /// missing has none on record.
    ids: BTreeMap<String, Vec<String>>,
}

impl KnownKeys {
    /// What the store says.
    pub async fn read(db: &Db) -> Result<Self> {
        let mut tx = db.read().await?;
        let rows = metadata_current(&mut tx).await?;
        let authorities = authorities_all(&mut tx).await?;
        drop(tx);
        let is_relied_on = !rows.is_empty();
        let mut ids: BTreeMap<_, _> =
            authorities.into_iter().map(|(name, key)| (name, vec![key.to_string()])).collect();
        // Documents that do not verify name nobody; loading them says so and serves none of them.
        if let Ok(Some(set)) = TrustSet::verify(rows, []) {
            ids.extend(online_keys_named(&set).map(|(role, ids)| (role.to_owned(), ids)));
        }
        Ok(KnownKeys { is_relied_on, ids })
    }

    /// The keys that are relied on under these names.
    pub fn relied_on(ids: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        KnownKeys { is_relied_on: true, ids: ids.into_iter().collect() }
    }

    /// Whether it is on record which key is right under this name.
    pub fn names(&self, name: &str) -> bool {
        self.is_relied_on && self.ids.contains_key(name)
    }

    /// The id of the authority `name` that is on record, if one is.
    pub fn of_authority(&self, name: &str) -> Vec<Sha256> {
        self.ids.get(name).into_iter().flatten().filter_map(|id| id.parse().ok()).collect()
    }

    /// Whether the key `name` may be the one in `file`, whose id is `found`; none when the file is
    /// not there.
    pub fn check(
        &self,
        name: &str,
        file: &Path,
        found: Option<&str>,
    ) -> std::result::Result<(), DataDirError> {
        if !self.is_relied_on {
            return Ok(());
        }
        let expected = self.ids.get(name);
        match (found, expected) {
            (None, _) => Err(DataDirError::KeyGone {
                path: file.to_owned(),
                expected: expected.map_or_else(|| "the one before".to_owned(), |ids| ids.join(" or ")),
            }),
            (Some(found), Some(ids)) if !ids.iter().any(|id| id == found) => Err(DataDirError::KeyReplaced {
                path: file.to_owned(),
                expected: ids.join(" or "),
                found: found.to_owned(),
            }),
            (Some(_), _) => Ok(()),
        }
    }

    /// Records the authorities in use, unless others are relied on. One that is out of use stays on record
    /// while anybody may rely on it.
    pub async fn record(&self, db: &Db, in_use: &[(String, Sha256)], now: Timestamp) -> Result<()> {
        let is_known = |name: &str, key: &Sha256| {
            self.ids.get(name).is_some_and(|ids| self.is_relied_on || ids[..] == [key.to_string()])
        };
        let new: Vec<_> = in_use.iter().filter(|(name, key)| !is_known(name, key)).collect();
        let is_gone = |name: &&String| !self.is_relied_on && in_use.iter().all(|(used, _)| used != *name);
        let gone: Vec<_> = self.ids.keys().filter(is_gone).collect();
        if new.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let mut tx = db.write().await?;
        for (name, key) in new {
            authority_put(&mut tx, name, key, now).await?;
        }
        for name in gone {
            authority_forget(&mut tx, name).await?;
        }
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_relied_on_is_missed() {
        let file = Path::new("keys/director.pem");
        let first = KnownKeys::default();
        assert!(
            first.check("director", file, None).is_ok() && first.check("director", file, Some("a")).is_ok()
        );
        let known = KnownKeys::relied_on([("director".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
        assert!(known.check("director", file, Some("b")).is_ok());
        let gone = known.check("director", file, None).unwrap_err().to_string();
        assert!(gone.contains("keys/director.pem") && gone.contains("a or b"), "{gone}");
        let replaced = known.check("director", file, Some("c")).unwrap_err().to_string();
        assert!(replaced.contains("a or b") && replaced.contains("key c"), "{replaced}");
        // On record is nothing, and yet something is believed: what is there is taken, nothing made.
        assert!(known.check("snapshot", file, Some("c")).is_ok());
        assert!(known.check("snapshot", file, None).is_err());
    }

    #[tokio::test]
    async fn authorities_may_change_until_they_are_relied_on() {
        let ctx = super::super::Context::for_test().await;
        let now = ctx.clock.now();
        let ids = |known: &KnownKeys| known.ids.get("device-ca").cloned().unwrap_or_default();
        for key in [b"a", b"b"] {
            let key = Sha256::of(key);
            let before = KnownKeys::read(&ctx.db).await.unwrap();
            before.record(&ctx.db, &[("device-ca".to_owned(), key)], now).await.unwrap();
            assert_eq!(ids(&KnownKeys::read(&ctx.db).await.unwrap()), [key.to_string()]);
        }
        // A generation that was given up before anybody relied on it is missed by nobody.
        let both = ["device-ca", "server-ca-2"].map(|name| (name.to_owned(), Sha256::of(b"b")));
        for in_use in [&both[..], &both[..1]] {
            let known = KnownKeys::read(&ctx.db).await.unwrap();
            known.record(&ctx.db, in_use, now).await.unwrap();
            let known = KnownKeys::read(&ctx.db).await.unwrap();
            assert_eq!(known.of_authority("server-ca-2").len(), in_use.len() - 1);
        }
        super::super::fake_trust::Publisher::initialize(&ctx).await;
        let known = KnownKeys::read(&ctx.db).await.unwrap();
        known.record(&ctx.db, &[("device-ca".to_owned(), Sha256::of(b"c"))], now).await.unwrap();
        let known = KnownKeys::read(&ctx.db).await.unwrap();
        assert_eq!(ids(&known), [Sha256::of(b"b").to_string()]);
        for (role, key) in ctx.trust.keys().public() {
            assert_eq!(known.ids[role], [key.key_id()], "{role}");
        }
    }
}

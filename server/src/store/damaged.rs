//! Rows that cannot be read: they must not hide those that can.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::{StoreError, Tx};

/// Most places that are remembered as logged. With more, the database has other troubles.
const REMEMBERED: usize = 1000;

/// Which damaged rows the log has named, once each and for as long as the process runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Damaged(Arc<Mutex<BTreeSet<String>>>);

impl Damaged {
    fn note(&self, error: &StoreError) {
        let place = error.to_string();
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() < REMEMBERED && named.insert(place) {
            tracing::error!(%error, "a damaged row is left out of every list");
        }
    }
}

/// A list on its way to so many rows that can be read.
pub(super) struct Filling<T> {
    wanted: i64,
    /// What was found so far.
    pub found: Vec<T>,
}

impl<T> Filling<T> {
    /// Towards `wanted` rows.
    pub fn new(wanted: i64) -> Self {
        Filling { wanted, found: Vec::new() }
    }

    /// How many are missing: what to ask the database for.
    pub fn left(&self) -> i64 {
        self.wanted.saturating_sub(i64::try_from(self.found.len()).unwrap_or(i64::MAX))
    }

    /// Takes over what came of [`Filling::left`] rows; true when there are enough, or no more.
    pub fn take<R>(&mut self, tx: &Tx, rows: Vec<R>) -> bool
    where
        T: TryFrom<R, Error = StoreError>,
    {
        let is_end = i64::try_from(rows.len()).unwrap_or(i64::MAX) < self.left();
        self.found.extend(tx.readable(rows));
        is_end || self.left() <= 0
    }
}

/// Asks for rows until there are `$limit` that can be read, or no more: `$rows` fetches so many,
/// `$go_on` moves its cursor to the last of them.
macro_rules! fill {
    ($tx:expr, $limit:expr, |$left:ident| $rows:expr, |$last:ident| $go_on:expr) => {{
        let mut page = $crate::store::damaged::Filling::new($limit);
        loop {
            let $left = page.left();
            let rows: Vec<Row> = $rows;
            if let Some($last) = rows.last() {
                $go_on;
            }
            if page.take($tx, rows) {
                break Ok(page.found);
            }
        }
    }};
}

pub(super) use fill;

impl Tx {
    /// What was read, or none where the row is damaged; the log names it then.
    pub(super) fn unless_damaged<T>(&self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error @ StoreError::Inconsistent { .. }) => {
                self.damaged.note(&error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The rows that can be read; the others are left out, and the log names them.
    pub(super) fn readable<R, T>(&self, rows: Vec<R>) -> Vec<T>
    where
        T: TryFrom<R, Error = StoreError>,
    {
        let read = rows.into_iter().filter_map(|row| match T::try_from(row) {
            Ok(value) => Some(value),
            Err(error) => {
                self.damaged.note(&error);
                None
            }
        });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use crate::{
        model::{
            rollout::{Rollout, RolloutState},
            rollout_fixtures::rollout,
            time::Timestamp,
            token::{Role, Token},
            wave::WaveState,
        },
        store::{
            Db, StoreError, Tx, on,
            rollouts::{rollout_get, rollout_insert, rollouts_active, rollouts_page},
            tokens::{token_get, token_insert, tokens_live, tokens_page},
        },
    };

    async fn add(tx: &mut Tx, id: &str, role: &str) {
        let token = Token {
            id: id.to_owned(),
            secret_sha256: slipway_trust::Sha256::of(id.as_bytes()),
            display_name: id.to_owned(),
            role: Role::Viewer,
            scope: String::new(),
            created_at: Timestamp::from_seconds(0),
            created_by: String::new(),
            expires_at: Timestamp::from_seconds(100),
            revoked_at: None,
        };
        token_insert(tx, &token).await.unwrap();
        let damaged = on!(tx, conn => sqlx::query("UPDATE tokens SET role = $2 WHERE id = $1")
            .bind(id).bind(role).execute(conn).await.map(drop));
        damaged.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_row_hides_no_other_and_is_named_when_it_is_asked_for() {
        let folder = TempDir::new().unwrap();
        let db = Db::open_sqlite(&folder.path().join("slipway.db")).await.unwrap();
        let mut tx = db.write().await.unwrap();
        for (id, role) in [("a", "viewer"), ("b", "king"), ("c", ""), ("d", "admin"), ("e", "king")] {
            add(&mut tx, id, role).await;
        }
        let ids = |tokens: Vec<Token>| tokens.into_iter().map(|token| token.id).collect::<Vec<_>>();
        // Pages are full as long as there is something to fill them with.
        assert_eq!(ids(tokens_page(&mut tx, None, 1).await.unwrap()), ["d"]);
        assert_eq!(ids(tokens_page(&mut tx, None, 2).await.unwrap()), ["d", "a"]);
        assert_eq!(ids(tokens_page(&mut tx, Some("d"), 9).await.unwrap()), ["a"]);
        assert_eq!(ids(tokens_live(&mut tx, Timestamp::from_seconds(0)).await.unwrap()), ["a", "d"]);
        let damaged = token_get(&mut tx, "b").await.unwrap_err();
        let place = ("tokens", "role", "b");
        assert!(
            matches!(&damaged, StoreError::Inconsistent { table, column, id, .. }
            if (*table, *column, id.as_str()) == place),
            "{damaged}"
        );
    }

    #[tokio::test]
    async fn a_damaged_rollout_hides_no_other() {
        let folder = TempDir::new().unwrap();
        let db = Db::open_sqlite(&folder.path().join("slipway.db")).await.unwrap();
        let mut tx = db.write().await.unwrap();
        for id in ["a", "b", "c"] {
            let rollout = Rollout { id: id.to_owned(), ..rollout(RolloutState::Running, &[WaveState::Open]) };
            rollout_insert(&mut tx, &rollout).await.unwrap();
        }
        on!(tx, conn => sqlx::query("UPDATE rollouts SET on_failure = 'explode' WHERE id = 'b'")
            .execute(conn).await.map(drop))
        .unwrap();
        on!(tx, conn => sqlx::query("UPDATE waves SET state = 'ajar' WHERE rollout_id = 'c'")
            .execute(conn).await.map(drop))
        .unwrap();
        let ids = |list: Vec<Rollout>| list.into_iter().map(|rollout| rollout.id).collect::<Vec<_>>();
        assert_eq!(ids(rollouts_active(&mut tx).await.unwrap()), ["a"]);
        let (page, next) = rollouts_page(&mut tx, None, 2).await.unwrap();
        assert_eq!((ids(page), next.as_deref()), (vec![], Some("b")));
        let (page, next) = rollouts_page(&mut tx, next.as_deref(), 2).await.unwrap();
        assert_eq!((ids(page), next), (vec!["a".to_owned()], None));
        assert!(matches!(rollout_get(&mut tx, "b").await, Err(StoreError::Inconsistent { .. })));
    }
}

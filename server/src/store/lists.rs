//! A list of texts as one parameter, for statements about many rows at once.

use super::{Inner, Tx, column::json};

/// What stands behind `IN` when `$1` is the list, and the parameter: JSON, because SQLite has no arrays and
/// sqlx binds them in another type.
pub(super) fn in_list(tx: &Tx, texts: &[&str]) -> (&'static str, String) {
    let list = match &tx.inner {
        Inner::Sqlite(_) => "(SELECT value FROM json_each($1))",
        Inner::Postgres(_) => "(SELECT jsonb_array_elements_text(CAST($1 AS jsonb)))",
    };
    (list, json(&texts))
}

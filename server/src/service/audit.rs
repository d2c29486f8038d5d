//! The audit log, as administrators read it.

use std::borrow::Cow;

use slipway_trust::Date;

use super::{Context, Result};
use crate::{
    model::{
        filter::{Field, Filter, Subject},
        page::Page,
    },
    store::audit::{AuditEntry, audit_before},
};

/// Fields a filter on audit events may name.
pub const FILTER_FIELDS: &[Field] = &[
    Field::time("time"),
    Field::text("actor"),
    Field::text("action"),
    Field::text("resource"),
    Field::text("detail"),
];
/// Entries looked at for one page: the log is never cut, and a call has an end. A filter that few pass
/// answers with a short page and a token.
const SCAN: usize = 20_000;
/// Entries fetched at once.
const FETCH: i64 = 1_000;

impl Subject for AuditEntry {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        Some(match path {
            "time" => Date::from_millis(self.at.millis()).to_string().into(),
            "actor" => self.actor.as_str().into(),
            "action" => self.action.as_str().into(),
            "resource" => self.resource.as_str().into(),
            "detail" => self.detail.as_str().into(),
            _ => return None,
        })
    }
}

/// One page of what was done, newest first, and the token of the next.
pub async fn list(ctx: &Context, filter: &Filter, page: &Page) -> Result<(Vec<AuditEntry>, String)> {
    // A token of another list was refused before; its cursor is a number we wrote.
    let mut before = page.after.as_deref().and_then(|number| number.parse().ok()).unwrap_or(i64::MAX);
    let (mut found, mut scanned) = (Vec::new(), 0);
    let mut tx = ctx.db.read().await?;
    loop {
        let batch = audit_before(&mut tx, before, FETCH).await?;
        if batch.is_empty() {
            return Ok((found, String::new()));
        }
        for entry in batch {
            before = entry.number;
            scanned += 1;
            if filter.matches(&entry) {
                found.push(entry);
            }
            // The first entry of the log has number 1: nothing follows it.
            if before > 1 && (found.len() == page.size || scanned == SCAN) {
                return Ok((found, page.next(&before.to_string())));
            }
        }
    }
}

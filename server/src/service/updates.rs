//! Lists of updates.

use std::borrow::Cow;

use super::{Context, Result};
use crate::{
    model::{
        filter::{Field, Filter, Subject},
        page::Page,
        update::{Update, UpdateState},
    },
    store::update_lists::updates_page,
};

/// Fields a filter on updates may name.
pub const FILTER_FIELDS: &[Field] = &[
    Field::text("rollout"),
    Field::text("release"),
    Field::words("state", || UpdateState::ALL.map(UpdateState::as_str).to_vec()),
    Field::number("wave"),
];
/// Rows looked at in one call: a filter that matches next to nothing gives a short page with a
/// token to go on, not a call that takes minutes.
const LOOKED_AT: usize = 20_000;

impl Subject for Update {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        match path {
            "rollout" => Some(Cow::Borrowed(&self.rollout_id)),
            "release" => Some(Cow::Owned(self.release())),
            "state" => Some(Cow::Borrowed(self.state.as_str())),
            "wave" => Some(Cow::Owned(self.wave.to_string())),
            _ => None,
        }
    }
}

/// One page of updates, newest first, and the token of the next; of one device, or of all.
/// `visible` is asked with the id of each update's device.
pub async fn list(
    ctx: &Context,
    device_id: Option<&str>,
    filter: &Filter,
    page: &Page,
    visible: impl Fn(&str) -> bool,
) -> Result<(Vec<Update>, String)> {
    let mut found = Vec::new();
    let mut cursor = page.after.clone();
    let mut looked_at = 0;
    loop {
        let mut tx = ctx.db.read().await?;
        let rows = updates_page(&mut tx, device_id, cursor.as_deref(), page.probe()).await?;
        drop(tx);
        let is_last = rows.len() <= page.size;
        looked_at += rows.len();
        for update in rows {
            cursor = Some(update.id.clone());
            if filter.matches(&update) && visible(&update.device_id) {
                found.push(update);
            }
            if found.len() > page.size {
                let next = page.cut(&mut found, |update| update.id.clone());
                return Ok((found, next));
            }
        }
        if is_last {
            return Ok((found, String::new()));
        }
        if looked_at >= LOOKED_AT {
            let next = cursor.as_deref().map(|cursor| page.next(cursor)).unwrap_or_default();
            return Ok((found, next));
        }
    }
}

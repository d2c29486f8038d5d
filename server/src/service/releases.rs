//! Reading releases.

use super::{Context, Result};
use crate::{
    model::{
        filter::Filter,
        page::Page,
        refusal::Reason,
        release::{self, FILTER_FIELDS, Release},
        time::Timestamp,
    },
    store::releases::{self, After},
};

/// Rows read at a time while a filter looks for its page.
const BATCH: u32 = 500;

/// One release by its name.
pub async fn get(ctx: &Context, name: &str) -> Result<Release> {
    let (product, version) = release::parse_name(name).ok_or_else(|| release::not_found(name))?;
    let mut tx = ctx.db.read().await?;
    let found = releases::release_get(&mut tx, product, version.as_str()).await?;
    found.ok_or_else(|| release::not_found(name).into())
}

/// One page of releases, newest first, and the token of the next.
pub async fn list(
    ctx: &Context,
    filter: &str,
    page_size: i32,
    page_token: &str,
) -> Result<(Vec<Release>, String)> {
    let filter = Filter::parse(filter, FILTER_FIELDS, Reason::FilterInvalid)?;
    let page = Page::parse(page_size, page_token, &["releases", filter.as_str()])?;
    let mut after = page.after.as_deref().and_then(read_cursor);
    let mut found: Vec<Release> = Vec::new();
    let mut tx = ctx.db.read().await?;
    // A page is at most 1,000 of a product's releases, which are tens or hundreds.
    while found.len() <= page.size {
        let rows = releases::releases_page(&mut tx, after.as_ref(), BATCH).await?;
        let Some(last) = rows.last() else { break };
        after = Some(After::release(last));
        found.extend(rows.into_iter().filter(|release| filter.matches(release)));
    }
    let next = page.cut(&mut found, |release| cursor(&After::release(release)));
    Ok((found, next))
}

fn cursor(after: &After) -> String {
    format!("{} {} {}", after.created_at.millis(), after.counter, after.product)
}

fn read_cursor(text: &str) -> Option<After> {
    let mut parts = text.split(' ');
    let created_at = Timestamp::from_millis(parts.next()?.parse().ok()?);
    let counter = parts.next()?.parse().ok()?;
    Some(After { created_at, counter, product: parts.next()?.to_owned() })
}

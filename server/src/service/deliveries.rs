//! What was sent to a webhook, and what waits to be.

use std::borrow::Cow;

use super::{Context, Result, token_cache::TokenCaller, webhooks::visible};
use crate::{
    model::{
        delivery::{Delivery, DeliveryState},
        event::Event,
        filter::{Field, Filter, Subject},
        page::Page,
        token::Role,
    },
    store::{deliveries::deliveries_page, outbox::outbox_get},
};

/// Fields a filter on deliveries may name.
pub const FILTER_FIELDS: &[Field] =
    &[Field::words("state", DeliveryState::words), Field::text("type"), Field::text("subject")];
/// Deliveries looked at for one page; a filter that few pass answers with a short page and a token.
const SCAN: usize = 5_000;
/// Deliveries fetched at once.
const FETCH: i64 = 500;

/// A delivery and its event.
#[derive(Clone, Debug)]
pub struct Sent {
    /// How it went.
    pub delivery: Delivery,
    /// What it brings.
    pub event: Event,
}

impl Subject for Sent {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        Some(match path {
            "state" => self.delivery.state.as_str().into(),
            "type" => self.event.kind.as_str().into(),
            "subject" => self.event.subject.as_str().into(),
            _ => return None,
        })
    }
}

/// What a caller is told of an attempt that got no answer. To operators why; to a client only that, because the reasons tell
/// ports and names of the server's own network apart, and a client may send to whatever that network's operator allowed.
pub(super) fn told(caller: &TokenCaller, is_answered: bool, error: String) -> String {
    if caller.token.role == Role::Client && !is_answered && !error.is_empty() {
        return "it could not be delivered: no receiver of webhooks answered; the server's operators see why"
            .to_owned();
    }
    error
}

/// One page of the deliveries that pass the filter, newest event first, and the token of the next.
pub async fn list(
    ctx: &Context,
    caller: &TokenCaller,
    webhook_id: &str,
    page: &Page,
    filter: &Filter,
) -> Result<(Vec<Sent>, String)> {
    // A token of another list was refused before; its cursor is a number we wrote.
    let mut before = page.after.as_deref().and_then(|number| number.parse().ok()).unwrap_or(i64::MAX);
    let mut tx = ctx.db.read().await?;
    visible(&mut tx, caller, webhook_id).await?;
    let (mut found, mut scanned) = (Vec::new(), 0);
    loop {
        let batch = deliveries_page(&mut tx, webhook_id, before, FETCH).await?;
        let is_last = i64::try_from(batch.len()).unwrap_or(i64::MAX) < FETCH;
        for delivery in batch {
            before = delivery.position;
            scanned += 1;
            // Both are deleted in one transaction; what is half there is on its way out.
            let Some(event) = outbox_get(&mut tx, delivery.position).await? else { continue };
            let sent = Sent { delivery, event };
            if filter.matches(&sent) {
                let Sent { delivery, event } = sent;
                let error = told(caller, delivery.http_status != 0, delivery.error);
                found.push(Sent { delivery: Delivery { error, ..delivery }, event });
            }
            if found.len() == page.size || scanned == SCAN {
                return Ok((found, page.next(&before.to_string())));
            }
        }
        if is_last {
            return Ok((found, String::new()));
        }
    }
}

#[cfg(test)]
#[path = "deliveries_tests.rs"]
mod tests;

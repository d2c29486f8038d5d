//! `slipway audit`: who did what.

use slipway_proto::v1;

use crate::{
    args::{AuditCommand, Connection, ListArgs},
    commands::{audit_verify, listed, pages},
    connect::Api,
    error::Failure,
    human,
    output::{Console, columns},
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: AuditCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    let api = Api::open(connection, console).await?;
    match command {
        AuditCommand::List(args) => list(args, &api, console).await,
        AuditCommand::Verify { known } => audit_verify::run(known, &api, console).await,
    }
}

async fn list(args: ListArgs, api: &Api, console: &Console) -> Result<(), Failure> {
    let events = pages(console, args.extent.max, |page_size, page_token| {
        let (mut access, filter) = (api.access(), args.filter.clone());
        async move {
            let request = v1::ListAuditEventsRequest { page_size, page_token, filter };
            let page = access.list_audit_events(request).await?.into_inner();
            Ok((page.audit_events, page.next_page_token))
        }
    })
    .await?;
    console.show_all("AuditEvent", &events, render_list)
}

fn render_list(events: &[v1::AuditEvent]) -> String {
    let rows: Vec<_> = events
        .iter()
        .map(|event| {
            vec![
                event.time.as_ref().map_or_else(|| "-".into(), human::absolute),
                event.actor.clone(),
                event.action.clone(),
                event.resource.clone(),
                event.detail.clone(),
            ]
        })
        .collect();
    listed(rows.len(), "no audit events", columns(&["TIME", "WHO", "DID", "TO", "DETAIL"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_as_a_table() {
        let event = v1::AuditEvent {
            name: "auditEvents/7".into(),
            time: Some(human::timestamp(1_795_356_185_000)),
            actor: "tokens/t1 (ops)".into(),
            action: "RevokeDevice".into(),
            resource: "devices/pump-01".into(),
            detail: "stolen".into(),
            hash: "ab".repeat(32),
        };
        assert_eq!(
            render_list(&[event]),
            "\
TIME                  WHO              DID           TO               DETAIL
2026-11-22 14:03:05Z  tokens/t1 (ops)  RevokeDevice  devices/pump-01  stolen
"
        );
    }
}

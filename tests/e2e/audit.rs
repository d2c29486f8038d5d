//! Administrators read what was done, page by page, by whom and when.

use std::time::Duration;

use slipway_proto::v1::{AuditEvent, ListAuditEventsRequest, RevokeDeviceRequest, Role};
use slipway_tests::world::World;
use tonic::Code;

use crate::steps::assert_refused;

async fn page(world: &World, page_size: i32, page_token: &str, filter: &str) -> (Vec<AuditEvent>, String) {
    let request =
        ListAuditEventsRequest { page_size, page_token: page_token.to_owned(), filter: filter.to_owned() };
    let page = world.admin().access().list_audit_events(request).await.expect("a page").into_inner();
    (page.audit_events, page.next_page_token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_is_told_newest_first_and_by_filter() {
    let world = World::start().await;
    world.init_trust();
    world.token(Role::Viewer, "", Duration::from_secs(3600)).await;
    world.member("pump-1", &[]).await;
    world.clock.advance(Duration::from_secs(60));
    let request = RevokeDeviceRequest { name: "devices/pump-1".into(), reason: "stolen".into() };
    world.admin().fleet().revoke_device(request).await.expect("revoked");

    let (all, next) = page(&world, 0, "", "").await;
    assert_eq!(next, "");
    let acts: Vec<&str> = all.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(acts, ["RevokeDevice", "Enroll", "CreateClaim", "CreateToken", "InitializeTrust"]);
    let newest = &all[0];
    assert_eq!((newest.name.as_str(), newest.resource.as_str()), ("auditEvents/5", "devices/pump-1"));
    assert!(newest.actor.starts_with("tokens/") && newest.detail.contains("stolen"), "{newest:?}");
    assert_eq!(newest.hash.len(), 64);

    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let (events, next) = page(&world, 1, &token, "").await;
        seen.extend(events);
        if next.is_empty() {
            break;
        }
        token = next;
    }
    assert_eq!(seen, all, "one at a time, the same");
    let since = slipway_trust::Date::from_millis(world.clock.now().millis()).to_string();
    for (filter, expected) in [
        ("action = \"CreateToken\"", "CreateToken"),
        ("resource = \"devices/pump-1\" AND detail:stolen", "RevokeDevice"),
        (&format!("time >= \"{since}\""), "RevokeDevice"),
    ] {
        let (found, _) = page(&world, 0, "", filter).await;
        let acts: Vec<&str> = found.iter().map(|event| event.action.as_str()).collect();
        assert_eq!(acts, [expected], "{filter}");
    }
    let shown = world.slipway(&["audit", "list", "--filter", "action = \"RevokeDevice\""]);
    assert!(shown.contains("devices/pump-1") && shown.contains("stolen"), "{shown}");

    let request = ListAuditEventsRequest { filter: "color = red".into(), ..Default::default() };
    let status = world.admin().access().list_audit_events(request).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "FILTER_INVALID", &["color"]);
    world.stop().await;
}

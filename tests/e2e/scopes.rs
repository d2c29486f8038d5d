//! A customer sees the alerts of his own machines, and a device speaks for itself alone.

use std::time::Duration;

use slipway_proto::v1::{
    AcknowledgeAlertRequest, Alert, AlertSeverity, AlertState, Device, GetAlertRequest, GetDeviceRequest,
    InstalledComponent, ListAlertsRequest, ListDevicesRequest, ListUpdatesRequest, ResolveAlertRequest, Role,
    UpdateDeviceRequest, UpdateState, WatchAlertsRequest, WatchAlertsResponse,
};
use slipway_tests::{
    member::Member,
    operator::Caller,
    raw::{call, methods},
    world::World,
};
use tonic::{Code, Streaming};

use crate::steps::{assert_refused, explain, measure, plan, roll_out, watch_filters};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// "At once": far below any period of a reconciler's timer plus a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A world with a limit on a pressure.
async fn world() -> World {
    let world = World::start().await;
    world.init_trust();
    watch_filters(&world).await;
    world
}

async fn client(world: &World, customer: &str) -> Caller {
    let token = world.token(Role::Client, &format!("labels.customer = \"{customer}\""), DAY).await;
    world.caller(&token)
}

async fn watch(caller: &Caller, resume_token: &str) -> Streaming<WatchAlertsResponse> {
    let request = WatchAlertsRequest { resume_token: resume_token.to_owned(), ..Default::default() };
    caller.alerts().watch_alerts(request).await.expect("a stream").into_inner()
}

/// The next change, at once; keep-alives and the end of the snapshot only move the token.
async fn next(stream: &mut Streaming<WatchAlertsResponse>) -> (Alert, String) {
    loop {
        let message = tokio::time::timeout(AT_ONCE, stream.message()).await.expect("at once");
        let message = message.expect("no error").expect("no end");
        if let Some(alert) = message.alert {
            return (alert, message.resume_token);
        }
    }
}

fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

async fn list(caller: &Caller) -> Vec<Alert> {
    caller.alerts().list_alerts(ListAlertsRequest::default()).await.expect("alerts").into_inner().alerts
}

async fn label(world: &World, member: &Member, customer: &str) {
    let device = Device {
        name: format!("devices/{}", member.id),
        labels: [("customer".to_owned(), customer.to_owned())].into(),
        ..Device::default()
    };
    let mask = prost_types::FieldMask { paths: vec!["labels.customer".into()] };
    let request = UpdateDeviceRequest { device: Some(device), update_mask: Some(mask) };
    world.admin().fleet().update_device(request).await.expect("labelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_reaches_its_customer_at_once_and_does_not_exist_for_another() {
    let world = world().await;
    let ours = world.member("pump-1", &[("customer", "acme")]).await;
    let theirs = world.member("pump-2", &[("customer", "other")]).await;
    let (acme, other) = (client(&world, "acme").await, client(&world, "other").await);
    let mut stream = watch(&acme, "").await;
    let mut their_stream = watch(&other, "").await;

    measure(&world, &theirs, 1, 300.0).await;
    measure(&world, &ours, 1, 300.0).await;
    let (alert, token) = next(&mut stream).await;
    assert_eq!((alert.device.as_str(), alert.state()), ("devices/pump-1", AlertState::Open));
    assert!(alert.summary.contains("air filter"), "{}", alert.summary);
    let (foreign, _) = next(&mut their_stream).await;
    assert_eq!(foreign.device, "devices/pump-2");

    assert_eq!(list(&acme).await, std::slice::from_ref(&alert));
    assert_eq!(list(&other).await, std::slice::from_ref(&foreign));
    for (caller, name) in [(&acme, &foreign.name), (&other, &alert.name)] {
        let get = caller.alerts().get_alert(GetAlertRequest { name: name.clone() }).await;
        assert_refused(&get.unwrap_err(), Code::NotFound, "ALERT_NOT_FOUND", &[id(name)]);
        let request = AcknowledgeAlertRequest { name: name.clone(), ..Default::default() };
        let acknowledged = caller.alerts().acknowledge_alert(request).await;
        assert_refused(&acknowledged.unwrap_err(), Code::NotFound, "ALERT_NOT_FOUND", &[id(name)]);
        let request = ResolveAlertRequest { name: name.clone(), ..Default::default() };
        let resolved = caller.alerts().resolve_alert(request).await;
        assert_refused(&resolved.unwrap_err(), Code::NotFound, "ALERT_NOT_FOUND", &[id(name)]);
    }

    // While nobody watches: two changes here, and one there that is none of his business.
    drop(stream);
    let request =
        AcknowledgeAlertRequest { name: alert.name.clone(), etag: alert.etag.clone(), ..Default::default() };
    acme.alerts().acknowledge_alert(request).await.expect("acknowledged");
    let request = ResolveAlertRequest { name: foreign.name.clone(), ..Default::default() };
    other.alerts().resolve_alert(request).await.expect("resolved");
    let request = ResolveAlertRequest { name: alert.name.clone(), ..Default::default() };
    acme.alerts().resolve_alert(request).await.expect("resolved");
    let mut stream = watch(&acme, &token).await;
    let mut states = Vec::new();
    let mut last = token;
    for _ in 0..2 {
        let (change, token) = next(&mut stream).await;
        assert_eq!(change.name, alert.name);
        states.push(change.state());
        last = token;
    }
    assert_eq!(
        states,
        [AlertState::Acknowledged, AlertState::Resolved],
        "in order, none twice, none missing"
    );
    // From the last token on there is nothing but what comes.
    drop(stream);
    let mut stream = watch(&acme, &last).await;
    measure(&world, &theirs, 2, 300.0).await;
    measure(&world, &ours, 2, 300.0).await;
    let (again, _) = next(&mut stream).await;
    assert_eq!(
        (&again.name, again.state()),
        (&alert.name, AlertState::Open),
        "within a day it keeps its name"
    );

    let request = WatchAlertsRequest { resume_token: "nonsense".into(), ..Default::default() };
    let refused = acme.alerts().watch_alerts(request).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "RESUME_TOKEN_INVALID", &[]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_changes_hands_takes_its_alerts_along() {
    let world = world().await;
    let sold = world.member("pump-1", &[("customer", "other")]).await;
    let (acme, other) = (client(&world, "acme").await, client(&world, "other").await);
    measure(&world, &sold, 1, 300.0).await;
    let mut stream = watch(&other, "").await;
    let (alert, _) = next(&mut stream).await;
    let mut new_owner = watch(&acme, "").await;
    assert_eq!(list(&acme).await, []);

    label(&world, &sold, "acme").await;
    let (seen, _) = next(&mut new_owner).await;
    assert_eq!(seen.name, alert.name, "an open stream hears of what came into its scope");
    assert_eq!(list(&acme).await.len(), 1);
    assert_eq!(list(&other).await, []);
    let get = other.alerts().get_alert(GetAlertRequest { name: alert.name.clone() }).await;
    assert_refused(&get.unwrap_err(), Code::NotFound, "ALERT_NOT_FOUND", &[id(&alert.name)]);

    // What happens from now on reaches the new owner alone.
    let request = AcknowledgeAlertRequest { name: alert.name.clone(), ..Default::default() };
    acme.alerts().acknowledge_alert(request).await.expect("acknowledged");
    let (seen, _) = next(&mut new_owner).await;
    assert_eq!(seen.state(), AlertState::Acknowledged);
    label(&world, &sold, "other").await;
    // Told at least once: the opening may come again, what happened meanwhile comes only now.
    let mut back = next(&mut stream).await.0;
    while back.state() == AlertState::Open {
        back = next(&mut stream).await.0;
    }
    assert_eq!((&back.name, back.state()), (&alert.name, AlertState::Acknowledged));
    world.stop().await;
}

/// Row 83: a client that would see the devices of others, count them, or page over them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_lists_its_own_devices_and_what_it_may_know_of_them() {
    let world = world().await;
    let ours = world.member("pump-1", &[("customer", "acme")]).await;
    for (id, customer) in [("pump-2", "other"), ("pump-3", "acme"), ("pump-4", "other"), ("pump-5", "acme")] {
        world.member(id, &[("customer", customer)]).await;
    }
    measure(&world, &ours, 1, 300.0).await;
    let (acme, other) = (client(&world, "acme").await, client(&world, "other").await);
    next(&mut watch(&acme, "").await).await;

    let list = async |caller: &Caller, size: i32, token: &str, filter: &str| {
        let request =
            ListDevicesRequest { page_size: size, page_token: token.to_owned(), filter: filter.to_owned() };
        let page = caller.fleet().list_devices(request).await.expect("a page").into_inner();
        let ids: Vec<String> = page.devices.iter().map(|device| id(&device.name).to_owned()).collect();
        (ids, page.total_size, page.next_page_token)
    };
    let (first, total, token) = list(&acme, 2, "", "").await;
    assert_eq!((first, total), (vec!["pump-1".to_owned(), "pump-3".to_owned()], 3));
    let (second, total, end) = list(&acme, 2, &token, "").await;
    assert_eq!((second, total, end.as_str()), (vec!["pump-5".to_owned()], 3, ""));
    assert_eq!(list(&other, 9, "", "alerts.kind:*").await.1, 0, "the alert is none of theirs");
    assert_eq!(list(&acme, 9, "", "alerts.severity:critical").await.0, ["pump-1"]);
    for filter in ["labels.customer = other", "id = \"pump-2\"", "NOT labels.customer = acme"] {
        assert_eq!(list(&acme, 9, "", filter).await, (vec![], 0, String::new()), "{filter}");
    }
    // A place in one client's list is none in another's.
    let request = ListDevicesRequest { page_size: 2, page_token: token, ..Default::default() };
    let refused = other.fleet().list_devices(request).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]);
    // One that is elsewhere and one that is not there look the same.
    for name in ["devices/pump-2", "devices/pump-9"] {
        let refused = acme.fleet().get_device(GetDeviceRequest { name: name.to_owned() }).await.unwrap_err();
        assert_refused(&refused, Code::NotFound, "DEVICE_NOT_FOUND", &[id(name)]);
    }

    let request = GetDeviceRequest { name: "devices/pump-1".to_owned() };
    let all = world.admin().fleet().get_device(request.clone()).await.expect("a device").into_inner();
    let seen = acme.fleet().get_device(request).await.expect("a device").into_inner();
    let alerts = seen.alerts.as_ref().expect("what is wrong with it");
    assert_eq!((alerts.count, alerts.severity()), (1, AlertSeverity::Critical));
    let may_know = Device {
        name: all.name.clone(),
        product: all.product.clone(),
        hardware: all.hardware.clone(),
        state: all.state,
        labels: all.labels.clone(),
        components: all
            .components
            .iter()
            .map(|component| InstalledComponent {
                component: component.component.clone(),
                version: component.version.clone(),
                ..Default::default()
            })
            .collect(),
        last_seen_time: all.last_seen_time,
        online: all.online,
        alerts: all.alerts,
        ..Default::default()
    };
    assert_eq!(seen, may_know, "and nothing else");
    assert!(all.create_time.is_some() && !all.enrolled_by.is_empty());
    let request = ListDevicesRequest { filter: "attributes.os:*".to_owned(), ..Default::default() };
    let refused = acme.fleet().list_devices(request).await.unwrap_err();
    assert_refused(&refused, Code::InvalidArgument, "FILTER_INVALID", &["attributes"]);
    let request = ListUpdatesRequest { parent: "devices/pump-1".to_owned(), ..Default::default() };
    let refused = acme.fleet().list_updates(request).await.unwrap_err();
    assert_refused(&refused, Code::PermissionDenied, "ROLE_REQUIRED", &["client"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_reports_for_itself_and_for_no_other() {
    let world = world().await;
    world.publish(b"an image", "1.0.0");
    let mut first = world.member("pump-1", &[]).await;
    let mut second = world.member("pump-2", &[]).await;
    first.settle().await;
    second.settle().await;
    roll_out(&world.admin(), plan("1.0.0", "")).await;
    first.check_in().await.expect("an answer");
    second.check_in().await.expect("an answer");
    for member in [&first, &second] {
        let own = format!("devices/{}/updates/", member.id);
        let why = explain(&world.admin(), &member.id).await;
        assert!(member.update.starts_with(&own), "{:?}: {why:?}", member.update);
    }
    let own = std::mem::replace(&mut second.update, first.update.clone());
    let refused = second.report(UpdateState::Failed).await.unwrap_err();
    assert_refused(&refused, Code::NotFound, "UPDATE_UNKNOWN", &[]);
    // Nor under its own name with the other's id.
    let stolen = first.update.rsplit('/').next().unwrap_or_default();
    second.update = format!("devices/pump-2/updates/{stolen}");
    let refused = second.report(UpdateState::Failed).await.unwrap_err();
    assert_refused(&refused, Code::NotFound, "UPDATE_UNKNOWN", &[]);
    let update = explain(&world.admin(), "pump-1").await.updates.swap_remove(0);
    assert_eq!((update.state(), update.history.len()), (UpdateState::Offered, 1), "{update:?}");
    second.update = own;
    second.report(UpdateState::Downloading).await.expect("its own");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_s_certificate_opens_no_operator_s_door() {
    let world = world().await;
    let member = world.member("pump-1", &[]).await;
    let doors = methods();
    let operator = |path: &str| !path.contains("DeviceService") && !path.contains("EnrollmentService");
    let mut tried = 0;
    for method in doors.iter().filter(|method| operator(&method.path)) {
        let status = call(member.caller.channel.clone(), &method.path, None, Vec::new()).await.unwrap_err();
        assert_refused(&status, Code::Unauthenticated, "TOKEN_REQUIRED", &[]);
        tried += 1;
    }
    assert!(tried > 30, "only {tried}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_client_s_open_stream_ends() {
    let world = world().await;
    let acme = client(&world, "acme").await;
    let mut stream = watch(&acme, "").await;
    let me = acme.access().get_caller(slipway_proto::v1::GetCallerRequest {}).await.expect("me").into_inner();
    let request = slipway_proto::v1::RevokeTokenRequest { name: me.name };
    world.admin().access().revoke_token(request).await.expect("revoked");
    let status = loop {
        match tokio::time::timeout(AT_ONCE, stream.message()).await.expect("a revoked client still listens") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended as if all were told"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    world.stop().await;
}

//! Connections: they end with the right to them, and tell when a key is in two places.

use std::{net::IpAddr, time::Duration};

use http_body_util::BodyExt as _;
use slipway_proto::v1::{
    CheckInRequest, Device, GetDeviceRequest, RevokeDeviceRequest, Role, WatchAlertsRequest,
};
use slipway_tests::{
    clock::{stopwatch, wait_for},
    operator::Caller,
    world::World,
};
use slipway_trust::Sha256;
use tower::{Service as _, ServiceExt as _};

use crate::steps::{MIB, noise};

const SECONDS: Duration = Duration::from_secs(5);

async fn device(world: &World) -> Device {
    let request = GetDeviceRequest { name: "devices/pump-1".into() };
    world.admin().fleet().get_device(request).await.expect("the device").into_inner()
}

async fn call(caller: &Caller) {
    caller.device().check_in(CheckInRequest::default()).await.expect("an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_71_one_key_in_two_places_is_marked_and_an_operator_decides() {
    let world = World::start().await;
    world.init_trust();
    let member = world.member("pump-1", &[]).await;
    let from = |last: u8| {
        let ca = world.read("server-ca.pem");
        let address = IpAddr::from([127, 0, 0, last]);
        Caller::connect_from(Some(address), world.port(), &ca, None, Some(member.identity()))
    };
    let marked = async || device(&world).await.duplicate_identity_time.is_some();
    let (here, there) = (from(1), from(2));
    call(&here).await;
    call(&there).await;
    assert!(!marked().await, "it may have moved");
    call(&from(1)).await;
    assert!(!marked().await, "and back");
    call(&there).await;
    assert!(marked().await, "two are alive");
    call(&here).await;
    let shown = world.slipway(&["device", "show", "pump-1"]);
    assert!(shown.contains("its key was in use at two addresses at once"), "{shown}");
    let why = world.slipway(&["device", "explain", "pump-1"]);
    assert!(why.contains("Look into it: its key was in use at two addresses at once"), "{why}");
    assert!(world.slipway(&["audit", "list"]).contains("DuplicateIdentity"));
    // Both are served until somebody decides.
    call(&there).await;
    world.slipway(&["device", "unquarantine", "pump-1"]);
    assert!(!marked().await);
    call(&here).await;
    assert!(marked().await, "it goes on, so it is said again");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_68_a_download_under_way_is_cut_when_the_device_is_revoked() {
    let world = World::start().await;
    world.init_trust();
    // More than a connection holds for a reader who takes his time.
    let image = noise(1, 12 * MIB);
    world.publish(&image, "1.0.0");
    let member = world.member("pump-1", &[]).await;
    let open = || {
        let text = world.running.context.metrics.text(0);
        let line = text.lines().find_map(|line| line.strip_prefix("slipwayd_connections "));
        line.and_then(|count| count.parse::<u64>().ok()).expect("a gauge")
    };
    let mut downloads = Vec::new();
    for segment in image.chunks(MIB) {
        let mut channel = member.caller.channel.clone();
        let request = http::Request::get(format!("/segments/{}", Sha256::of(segment)));
        let request = request.body(tonic::body::Body::empty()).expect("a request");
        let answer = channel.ready().await.expect("a connection").call(request).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        downloads.push(answer.into_body());
    }
    wait_for("the others to be gone", SECONDS, || async { (open() == 1).then_some(()) }).await;
    let revoke = RevokeDeviceRequest { name: "devices/pump-1".into(), ..Default::default() };
    world.admin().fleet().revoke_device(revoke).await.expect("revoked");
    let start = stopwatch();
    wait_for("the connection to be cut", SECONDS, || async { (open() == 0).then_some(()) }).await;
    println!("cut after {:?}", start.elapsed());
    let (mut read, mut broken) = (0, 0);
    for mut download in downloads {
        while let Some(frame) = download.frame().await {
            match frame {
                Ok(frame) => read += frame.data_ref().map_or(0, |data| data.len()),
                Err(_) => {
                    broken += 1;
                    break;
                }
            }
        }
    }
    assert!(broken > 0 && read < image.len(), "{read} bytes of {} came through", image.len());
    member.caller.device().check_in(CheckInRequest::default()).await.expect_err("refused");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_when_its_token_expires() {
    let world = World::start().await;
    let token = world.token(Role::Viewer, "", Duration::from_secs(3600)).await;
    let caller = world.caller(&token);
    let mut stream =
        caller.alerts().watch_alerts(WatchAlertsRequest::default()).await.expect("a stream").into_inner();
    world.clock.advance(Duration::from_secs(3600));
    let end = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        }
    };
    tokio::time::timeout(SECONDS, end).await.expect("it ends in time").expect_err("with a reason");
    world.stop().await;
}

//! Every refusal names what and where, says what to do, and leaves everything as it was.

use std::time::Duration;

use slipway_proto::v1::{
    CheckInRequest, CreateRolloutRequest, EnrollRequest, FindMissingSegmentsRequest, Inventory,
    ListClaimsRequest, ListDevicesRequest, ListReleasesRequest, PublishReleaseRequest, Reading,
    SendTelemetryRequest, UploadSegmentsRequest,
};
use slipway_tests::{
    fleet::HARDWARE,
    member::{Member, signing_request},
    world::World,
};
use slipway_trust::{Date, Sha256, fake::Fake};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::steps::{MIB, assert_documented, assert_refused, noise, plan, reading};

async fn world() -> World {
    let world = World::start().await;
    world.init_trust();
    world
}

/// Enrols a device that should be refused.
async fn enroll(world: &World, claim: &str, id: &str, hardware: &str) -> Status {
    let ca = world.read("server-ca.pem");
    match Member::enroll(world.port(), &ca, claim, id, hardware).await {
        Err(status) => status,
        Ok(member) => panic!("{member:?} was enrolled"),
    }
}

async fn devices(world: &World) -> i64 {
    let page = world.admin().fleet().list_devices(ListDevicesRequest::default()).await.expect("devices");
    page.into_inner().total_size
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_are_unknown_spent_expired_or_for_other_hardware() {
    let world = world().await;
    let status = enroll(&world, "slipclaim_nobody_00", "pump-1", HARDWARE).await;
    assert_refused(&status, Code::Unauthenticated, "CLAIM_UNKNOWN", &["claim"]);
    let claim = world.claim(1, &[]).await;
    let status = enroll(&world, &claim, "pump-1", "toaster").await;
    assert_eq!(status.get_details_error_info().map(|info| info.reason).as_deref(), Some("HARDWARE_UNKNOWN"));
    assert!(status.message().contains(HARDWARE) && status.message().contains("toaster"), "{status:?}");
    let status = enroll(&world, &claim, "Pump 1", HARDWARE).await;
    assert_refused(&status, Code::InvalidArgument, "DEVICE_ID_INVALID", &["Pump 1"]);
    assert_eq!(devices(&world).await, 0, "nothing was made");

    // None of them spent it.
    let ca = world.read("server-ca.pem");
    Member::enroll(world.port(), &ca, &claim, "pump-1", HARDWARE).await.expect("the first use");
    let status = enroll(&world, &claim, "pump-2", HARDWARE).await;
    assert_refused(&status, Code::FailedPrecondition, "CLAIM_USED", &["1"]);
    // Within a millisecond neither would be the newer one.
    world.clock.advance(Duration::from_secs(1));
    let claim = world.claim(5, &[]).await;
    let status = enroll(&world, &claim, "pump-1", HARDWARE).await;
    assert_refused(&status, Code::AlreadyExists, "DEVICE_EXISTS", &["pump-1"]);
    world.clock.advance(Duration::from_secs(30 * 24 * 3600));
    let status = enroll(&world, &claim, "pump-2", HARDWARE).await;
    assert_refused(&status, Code::FailedPrecondition, "CLAIM_EXPIRED", &["expired"]);
    assert_eq!(devices(&world).await, 1);
    let claims = world.admin().fleet().list_claims(ListClaimsRequest::default()).await.expect("claims");
    let used: Vec<u32> = claims.into_inner().claims.iter().map(|claim| claim.used).collect();
    assert_eq!(used, [0, 1], "newest first");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signing_request_for_another_device_or_for_nothing() {
    let world = world().await;
    let claim_token = world.claim(1, &[]).await;
    let (mut csr_der, _) = signing_request("pump-2");
    let request = |csr_der: &[u8]| EnrollRequest {
        claim_token: claim_token.clone(),
        device_id: "pump-1".into(),
        csr_der: csr_der.to_vec(),
        hardware: HARDWARE.into(),
        ..EnrollRequest::default()
    };
    let stranger = world.anonymous();
    let status = stranger.enrollment().enroll(request(&csr_der)).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "CSR_FOR_ANOTHER_ID", &["pump-1", "pump-2"]);
    *csr_der.last_mut().expect("a signature") ^= 1;
    for broken in [&csr_der[..], b"nonsense", &[0x30; 8 * 1024 + 1]] {
        let status = stranger.enrollment().enroll(request(broken)).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, "CSR_INVALID", &[]);
    }
    assert_eq!(devices(&world).await, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_filter_has_a_caret_under_the_column() {
    let world = world().await;
    world.publish(b"an image", "1.0.0");
    let admin = world.admin();
    let under = |status: &Status, wrong: &str| {
        let lines: Vec<&str> = status.message().lines().collect();
        let caret = lines.iter().position(|line| line.trim() == "^").expect("a line with a caret");
        let column = lines[caret].find('^').expect("a caret");
        assert!(lines[caret - 1][column..].starts_with(wrong), "{}", status.message());
    };
    for (filter, wrong) in [
        ("product = \"pump\" AND color = \"red\"", "color"),
        ("product = \"pump\" AND", ""),
        ("product = \"pump", "\"pump"),
        ("(product = \"pump\"", ""),
    ] {
        let request = ListDevicesRequest { filter: filter.into(), ..Default::default() };
        let status = admin.fleet().list_devices(request).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, "FILTER_INVALID", &["^"]);
        under(&status, wrong);
        let fields = status.get_details_bad_request().expect("a field").field_violations;
        assert_eq!(fields[0].field, "filter");
    }
    let request = ListReleasesRequest { filter: "colour = 1".into(), ..Default::default() };
    let status = admin.releases().list_releases(request).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "FILTER_INVALID", &["colour"]);
    let rollout = Some(plan("1.0.0", "labels.site = north AND nonsense = 1"));
    let request = CreateRolloutRequest { rollout, ..Default::default() };
    let status = admin.rollouts().create_rollout(request).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "SELECTOR_INVALID", &["nonsense"]);
    under(&status, "nonsense");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_a_stranger_signed_is_refused_as_a_device_would() {
    let world = world().await;
    world.publish(b"an image", "1.0.0");
    let before = world.running.context.trust.versions("pump");
    let fake = Fake::new(Date::from_millis(world.clock.now().millis()));
    let delta = fake.delta(Vec::new());
    let manifest = slipway_trust::fake::manifest("2.0.0", 2).to_bytes().expect("a manifest");
    let admin = world.admin();
    for (targets, product_metadata) in [(Vec::new(), delta.product.clone()), (delta.targets, delta.product)] {
        let request = PublishReleaseRequest {
            product: "pump".into(),
            targets,
            product_metadata,
            manifest: manifest.clone(),
            ..Default::default()
        };
        let status = admin.releases().publish_release(request).await.unwrap_err();
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        assert!(["METADATA_REFUSED", "PUBLISHED_MEANWHILE"].contains(&reason.as_str()), "{status:?}");
    }
    assert_eq!(world.running.context.trust.versions("pump"), before);
    let releases = admin.releases().list_releases(ListReleasesRequest::default()).await.expect("releases");
    assert_eq!(releases.into_inner().releases.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_that_are_truncated_or_not_what_they_are_called_are_not_stored() {
    let world = world().await;
    let admin = world.admin();
    let bytes = noise(1, MIB);
    let digest = Sha256::of(&bytes);
    let frame = slipway_payload::encode(&bytes).expect("a frame");
    for (frame, reason) in [
        (frame[..frame.len() / 2].to_vec(), "SEGMENT_DIGEST_MISMATCH"),
        (slipway_payload::encode(b"another").expect("a frame"), "SEGMENT_DIGEST_MISMATCH"),
        (vec![0; MIB + 64 * 1024 + 1], "SEGMENT_TOO_LARGE"),
    ] {
        let part = UploadSegmentsRequest { digest: digest.as_bytes().to_vec(), frame };
        let request = Request::new(futures_util::stream::iter([part]));
        let status = admin.releases().upload_segments(request).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, reason, &[]);
    }
    let asked = FindMissingSegmentsRequest { digests: vec![digest.as_bytes().to_vec()] };
    let missing =
        admin.releases().find_missing_segments(asked).await.expect("an answer").into_inner().digests;
    assert_eq!(missing.len(), 1, "nothing of it was stored");
    let asked = FindMissingSegmentsRequest { digests: vec![vec![1, 2, 3]] };
    let status = admin.releases().find_missing_segments(asked).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "DIGEST_INVALID", &["3"]);
    let asked = FindMissingSegmentsRequest { digests: vec![digest.as_bytes().to_vec(); 65_537] };
    let status = admin.releases().find_missing_segments(asked).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "TOO_MANY_SEGMENTS", &["65537"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_and_inventories_over_their_limits() {
    let world = world().await;
    let member = world.member("pump-1", &[]).await;
    let now = world.clock.now().millis() / 1000;
    let reading = reading(now, 1.0);
    let statements = |readings| SendTelemetryRequest { sequence: 1, readings, ..Default::default() };
    let many = statements(vec![reading.clone(); 1001]);
    let status = member.caller.device().send_telemetry(many).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "BATCH_TOO_LARGE", &["1001", "1000"]);
    let wrong = Reading { metric: "No Pressure".to_owned(), ..reading.clone() };
    let wrong = statements(vec![reading.clone(), wrong]);
    let status = member.caller.device().send_telemetry(wrong).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "BATCH_INVALID", &["reading 1", "No Pressure"]);
    // The sequence was not spent by what was refused.
    let taken = member.caller.device().send_telemetry(statements(vec![reading; 1000])).await.expect("taken");
    assert_eq!(taken.into_inner().dropped, 0);

    let attributes = (0..65).map(|number| (format!("key-{number}"), String::new())).collect();
    let inventory = Inventory { attributes, ..Inventory::default() };
    let request = CheckInRequest { inventory: Some(inventory), inventory_digest: 1, ..Default::default() };
    let status = member.caller.device().check_in(request).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "INVENTORY_TOO_LARGE", &["64"]);
    assert_documented("INVENTORY_TOO_LARGE");
    world.stop().await;
}

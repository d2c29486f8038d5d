//! What no honest client sends, and what no honest disk holds: each is refused by its name, and nobody else notices.

use std::time::Duration;

use prost::Message as _;
use slipway_proto::v1::{
    Claim, CreateClaimRequest, CreateTokenRequest, Device, GetDeviceRequest, ListAlertsRequest,
    ListClaimsRequest, ListDevicesRequest, ListReleasesRequest, ListRolloutsRequest, ListTokensRequest,
    ListUpdatesRequest, Role, Token, UpdateDeviceRequest,
};
use slipway_tests::{raw, world::World};
use sqlx::{Connection as _, SqliteConnection};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::steps::{assert_documented, assert_refused};

const MIB: usize = 1024 * 1024;

async fn token(world: &World, display_name: &str) -> Result<(), Status> {
    let token = Token { display_name: display_name.into(), role: Role::Viewer.into(), ..Token::default() };
    let request = CreateTokenRequest { token: Some(token), ttl: None };
    world.admin().access().create_token(request).await.map(drop)
}

async fn label(world: &World, value: &str) -> Result<(), Status> {
    let device = Device {
        name: "devices/pump-1".into(),
        labels: [("site".to_owned(), value.to_owned())].into(),
        ..Device::default()
    };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["labels.site".into()] });
    let request = UpdateDeviceRequest { device: Some(device), update_mask };
    world.admin().fleet().update_device(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_for_what_can_never_be_is_a_mistake_and_not_an_empty_list() {
    let world = World::start().await;
    let admin = world.admin();
    for (list, filter, names) in [
        ("devices", "state = \"bogus\"", ["bogus", "quarantined"]),
        ("devices", "online = maybe", ["maybe", "false"]),
        ("devices", "version >= new", ["new", "version"]),
        ("alerts", "severity = \"bad\"", ["bad", "critical"]),
        ("alerts", "state != opened", ["opened", "acknowledged"]),
        ("alerts", "kind:nonsense", ["nonsense", "prognosis"]),
        ("rollouts", "state = stopped", ["stopped", "paused"]),
        ("updates", "state = done", ["done", "succeeded"]),
        ("updates", "wave > first", ["first", "number"]),
        ("releases", "version < latest", ["latest", "version"]),
    ] {
        let filter = filter.to_owned();
        let status = match list {
            "devices" => {
                admin.fleet().list_devices(ListDevicesRequest { filter, ..Default::default() }).await.err()
            }
            "alerts" => {
                admin.alerts().list_alerts(ListAlertsRequest { filter, ..Default::default() }).await.err()
            }
            "rollouts" => admin
                .rollouts()
                .list_rollouts(ListRolloutsRequest { filter, ..Default::default() })
                .await
                .err(),
            "updates" => {
                let parent = "devices/-".to_owned();
                let request = ListUpdatesRequest { parent, filter, ..Default::default() };
                admin.fleet().list_updates(request).await.err()
            }
            _ => admin
                .releases()
                .list_releases(ListReleasesRequest { filter, ..Default::default() })
                .await
                .err(),
        };
        let status = status.unwrap_or_else(|| panic!("{list}: {names:?} was taken"));
        assert_refused(&status, Code::InvalidArgument, "FILTER_INVALID", &names);
        assert!(status.message().ends_with('^'), "{}", status.message());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_show_what_they_are_and_errors_repeat_only_the_beginning() {
    let world = World::start().await;
    world.init_trust();
    let _member = world.member("pump-1", &[]).await;
    for hidden in ["\u{202e}", "\u{2066}", "\u{200b}", "\u{1b}[2J", "\u{feff}"] {
        let value = format!("north{hidden}south");
        let status = label(&world, &value).await.expect_err("a label that hides something");
        assert_refused(&status, Code::InvalidArgument, "LABEL_INVALID", &["north\\u{"]);
        assert!(!status.message().contains(hidden), "{:?}", status.message());
        let status = token(&world, &value).await.expect_err("a name that hides something");
        assert_refused(&status, Code::InvalidArgument, "TOKEN_INVALID", &[]);
    }
    label(&world, "Zürich, Haus 3").await.expect("a label");

    // Longer than what the headers of an answer may hold, and with a line of its own for the log.
    let long = format!("gw\u{202e}{}", "x".repeat(100_000));
    let claim = Claim { product: "pump".into(), hardware: vec![long], ..Claim::default() };
    let request = CreateClaimRequest { claim: Some(claim), ..Default::default() };
    let status = world.admin().fleet().create_claim(request).await.expect_err("no hardware");
    assert_refused(
        &status,
        Code::InvalidArgument,
        "CLAIM_INVALID",
        &["\"gw\\u{202e}xxx", "100003 characters"],
    );
    assert!(status.message().len() < 300, "{} bytes", status.message().len());
    let name = format!("devices/{}/x", "y".repeat(100_000));
    let status = world.admin().fleet().get_device(GetDeviceRequest { name }).await.expect_err("no name");
    assert_refused(&status, Code::InvalidArgument, "NAME_INVALID", &["100010 characters"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_too_large_or_none_at_all_are_refused_with_a_reason() {
    let world = World::start().await;
    let token = world.read("admin.token");
    let call = async |method: &str, message: Vec<u8>| {
        let path = format!("/slipway.v1.{method}");
        raw::call(world.anonymous().channel, &path, Some(token.trim()), message).await.expect_err("refused")
    };
    let large = ListDevicesRequest { filter: "x".repeat(MIB), ..Default::default() }.encode_to_vec();
    let (size, limit) = (large.len().to_string(), MIB.to_string());
    let status = call("FleetService/ListDevices", large).await;
    assert_refused(&status, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", &[&size, &limit, "ListDevices"]);
    let facts = status.get_details_error_info().expect("facts").metadata;
    assert_eq!((facts.get("size"), facts.get("limit")), (Some(&size), Some(&limit)));
    for method in ["FleetService/ListDevices", "AccessService/CreateToken", "ReleaseService/UploadSegments"] {
        let status = call(method, vec![0xff; 100]).await;
        assert_refused(&status, Code::InvalidArgument, "MESSAGE_INVALID", &[method]);
    }
    assert_documented("MESSAGE_TOO_LARGE");
    assert_documented("MESSAGE_INVALID");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_hides_no_other_and_says_which_it_is() {
    let world = World::start().await;
    world.init_trust();
    let (mut good, mut bad) = (world.member("pump-1", &[]).await, world.member("pump-2", &[]).await);
    world.publish(b"an image", "1.0.0");
    world.publish(b"another image", "2.0.0");
    token(&world, "ann").await.expect("a token");
    let secret = world.token(Role::Viewer, "", Duration::from_secs(3600)).await;

    let file = format!("sqlite:{}", world.path("server/slipway.db"));
    let mut db = SqliteConnection::connect(&file).await.expect("the server's database");
    for damage in [
        "UPDATE devices SET labels = '{', generation = generation + 1 WHERE id = 'pump-2'",
        "UPDATE releases SET hardware = 'gw-a' WHERE version = '1.0.0'",
        "UPDATE tokens SET role = 'king' WHERE display_name = 'ann'",
        "UPDATE claims SET labels = '' WHERE id = (SELECT MAX(id) FROM claims)",
    ] {
        let changed = sqlx::query(damage).execute(&mut db).await.expect(damage);
        assert_eq!(changed.rows_affected(), 1, "{damage}");
    }
    let admin = world.admin();
    let devices =
        admin.fleet().list_devices(ListDevicesRequest::default()).await.expect("devices").into_inner();
    let names: Vec<_> = devices.devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["devices/pump-1"]);
    let filter = "product = pump".to_owned();
    let request = ListDevicesRequest { filter, page_size: 1, ..Default::default() };
    assert_eq!(admin.fleet().list_devices(request).await.expect("devices").into_inner().devices.len(), 1);
    let releases = admin.releases().list_releases(ListReleasesRequest::default()).await.expect("releases");
    assert_eq!(releases.into_inner().releases.len(), 1);
    let tokens = admin.access().list_tokens(ListTokensRequest::default()).await.expect("tokens").into_inner();
    assert!(tokens.tokens.len() == 2 && tokens.tokens.iter().all(|token| token.display_name != "ann"));
    let claims = admin.fleet().list_claims(ListClaimsRequest::default()).await.expect("claims").into_inner();
    assert_eq!(claims.claims.len(), 1);

    let request = GetDeviceRequest { name: "devices/pump-2".into() };
    let status = admin.fleet().get_device(request).await.expect_err("it is damaged");
    assert_refused(&status, Code::DataLoss, "RECORD_DAMAGED", &["devices/pump-2", "labels"]);
    assert_documented("RECORD_DAMAGED");

    // The server starts with them, too; the device hears that it is its record, not that it is unknown.
    let world = world.restart().await;
    assert!(world.caller(&secret).fleet().list_devices(ListDevicesRequest::default()).await.is_ok());
    for member in [&mut good, &mut bad] {
        member.move_to(world.port(), &world.read("server-ca.pem"));
    }
    good.check_in().await.expect("an answer");
    let status = bad.check_in().await.expect_err("its record is damaged");
    assert_refused(&status, Code::DataLoss, "RECORD_DAMAGED", &["devices/pump-2"]);
    world.stop().await;
}

//! Who can write to the database has no key: what he changes in a signed document is served to nobody, and told.

use http_body_util::BodyExt as _;
use slipway_proto::v1::PublishReleaseRequest;
use slipway_tests::{member::Member, operator::Caller, world::World};
use sqlx::{Connection as _, SqliteConnection};
use tower::{Service as _, ServiceExt as _};

use crate::steps::{explain, plan, roll_out};

/// A row with a signed document: table, column, and which.
type Row = (&'static str, &'static str, &'static str);

/// Replaces `from` by `to` in the newest document of that row, or back.
async fn edit(world: &World, (table, column, row): Row, from: &str, to: &str) {
    let file = format!("sqlite:{}", world.path("server/slipway.db"));
    let mut db = SqliteConnection::connect(&file).await.expect("the server's database");
    let read = format!("SELECT rowid, {column} FROM {table} WHERE {row} ORDER BY version DESC LIMIT 1");
    let (id, bytes): (i64, Vec<u8>) =
        sqlx::query_as(sqlx::AssertSqlSafe(read)).fetch_one(&mut db).await.expect("a row");
    let text = String::from_utf8(bytes).expect("JSON");
    let edited = text.replacen(from, to, 1);
    assert_ne!(edited, text, "{table}: there is no {from:?} in {text}");
    let write = format!("UPDATE {table} SET {column} = $1 WHERE rowid = $2");
    let query = sqlx::query(sqlx::AssertSqlSafe(write)).bind(edited.into_bytes()).bind(id);
    query.execute(&mut db).await.expect("changed");
    db.close().await.expect("closed");
}

/// Status and body of a file that anybody may ask for.
async fn get(caller: &Caller, path: &str) -> (u16, Vec<u8>) {
    let mut channel = caller.channel.clone();
    let request = http::Request::get(path).body(tonic::body::Body::empty()).expect("a request");
    let answer = channel.ready().await.expect("a connection").call(request).await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.into_body().collect().await.expect("a body").to_bytes().to_vec())
}

/// What monitoring sees: how often a stored document was found that is not what was signed.
async fn alarms(world: &World) -> u64 {
    let (status, text) = get(&world.anonymous(), "/metrics").await;
    assert_eq!(status, 200);
    let text = String::from_utf8(text).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix("slipwayd_forged_documents_total "));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no such figure in\n{text}"))
}

/// A device that holds nothing yet asks for everything.
async fn is_told_nothing(member: &mut Member) {
    member.have = Default::default();
    let answer = member.check_in().await.expect("an answer");
    assert!(answer.trust.is_none() && answer.offer.is_none(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_72_metadata_that_is_edited_by_hand_is_served_to_nobody_and_told() {
    let mut world = World::start().await;
    world.init_trust();
    world.publish(b"an image", "1.0.0");
    let mut member = world.member("pump-1", &[]).await;
    member.settle().await;
    let honest = get(&world.anonymous(), "/tuf/metadata/timestamp.json").await;
    assert_eq!((honest.0, alarms(&world).await), (200, 0));
    let manifest = slipway_trust::fake::manifest("2.0.0", 2).to_bytes().expect("a manifest");
    // Each is given a longer life than its keys gave it: the same form, the same length.
    for role in
        ["role = 'root'", "role = 'targets'", "role = 'pump'", "role = 'snapshot'", "role = 'timestamp'"]
    {
        let row = ("metadata", "bytes", role);
        edit(&world, row, "\"expires\":\"20", "\"expires\":\"21").await;
        // A running server serves what it verified.
        assert!(get(&world.anonymous(), "/tuf/metadata/timestamp.json").await == honest, "{role}");

        world = world.restart().await;
        member.move_to(world.port(), &world.read("server-ca.pem"));
        for file in ["timestamp.json", "1.root.json", "1.targets.json", "1.pump.json", "2.snapshot.json"] {
            let (status, _) = get(&world.anonymous(), &format!("/tuf/metadata/{file}")).await;
            assert_eq!(status, 404, "{role}: {file}");
        }
        assert_eq!(get(&world.anonymous(), "/tuf/targets/pump/1.0.0.json").await.0, 404, "{role}");
        is_told_nothing(&mut member).await;
        let publication = PublishReleaseRequest {
            product: "pump".into(),
            manifest: manifest.clone(),
            ..Default::default()
        };
        let refused =
            world.admin().releases().publish_release(publication).await.expect_err("not on such ground");
        assert_eq!(refused.code(), tonic::Code::Internal, "{role}: {refused:?}");
        assert!(alarms(&world).await > 0, "{role}: nobody is told");
        let blocked = explain(&world.admin(), "pump-1").await;
        let told = blocked.verdicts.iter().flat_map(|verdict| &verdict.reasons);
        let told: Vec<&str> = told.map(|reason| reason.detail.as_str()).collect();
        println!("{role}: {told:?}, {:?}", blocked.device.and_then(|device| device.blocked));

        edit(&world, row, "\"expires\":\"21", "\"expires\":\"20").await;
        world = world.restart().await;
        member.move_to(world.port(), &world.read("server-ca.pem"));
    }
    assert!(get(&world.anonymous(), "/tuf/metadata/timestamp.json").await == honest, "healed");
    member.settle().await;
    assert_ne!(member.have.product, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_72_an_assignment_that_is_edited_by_hand_is_served_to_nobody_and_told() {
    let world = World::start().await;
    world.init_trust();
    world.publish(b"an image", "1.0.0");
    let mut member = world.member("pump-1", &[]).await;
    let mut other = world.member("pump-2", &[]).await;
    member.settle().await;
    other.settle().await;
    roll_out(&world.admin(), plan("1.0.0", "id = \"pump-1\"")).await;
    let answer = member.check_in().await.expect("an offer");
    let honest = answer.trust.expect("an assignment").assignment;
    assert!(!honest.is_empty());
    // For another device; of another life; and once more as it was.
    let row = ("assignments", "bytes", "device_id = 'pump-1'");
    for (from, to) in [("\"pump-1\"", "\"pump-2\""), ("\"expires\":\"20", "\"expires\":\"21")] {
        edit(&world, row, from, to).await;
        let before = alarms(&world).await;
        // The answer was lost, as far as the device is concerned.
        member.have.assignment = 0;
        member.update.clear();
        let answer = member.check_in().await.expect("an answer");
        assert!(answer.trust.is_none_or(|news| news.assignment.is_empty()), "{to}");
        assert!(alarms(&world).await > before, "{to}: nobody is told");
        edit(&world, row, to, from).await;
        member.have.assignment = 0;
        member.update.clear();
        let answer = member.check_in().await.expect("an answer");
        assert!(answer.trust.expect("the assignment").assignment == honest, "{to}: healed");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_72_a_manifest_that_is_edited_by_hand_is_served_to_nobody_and_told() {
    let mut world = World::start().await;
    world.init_trust();
    world.publish(b"an image", "1.0.0");
    let path = "/tuf/targets/pump/1.0.0.json";
    let honest = get(&world.anonymous(), path).await;
    assert_eq!(honest.0, 200);
    let row = ("releases", "manifest", "version = '1.0.0'");
    edit(&world, row, "\"size\":8", "\"size\":9").await;
    assert!(get(&world.anonymous(), path).await == honest, "a running server serves what it verified");
    world = world.restart().await;
    assert_eq!(get(&world.anonymous(), path).await.0, 404);
    assert!(alarms(&world).await > 0, "nobody is told");
    edit(&world, row, "\"size\":9", "\"size\":8").await;
    assert!(get(&world.anonymous(), path).await == honest, "healed");
    world.stop().await;
}

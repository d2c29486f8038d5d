//! A bit that flips at rest, on the server or on the device.

use std::{fs, path::Path};

use slipway_proto::v1::{Rollout, RolloutState, UpdateState};
use slipway_tests::{clock::wait_for, fleet::Fleet};
use slipway_trust::Sha256;
use sqlx::{Connection as _, SqliteConnection};

use crate::steps::{
    MIB, PATIENCE, assert_documented, assert_holds, assert_only_verified, bring, end_of, explain, has_called,
    noise, plan, reason_of, roll_out, until,
};

const FAST: &[&str] = &["--check-in-interval", "1"];

/// Flips one bit of a file.
fn flip(file: &Path, place: usize) {
    let mut bytes = fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    bytes[place] ^= 1;
    fs::write(file, bytes).expect("a changed file");
}

fn to(version: &str, device: &str) -> Rollout {
    plan(version, &format!("id = \"{device}\""))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_any_stored_segment_reaches_no_slot() {
    let factory = noise(9, MIB / 2);
    // Noise, text that compresses well, and a short last one; each device meets another broken segment.
    let text = b"the same again and again. ".repeat(MIB / 26 + 1);
    let image = [noise(1, MIB), text[..MIB].to_vec(), noise(2, 77)].concat();
    let segments: Vec<&[u8]> = image.chunks(MIB).collect();
    let mut fleet = Fleet::start(segments.len(), &factory, FAST, &[]);
    (0..segments.len()).for_each(|index| fleet.run_agent(index));
    fleet.publish(&image, "1.0.0");
    for (index, segment) in segments.iter().enumerate() {
        let object = fleet.data().join(format!("objects/segments/{}", Sha256::of(segment)));
        let length = fs::metadata(&object).expect("the stored segment").len() as usize;
        // The head of the frame, its middle, its end.
        let place = [2, length / 2, length - 1][index % 3];
        flip(&object, place);
        let device = &fleet.devices[index];
        let name = roll_out(&fleet.admin(), to("1.0.0", &device.id)).await;
        let update = end_of(&fleet, &device.id, &name).await;
        let reason = reason_of(&update);
        assert_eq!(update.state(), UpdateState::Failed, "{reason:?}");
        assert!(reason.code.starts_with("SEGMENT_"), "{reason:?}");
        assert!(reason.detail.contains(&format!("segment {index}")), "it says which: {reason:?}");
        assert_documented(&reason.code);
        let shown = fleet.slipway(&["device", "explain", &device.id]);
        assert!(shown.contains(&reason.code), "{shown}");
        assert_holds(device, "a", &factory, "what the factory put there");
        assert_only_verified(device, &[], &image);
        let wrong = device.slot("b").chunks(MIB).nth(index).is_some_and(|held| held == *segment);
        assert!(!wrong, "segment {index} cannot be there");

        flip(&object, place);
        let name = roll_out(&fleet.admin(), to("1.0.0", &device.id)).await;
        let update = end_of(&fleet, &device.id, &name).await;
        assert_eq!(update.state(), UpdateState::Succeeded, "{:?}", update.reason);
        assert_holds(device, &device.boot("running"), &image, "the release");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploading_again_heals_a_stored_segment_that_went_bad() {
    let mut fleet = Fleet::start(1, b"factory", FAST, &[]);
    fleet.run_agent(0);
    let image = noise(1, 2 * MIB);
    fleet.publish(&image, "1.0.0");
    let object = fleet.data().join(format!("objects/segments/{}", Sha256::of(&image[..MIB])));
    let good = fs::read(&object).expect("the stored segment");
    flip(&object, 1000);
    // The next release shares the segment; what its publisher brings is compared with what is there.
    let next = [image, b"more".to_vec()].concat();
    fs::remove_file(&object).expect("an operator removes it");
    fleet.publish(&next, "2.0.0");
    assert!(fs::read(&object).expect("stored again") == good);
    bring(&fleet, "2.0.0").await;
    assert_holds(&fleet.devices[0], "b", &next, "the release");
}

/// Flips a bit in the middle of a stored document while the server is down; the same again heals it.
async fn flip_row(fleet: &Fleet, (table, column, row): (&str, &str, &str)) {
    let file = format!("sqlite:{}", fleet.data().join("slipway.db").display());
    let mut db = SqliteConnection::connect(&file).await.expect("the server's database");
    let read = format!("SELECT rowid, {column} FROM {table} WHERE {row} ORDER BY version DESC LIMIT 1");
    let (id, mut bytes): (i64, Vec<u8>) =
        sqlx::query_as(sqlx::AssertSqlSafe(read)).fetch_one(&mut db).await.expect("a row");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let write = format!("UPDATE {table} SET {column} = $1 WHERE rowid = $2");
    sqlx::query(sqlx::AssertSqlSafe(write)).bind(bytes).bind(id).execute(&mut db).await.expect("changed");
    db.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_any_signed_row_of_the_server_is_served_to_nobody() {
    let factory = b"what the factory put there".to_vec();
    let mut fleet = Fleet::start(1, &factory, FAST, &[]);
    let image = noise(1, MIB + 1);
    fleet.publish(&image, "1.0.0");
    fleet.run_agent(0);
    let device = fleet.devices[0].id.clone();
    has_called(&fleet.admin(), &device).await;
    fleet.devices[0].agent = None;
    roll_out(&fleet.admin(), plan("1.0.0", "")).await;
    let roles = ["root", "targets", "pump", "director", "snapshot", "timestamp"];
    for role in roles {
        let row = ("metadata", "bytes", &*format!("role = '{role}'"));
        fleet.server.kill();
        flip_row(&fleet, row).await;
        fleet.restart_server();
        fleet.run_agent(0);
        let code = wait_for(&format!("the {role} that went bad to be named"), PATIENCE, || async {
            let why = explain(&fleet.admin(), &device).await;
            assert_eq!(why.offer, "", "{role}: offered from documents that nobody signed");
            let reasons =
                why.verdicts.into_iter().flat_map(|verdict| verdict.reasons).map(|reason| reason.code);
            reasons.chain(why.device.and_then(|device| device.blocked).map(|reason| reason.code)).next()
        })
        .await;
        assert_documented(&code);
        println!("{role}: {code}");
        let shown = fleet.slipway(&["device", "explain", &device]);
        assert!(shown.contains(&code), "{shown}");
        fleet.devices[0].agent = None;
        assert_holds(&fleet.devices[0], "a", &factory, "what the factory put there");
        assert!(fleet.devices[0].slot("b").is_empty(), "{role}: something was written");
        fleet.server.kill();
        flip_row(&fleet, row).await;
        fleet.restart_server();
    }
    // Healed: the rollout that waited goes on by itself.
    fleet.run_agent(0);
    wait_for("the update to succeed", PATIENCE, || async {
        let newest = explain(&fleet.admin(), &device).await.updates.into_iter().next()?;
        (newest.state() == UpdateState::Succeeded).then_some(())
    })
    .await;
    assert_holds(&fleet.devices[0], "b", &image, "the release");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_a_stored_manifest_is_refused_by_the_device() {
    let mut fleet = Fleet::start(1, b"factory", FAST, &[]);
    let image = noise(1, MIB + 1);
    fleet.publish(&image, "1.0.0");
    fleet.server.kill();
    let row = ("releases", "manifest", "version = '1.0.0'");
    flip_row(&fleet, row).await;
    fleet.restart_server();
    fleet.run_agent(0);
    has_called(&fleet.admin(), "pump-1").await;
    let name = roll_out(&fleet.admin(), plan("1.0.0", "")).await;
    let code = wait_for("the manifest to be refused", PATIENCE, || async {
        let why = explain(&fleet.admin(), "pump-1").await;
        let blocked = why.device.and_then(|device| device.blocked);
        why.updates.into_iter().next().and_then(|update| update.reason).or(blocked).map(|reason| reason.code)
    })
    .await;
    assert_documented(&code);
    println!("manifest: {code}");
    assert_holds(&fleet.devices[0], "a", b"factory", "what the factory put there");
    assert!(fleet.devices[0].slot("b").is_empty());

    // It was not failed, it waits: healed, it goes on by itself.
    fleet.server.kill();
    flip_row(&fleet, row).await;
    fleet.restart_server();
    until(&fleet, &name, RolloutState::Succeeded).await;
    assert_holds(&fleet.devices[0], "b", &image, "the release");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_any_metadata_file_of_the_device_is_not_believed() {
    let mut fleet = Fleet::start(1, b"factory", FAST, &[]);
    fleet.run_agent(0);
    let mut before = noise(0, MIB + 1);
    fleet.publish(&before, "1.0.0");
    bring(&fleet, "1.0.0").await;
    let files = ["timestamp", "snapshot", "targets", "pump", "assignment", "root", "1.root"];
    for (number, file) in files.into_iter().enumerate() {
        fleet.devices[0].agent = None;
        let path = fleet.devices[0].state.join(format!("metadata/{file}.json"));
        let length = fs::metadata(&path).unwrap_or_else(|e| panic!("{file}: {e}")).len() as usize;
        flip(&path, length / 2);
        fleet.run_agent(0);
        // It takes none of it for granted and asks the server for what it lost.
        println!("{file} goes bad");
        let image = noise(number as u64 + 1, MIB + 1);
        let version = format!("{}.0.0", number + 2);
        fleet.publish(&image, &version);
        bring(&fleet, &version).await;
        let device = &fleet.devices[0];
        assert_holds(device, &device.boot("running"), &image, &format!("{version}, after {file} went bad"));
        assert_holds(device, crate::steps::spare(device), &before, "what ran before");
        before = image;
    }
}

//! Devices without a network: the server is gone when they are updated, and hears of it when it is back.

use std::{fs, process::Output};

use slipway_proto::v1::DeviceState;
use slipway_tests::{
    clock::wait_for,
    fleet::{Device, Fleet},
    processes::attempt,
};

use crate::steps::{MIB, PATIENCE, assert_documented, assert_holds, bring, explain, noise};

const FAST: &[&str] = &["--check-in-interval", "1"];
const FACTORY: &[u8] = b"what the factory put there";

fn install(device: &Device, bundle: &str) -> Output {
    let state = device.state.to_string_lossy();
    attempt("slipway-agent", &["install", "--bundle", bundle, "--state", &state])
}

fn installed(device: &Device, bundle: &str) -> String {
    let output = install(device, bundle);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Exit code 1, a sentence, what to do, and the page of this reason when it has one.
fn refused(output: &Output, reason: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: ") && said.contains("\nhint: "), "{said}");
    if !reason.is_empty() {
        assert!(said.contains(&format!("\nsee docs/errors/{reason}.md")), "{said}");
        assert_documented(reason);
    }
    said
}

/// Waits until the server knows what a device runs.
async fn runs(fleet: &Fleet, device: &str, version: &str) {
    wait_for(&format!("{device} to say that it runs {version}"), PATIENCE, || async {
        let found = explain(&fleet.admin(), device).await.device?;
        assert_eq!(found.state(), DeviceState::Active);
        (found.components.first()?.version == version).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_without_a_network_are_updated_from_a_stick_and_say_so_later() {
    let mut fleet = Fleet::start(2, FACTORY, FAST, &[]);
    let image = [noise(1, 2 * MIB), vec![0; MIB], noise(2, 77)].concat();
    fleet.publish(&image, "1.0.0");
    let stick = fleet.path("stick.tar");
    let line = ["release", "bundle", "pump/1.0.0", "--device", "pump-1", "--out", &stick, "--output", "json"];
    let told: serde_json::Value = serde_json::from_str(&fleet.slipway(&line)).expect("JSON");
    assert_eq!(
        (&told["release"], &told["devices"][0]),
        (&"releases/pump/1.0.0".into(), &"devices/pump-1".into())
    );
    assert_eq!((&told["segments"], &told["expiresFirst"]), (&4.into(), &"timestamp".into()), "{told}");
    let whole = fs::read(&stick).expect("the bundle");
    assert_eq!(told["bytes"], whole.len());

    // Again, and after a run that was cut: the same bytes.
    fs::write(fleet.path("stick.tar.part"), &whole[..whole.len() / 2]).expect("half a bundle");
    fs::remove_file(&stick).expect("removed");
    fleet.slipway(&line);
    assert!(fs::read(&stick).expect("the bundle") == whole);

    fleet.server.kill();
    let said = installed(&fleet.devices[0], &stick);
    assert_eq!(said, "version 1.0.0 (release 1) runs in slot b\n");
    assert_holds(&fleet.devices[0], "b", &image, "the release");
    assert_holds(&fleet.devices[0], "a", FACTORY, "what the factory put there");

    // It was not made for the other one, whose owner then says that this is no matter.
    let other = &fleet.devices[1];
    let said = refused(&install(other, &stick), "BUNDLE_NOT_ASSIGNED");
    assert!(said.contains("pump/1.0.0.json") && said.contains("pump-2"), "{said}");
    assert!(other.slot("b").is_empty());
    let config = other.state.join("agent.toml");
    let text = fs::read_to_string(&config).expect("agent.toml");
    assert!(text.contains("bundles = \"assigned\"\n"), "{text}");
    fs::write(&config, text.replace("bundles = \"assigned\"", "bundles = \"signed\"")).expect("changed");
    installed(other, &stick);
    assert_holds(other, "b", &image, "the release");

    // The server is back, and knows of no such updates: it hears what runs, and goes on from there.
    fleet.restart_server();
    (0..2).for_each(|index| fleet.run_agent(index));
    runs(&fleet, "pump-1", "1.0.0").await;
    runs(&fleet, "pump-2", "1.0.0").await;
    let said = refused(&install(&fleet.devices[0], &stick), "");
    assert!(said.contains("another slipway-agent works") && said.contains("systemctl stop"), "{said}");
    let next = noise(3, MIB + 1);
    fleet.publish(&next, "2.0.0");
    bring(&fleet, "2.0.0").await;
    for device in &fleet.devices {
        assert_holds(device, "a", &next, "the next release");
    }
    // What was on the stick is old by now.
    fleet.devices[0].agent = None;
    let said = refused(&install(&fleet.devices[0], &stick), "METADATA_ROLLED_BACK");
    assert!(said.contains("slipway release bundle"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_bundled_is_said_and_leaves_no_file() {
    let fleet = Fleet::start(1, FACTORY, FAST, &[]);
    let image = noise(1, MIB + 1);
    fleet.publish(&image, "1.0.0");
    let stick = fleet.path("stick.tar");
    let profile = fleet.data().join("client.toml").to_string_lossy().into_owned();
    let bundle = |release: &str, more: &[&str]| {
        let line = [&["--profile", &profile, "release", "bundle", release, "--out", &stick], more].concat();
        tokio::task::block_in_place(|| attempt("slipway", &line))
    };
    refused(&bundle("pump/9.0.0", &[]), "RELEASE_NOT_FOUND");
    refused(&bundle("valve/1.0.0", &[]), "RELEASE_NOT_FOUND");
    refused(&bundle("pump/1.0.0", &["--device", "nobody"]), "DEVICE_NOT_FOUND");
    let object = fleet.data().join(format!("objects/segments/{}", slipway_trust::Sha256::of(&image[..MIB])));
    let good = fs::read(&object).expect("the stored segment");
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 0xff;
    fs::write(&object, bad).expect("damaged");
    let said = refused(&bundle("pump/1.0.0", &[]), "SEGMENT_DIGEST_MISMATCH");
    assert!(!fs::exists(&stick).expect("a folder"), "{said}");
    fs::remove_file(&object).expect("removed");
    refused(&bundle("pump/1.0.0", &[]), "SEGMENT_UNAVAILABLE");
    fs::write(&object, good).expect("healed");
    let output = bundle("pump/1.0.0", &["--device", "pump-1"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // A stick that went bad on the way, and a device of whose hands it is.
    let mut bytes = fs::read(&stick).expect("the bundle");
    bytes.truncate(bytes.len() - 1);
    fs::write(&stick, &bytes).expect("cut");
    let said = refused(&install(&fleet.devices[0], &stick), "BUNDLE_INVALID");
    assert!(said.contains("ends too early"), "{said}");
    assert!(fleet.devices[0].slot("b").is_empty());
}

//! What people get wrong at a terminal: one message that names it, one hint, exit code 1, and nothing done.

use std::{fs, process::Output};

use slipway_proto::v1::UpdateState;
use slipway_tests::{
    fleet::{Fleet, HARDWARE, PRODUCT},
    processes::{attempt, free_port},
};

use crate::steps::{MIB, assert_documented, bring, end_of, noise, plan, reason_of, roll_out};

/// A failure as it should look: names all of `names`, gives a hint, and its code has a page.
fn assert_failed(output: &Output, code: &str, names: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: ") && said.contains("hint: "), "{said}");
    for name in names {
        assert!(said.contains(name), "{name:?} is not named:\n{said}");
    }
    if !code.is_empty() {
        assert!(said.contains(&format!("see docs/errors/{code}.md")), "{said}");
        assert_documented(code);
    }
}

fn publish(fleet: &Fleet, image: &str, more: &[&str]) -> Output {
    let (profile, keys) = (fleet.path("server/client.toml"), fleet.path("keys"));
    let mut all = vec!["--profile", &profile, "release", "publish", image, "--product", PRODUCT];
    for (flag, value) in [("--version", "2.0.0"), ("--hardware", HARDWARE), ("--keys", keys.as_str())] {
        if !more.contains(&flag) {
            all.extend([flag, value]);
        }
    }
    all.extend_from_slice(more);
    attempt("slipway", &all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_or_a_release_that_cannot_be_published() {
    let fleet = Fleet::start(1, b"factory", &[], &[]);
    fleet.publish(b"first", "1.5.0");
    let image = fleet.path("1.5.0.img");
    let empty = fleet.path("empty.img");
    fs::write(&empty, b"").expect("an empty file");
    assert_failed(&publish(&fleet, &empty, &[]), "IMAGE_EMPTY", &["empty.img"]);
    let folder = fleet.path("keys");
    assert_failed(&publish(&fleet, &folder, &[]), "IMAGE_NOT_A_FILE", &["directory"]);
    assert_failed(&publish(&fleet, &fleet.path("gone.img"), &[]), "", &["gone.img"]);
    for version in ["1.5.0", "1.4.9", "1.5", "1.5.0+again"] {
        let output = publish(&fleet, &image, &["--version", version]);
        assert_failed(&output, "VERSION_NOT_NEWER", &[version, "1.5.0"]);
    }
    let output = publish(&fleet, &image, &["--hardware", "toaster"]);
    assert_failed(&output, "HARDWARE_UNKNOWN", &["toaster", "--new-hardware"]);
    // A stranger's keys, made for another server.
    let other = Fleet::start(0, b"", &[], &[]);
    let output = publish(&fleet, &image, &["--keys", &other.path("keys")]);
    assert_failed(&output, "", &["key"]);
    let listed = fleet.slipway(&["release", "list"]);
    assert!(listed.contains("1.5.0") && !listed.contains("2.0.0"), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_wrong_role_publishes_nothing() {
    let fleet = Fleet::start(1, b"factory", &[], &[]);
    fleet.publish(b"first", "1.0.0");
    let token = fleet.path("viewer.token");
    fleet.slipway(&["token", "create", "a viewer", "--role", "viewer", "--out", &token]);
    let output = publish(&fleet, &fleet.path("1.0.0.img"), &["--token-file", &token]);
    assert_failed(&output, "ROLE_REQUIRED", &["viewer", "publisher"]);
    assert!(!fleet.slipway(&["release", "list"]).contains("2.0.0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selector_with_a_typing_error_is_shown_to_match_nobody() {
    let fleet = Fleet::start(2, b"factory", &[], &[]);
    let said = |arguments: &[&str]| {
        let profile = fleet.path("server/client.toml");
        let output = attempt("slipway", &[&["--profile", profile.as_str()], arguments].concat());
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let create = |scope| said(&["token", "create", "desk", "--role", "client", "--scope", scope]);
    assert!(create("product = \"pump\"").contains("2 devices match"));
    assert!(create("id = \"pump-1\"").contains("1 device matches"));
    let wrong = create("labels.custmer = \"acme\"");
    assert!(wrong.contains("no device matches labels.custmer = \"acme\" now"), "{wrong}");
    let limit =
        ["limit", "set", "heat", "--metric", "temp", "--value", "1", "--selector", "product = \"pmp\""];
    assert!(said(&limit).contains("no device matches"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_replaced_without_a_gap() {
    let fleet = Fleet::start(0, b"", &[], &[]);
    let (profile, old, new) = (fleet.path("server/client.toml"), fleet.path("old"), fleet.path("new"));
    fleet.slipway(&["token", "create", "a desk", "--role", "viewer", "--out", &old]);
    let listed = fleet.slipway(&["token", "list"]);
    let id = listed.lines().find(|line| line.contains("a desk")).and_then(|line| line.split(' ').next());
    let id = id.expect("the token");
    fleet.slipway(&["token", "rotate", id, "--ttl", "5d", "--out", &new]);
    let whoami =
        |token: &str| attempt("slipway", &["--profile", &profile, "--token-file", token, "token", "whoami"]);
    for token in [&old, &new] {
        let said = String::from_utf8_lossy(&whoami(token).stdout).into_owned();
        assert!(said.contains("a desk") && said.contains("viewer"), "{said}");
    }
    fleet.slipway(&["token", "revoke", id]);
    assert!(whoami(&new).status.success() && !whoami(&old).status.success());
    let again = attempt("slipway", &["--profile", &profile, "token", "rotate", id]);
    assert_failed(&again, "", &[id, "revoked"]);
    let unknown = attempt("slipway", &["--profile", &profile, "token", "rotate", "nobody"]);
    assert_failed(&unknown, "TOKEN_NOT_FOUND", &["nobody"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_larger_than_the_slot_is_rejected_before_a_byte_is_written() {
    let slot = (MIB + 10).to_string();
    let mut fleet = Fleet::start(1, b"factory", &["--check-in-interval", "1"], &["--slot-size", &slot]);
    fleet.run_agent(0);
    fleet.publish(&noise(1, MIB + 10), "1.0.0");
    bring(&fleet, "1.0.0").await;
    fleet.publish(&noise(2, MIB + 11), "2.0.0");
    let name = roll_out(&fleet.admin(), plan("2.0.0", "")).await;
    let update = end_of(&fleet, "pump-1", &name).await;
    let reason = reason_of(&update);
    assert_eq!(
        (update.state(), reason.code.as_str()),
        (UpdateState::Rejected, "IMAGE_LARGER_THAN_SLOT"),
        "{reason:?}"
    );
    assert!(reason.detail.contains(&(MIB + 11).to_string()) && reason.detail.contains(&slot), "{reason:?}");
    assert_eq!((update.bytes_fetched, update.bytes_written), (0, 0));
    assert_eq!(fleet.devices[0].slot("a"), b"factory", "the spare slot is as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_start_says_why() {
    let fleet = Fleet::start(0, b"", &[], &[]);
    let data = fleet.path("server");
    let listen = format!("127.0.0.1:{}", free_port());
    let output = attempt("slipwayd", &["serve", "--data", &data, "--listen", &listen]);
    assert_failed(&output, "DATA_DIRECTORY_IN_USE", &[&data]);
    let (elsewhere, taken) = (fleet.path("elsewhere"), format!("127.0.0.1:{}", fleet.port));
    let output = attempt("slipwayd", &["serve", "--data", &elsewhere, "--listen", &taken]);
    assert_failed(&output, "PORT_IN_USE", &[&taken, "--listen"]);

    let newer = fleet.path("newer");
    fs::create_dir(&newer).expect("a folder");
    fs::write(format!("{newer}/version"), "99\n").expect("a version file");
    let output = attempt("slipwayd", &["serve", "--data", &newer, "--listen", &listen]);
    assert_failed(&output, "DATA_DIRECTORY_NEWER", &[&newer, "99", "newer"]);
    let mut names: Vec<_> = fs::read_dir(&newer)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| name != "lock");
    assert_eq!(names, ["version"], "nothing was made in it");
    assert!(fleet.slipway(&["token", "whoami"]).contains("admin"), "the one that runs goes on");
}

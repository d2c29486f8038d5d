//! A draft that python-tuf signs with the publisher's key is published like any other.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use slipway_proto::v1::PublishReleaseRequest;
use slipway_tests::fleet::{Fleet, PRODUCT};
use slipway_trust::repo::{Body as _, ReleaseRules};
use slipway_trust::{Manifest, Targets};

use crate::judges;
use crate::reading::{assert_manifest, assert_success, read_with_python};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_tuf_signs_a_draft_that_the_server_takes() {
    let Some(python) = judges::python() else { return };
    let fleet = Fleet::start(0, b"", &[], &[]);
    fleet.publish(b"one image", "1.0.0");
    let root = format!("{}/root.json", fleet.path("keys"));
    let held = fleet.path("held");
    assert_success(&read_with_python(python, &fleet, &root, "pump/1.0.0.json", &held));

    // The same image under a new version: its segments are there already.
    let first = fs::read(format!("{held}/target")).expect("the manifest of 1.0.0");
    let mut next = Manifest::parse(&first).expect("a manifest");
    next.version = "2.0.0".parse().expect("a version");
    next.counter += 1;
    let manifest = next.to_bytes().expect("a valid manifest");
    let product =
        fs::read(format!("{held}/metadata/{PRODUCT}.json")).expect("the role that python-tuf keeps");
    let mut body = Targets::parse(PRODUCT, &product).expect("the server's file");
    body.version += 1;
    body.add_release(&next, &manifest, ReleaseRules::default()).expect("a newer release");
    let (draft, signed) = (fleet.path("draft.json"), fleet.path("signed.json"));
    fs::write(&draft, json!({"signatures": [], "signed": body.to_json()}).to_string()).expect("a draft");

    let sign = |key: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/sign.py");
        let key = format!("{}/{key}.pem", fleet.path("keys"));
        assert_success(
            &Command::new(python).arg(script).args([&draft, &key, &signed]).output().expect("python starts"),
        );
        fs::read(&signed).expect("the signed draft")
    };
    let publish = async |product_metadata: Vec<u8>| {
        let request = PublishReleaseRequest {
            product: PRODUCT.to_owned(),
            product_metadata,
            manifest: manifest.clone(),
            allow_new_hardware: true,
            ..PublishReleaseRequest::default()
        };
        fleet.admin().releases().publish_release(request).await
    };
    let refused = publish(sign("root")).await.expect_err("signed by a key of another role");
    assert!(refused.message().contains("signed by 0 of the 1"), "{refused:?}");
    publish(sign("publisher")).await.expect("the server takes what python-tuf signed");
    let after = fleet.path("after");
    assert_success(&read_with_python(python, &fleet, &root, "pump/2.0.0.json", &after));
    assert_manifest(&fs::read(format!("{after}/target")).expect("the target"), "2.0.0");
}

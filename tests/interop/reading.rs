//! Readers that know nothing of Slipway start from our root and fetch a release's manifest.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use slipway_tests::fleet::{Fleet, PRODUCT};
use slipway_trust::fake::Fake;
use slipway_trust::{Date, Manifest};

use crate::judges;

/// The file of the server's CAs, which the top-level targets list themselves.
const SERVER_CA: &str = "_trust/server-ca.pem";

/// A server with one published release, whose CAs the owners signed.
fn server() -> Fleet {
    let fleet = Fleet::start(0, b"", &[], &[]);
    fleet.publish(b"one image", "1.0.0");
    let (keys, file) = (fleet.path("keys"), fleet.path("server/server-ca.pem"));
    let mut line = vec!["trust", "rotate", "server-ca", "--server-ca", &file, "--keys", &keys];
    line.extend(["--no-passphrase", "--yes"]);
    fleet.slipway(&line);
    fleet
}

fn server_ca(fleet: &Fleet) -> Vec<u8> {
    fs::read(fleet.data().join("server-ca.pem")).expect("the CAs")
}

/// The root that the publisher keeps, and one of somebody else.
fn roots(fleet: &Fleet) -> [String; 2] {
    let other = fleet.path("other.json");
    let fake = Fake::new(Date::from_unix(1_795_305_600));
    fs::write(&other, &fake.repository.roots[0]).expect("a file");
    [format!("{}/root.json", fleet.path("keys")), other]
}

/// Fetches with python-tuf; `folder` holds metadata and target afterwards.
pub fn read_with_python(python: &Path, fleet: &Fleet, root: &str, target: &str, folder: &str) -> Output {
    Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/read.py"))
        .args([root, &format!("https://localhost:{}", fleet.port), target, folder])
        .env("SSL_CERT_FILE", fleet.data().join("server-ca.pem"))
        .output()
        .expect("python starts")
}

/// Fetches with tough; the target is on standard output.
pub fn read_with_tough(reader: &Path, fleet: &Fleet, root: &str, target: &str) -> Output {
    Command::new(reader)
        .arg(root)
        .arg(fleet.data().join("server-ca.pem"))
        .args([&format!("https://localhost:{}", fleet.port), target])
        .output()
        .expect("the reader starts")
}

pub fn assert_success(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// That these bytes are the manifest of that release.
pub fn assert_manifest(bytes: &[u8], version: &str) {
    let manifest = Manifest::parse(bytes).expect("a manifest");
    assert_eq!((manifest.product.as_str(), manifest.version.as_str()), (PRODUCT, version));
}

#[test]
fn python_tuf_starts_from_our_root_and_fetches_a_release() {
    let Some(python) = judges::python() else { return };
    let fleet = server();
    let [ours, other] = roots(&fleet);
    let folder = fleet.path("python");
    assert_success(&read_with_python(python, &fleet, &ours, "pump/1.0.0.json", &folder));
    assert_manifest(&fs::read(format!("{folder}/target")).expect("the target"), "1.0.0");
    let folder = fleet.path("python-ca");
    assert_success(&read_with_python(python, &fleet, &ours, SERVER_CA, &folder));
    assert_eq!(fs::read(format!("{folder}/target")).expect("the target"), server_ca(&fleet));

    let refused = read_with_python(python, &fleet, &other, "pump/1.0.0.json", &fleet.path("other"));
    assert!(!refused.status.success(), "a root of somebody else leads nowhere");
    let unknown = read_with_python(python, &fleet, &ours, "pump/9.9.9.json", &fleet.path("unknown"));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("nobody signed"), "{unknown:?}");
}

#[test]
fn tough_starts_from_our_root_and_fetches_a_release() {
    let Some(reader) = judges::tough_reader() else { return };
    let fleet = server();
    let [ours, other] = roots(&fleet);
    let read = read_with_tough(reader, &fleet, &ours, "pump/1.0.0.json");
    assert_success(&read);
    assert_manifest(&read.stdout, "1.0.0");
    let read = read_with_tough(reader, &fleet, &ours, SERVER_CA);
    assert_success(&read);
    assert_eq!(read.stdout, server_ca(&fleet));

    let refused = read_with_tough(reader, &fleet, &other, "pump/1.0.0.json");
    assert!(!refused.status.success(), "a root of somebody else leads nowhere");
    let unknown = read_with_tough(reader, &fleet, &ours, "pump/9.9.9.json");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("nobody signed"), "{unknown:?}");
}

//! A device whose key is in a TPM, from its enrolment to a change of its key, with a real server and a real
//! agent.

use std::{fs, path::Path};

use rcgen::KeyPair;
use slipway_agent::{
    clock::Clock,
    keystore::{KeyStore as _, Place},
};
use slipway_tests::{
    clock::wait_for,
    drawer::{DAY, Drawer, PATIENCE, YEAR},
    swtpm::SoftTpm,
};

async fn drawer(tpm: &SoftTpm) -> Drawer {
    let by_tpm = |order: &mut slipway_agent::enroll::Enrollment| {
        order.key_store = Some("tpm".to_owned());
        order.tpm = Some(tpm.address());
    };
    Drawer::enrolled(3650, &Clock::system(), by_tpm).await
}

/// The files in and below a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.display().to_string(), fs::read(&path).expect("a file"))),
        }
    }
    found
}

/// No file of the device is of use to anybody without its TPM.
fn holds_no_private_key(drawer: &Drawer) {
    let files = files(drawer.state.path());
    assert!(files.iter().any(|(path, _)| path.ends_with("/key-tpm.pem")), "{files:?}");
    for (path, bytes) in files {
        let text = String::from_utf8_lossy(&bytes);
        assert!(KeyPair::from_pem(&text).is_err(), "{path}");
        assert!(KeyPair::try_from(bytes.as_slice()).is_err(), "{path}");
        for kind in ["BEGIN PRIVATE KEY", "BEGIN EC PRIVATE KEY", "BEGIN ENCRYPTED PRIVATE KEY"] {
            assert!(!text.contains(kind), "{path}: {kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_lives_with_its_key_in_a_tpm() {
    let tpm = SoftTpm::start();
    let mut drawer = drawer(&tpm).await;
    let public = |drawer: &Drawer| drawer.keys().load(Place::Current).expect("a key").public();
    let certificate = |drawer: &Drawer| fs::read(drawer.state.certificate()).expect("a certificate");
    let first = (public(&drawer), certificate(&drawer));
    holds_no_private_key(&drawer);

    // Over TLS with it, and again after a restart.
    for _ in 0..2 {
        drawer.world.clock.advance(DAY);
        let agent = drawer.switch_on();
        drawer.is_back().await;
        agent.switch_off().await;
    }
    assert_eq!(certificate(&drawer), first.1, "too early for another");

    // In the last half of the certificate's life: renewed over the connection that shows it.
    drawer.world.clock.advance(250 * DAY);
    let agent = drawer.switch_on();
    drawer.is_renewed().await;
    wait_for("it to be stored", PATIENCE, || async { (certificate(&drawer) != first.1).then_some(()) }).await;
    drawer.is_back().await;
    agent.switch_off().await;

    // Long after its end: by a signature of a challenge.
    drawer.world.clock.advance(8 * YEAR);
    let agent = drawer.switch_on();
    drawer.is_renewed().await;
    drawer.is_back().await;
    agent.switch_off().await;
    assert_eq!(public(&drawer), first.0, "all this time the same key");

    // And for a new key.
    drawer.changes_keys();
    drawer.world.clock.advance(250 * DAY);
    let agent = drawer.switch_on();
    wait_for("a new key", PATIENCE, || async { (public(&drawer) != first.0).then_some(()) }).await;
    drawer.world.clock.advance(DAY);
    drawer.is_back().await;
    agent.switch_off().await;
    assert!(drawer.keys().load(Place::Next).is_err() && !drawer.state.next_certificate().exists());

    holds_no_private_key(&drawer);
    assert_eq!(tpm.hold().loaded(), 0, "nothing stays in the TPM");
    drawer.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_its_tpm_goes_on_and_says_what_is_missing() {
    let mut tpm = SoftTpm::start();
    let mut drawer = drawer(&tpm).await;
    tpm.switch_off();
    let agent = drawer.switch_on();
    drawer.has_said("TPM_UNAVAILABLE").await;
    // Whoever mends the device need not start the agent again.
    tpm.switch_on();
    drawer.world.clock.advance(DAY);
    drawer.is_back().await;
    agent.switch_off().await;

    tpm.hold().clear();
    let agent = drawer.switch_on();
    drawer.has_said("TPM_KEY_LOST").await;
    agent.switch_off().await;
    assert_eq!(tpm.hold().loaded(), 0, "nothing stays in the TPM");
    drawer.world.stop().await;
}

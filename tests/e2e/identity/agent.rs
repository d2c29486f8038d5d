//! Real agents in this process, whose clocks the test sets: they renew in time, and come back when they did not.

use std::{fs, sync::Arc, time::Duration};

use slipway_agent::{certificate, clock::Clock, identity, keystore::KeyStore as _};
use slipway_proto::v1::{CheckInRequest, RenewRequest, RevokeDeviceRequest};
use slipway_server::{
    model::device::{Approval, DeviceState},
    service::archive::readings_of_device,
};
use slipway_tests::{
    clock::wait_for,
    drawer::{DAY, Drawer, PATIENCE, YEAR},
    operator::Caller,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_renews_in_the_second_half_of_its_certificate_s_life() {
    let mut drawer = Drawer::new(3650).await;
    let agent = drawer.switch_on();
    drawer.is_back().await;
    let first = drawer.files();
    // A day less than half of it, as the certificate is dated back by a day.
    drawer.world.clock.advance(181 * DAY);
    drawer.is_back().await;
    assert_eq!(drawer.files(), first, "too early");
    drawer.world.clock.advance(65 * DAY);
    drawer.is_renewed().await;
    wait_for("it to be stored", PATIENCE, || async { (drawer.files().1 != first.1).then_some(()) }).await;
    assert_eq!(drawer.files().0, first.0, "for the same key");
    drawer.is_back().await;
    assert!(drawer.acts().contains("Renew"), "{}", drawer.acts());
    agent.switch_off().await;
    drawer.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_off_for_eight_years_comes_back_by_itself() {
    let mut drawer = Drawer::new(3650).await;
    drawer.world.clock.advance(8 * YEAR);
    let agent = drawer.switch_on();
    drawer.is_back().await;
    drawer.is_renewed().await;
    agent.switch_off().await;
    // And without its certificate, though not without its key.
    fs::remove_file(drawer.state.certificate()).expect("gone");
    drawer.world.clock.advance(DAY);
    let agent = drawer.switch_on();
    drawer.is_back().await;
    let (key, wrong) = identity::load(&drawer.keys()).expect("papers");
    assert!(wrong.is_none() && key.certificate.is_some(), "{wrong:?}");
    agent.switch_off().await;
    drawer.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_told_to_changes_its_key_with_its_certificate() {
    let mut drawer = Drawer::new(3650).await;
    drawer.changes_keys();
    let first = drawer.files();
    drawer.world.clock.advance(250 * DAY);
    let agent = drawer.switch_on();
    wait_for("a new key", PATIENCE, || async { (drawer.files().0 != first.0).then_some(()) }).await;
    drawer.world.clock.advance(DAY);
    drawer.is_back().await;
    agent.switch_off().await;
    assert!(!drawer.state.next_key().exists() && !drawer.state.next_certificate().exists());
    assert!(drawer.acts().contains("ChangeKey"), "{}", drawer.acts());
    // Restored from a copy of before, it is not the device any more.
    fs::write(drawer.state.key(), &first.0).expect("a copy");
    fs::write(drawer.state.certificate(), &first.1).expect("a copy");
    let agent = drawer.switch_on();
    drawer.has_said("DEVICE_UNKNOWN").await;
    agent.switch_off().await;
    drawer.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_keys_that_was_cut_is_finished_by_the_next_start() {
    let mut drawer = Drawer::new(3650).await;
    // The power went after the server knew the new key, and before the device had the certificate for it.
    let new = drawer.keys().load_or_make_next().expect("a key");
    let new_pem = fs::read_to_string(drawer.state.next_key()).expect("a key");
    let world = &drawer.world;
    let (key, certificate) = drawer.files();
    let ca = world.read("server-ca.pem");
    let caller =
        |certificate: &str, key: &str| Caller::connect(world.port(), &ca, None, Some((certificate, key)));
    let request = RenewRequest {
        csr_der: identity::signing_request(&new, "pump-1").expect("a request"),
        ..Default::default()
    };
    let answer =
        caller(&certificate, &key).enrollment().renew(request).await.expect("a certificate").into_inner();
    // It was used as well, so that the server goes by it: the device cannot know.
    identity::store_next_certificate(&drawer.state, &answer.certificate_chain_der).expect("stored");
    let next = fs::read_to_string(drawer.state.next_certificate()).expect("stored");
    let used = caller(&next, &new_pem);
    used.device().check_in(CheckInRequest::default()).await.expect("an answer");
    fs::remove_file(drawer.state.next_certificate()).expect("gone");
    drawer.world.clock.advance(DAY);
    let agent = drawer.switch_on();
    drawer.is_back().await;
    agent.switch_off().await;
    assert_eq!(drawer.files().0, new_pem);
    assert!(!drawer.state.next_key().exists());
    drawer.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_limit_the_device_waits_for_a_yes() {
    let mut drawer = Drawer::new(30).await;
    drawer.world.clock.advance(YEAR + 32 * DAY);
    let agent = drawer.switch_on();
    drawer.is_blocked("RENEWAL_NEEDS_APPROVAL").await;
    agent.switch_off().await;
    let device = drawer.device().await.device;
    assert_eq!((device.state, device.standing.renewal), (DeviceState::Quarantined, Approval::Waiting));
    let shown = drawer.world.slipway(&["device", "show", "pump-1"]);
    assert!(shown.contains("quarantined, waits for a yes to renew its certificate"), "{shown}");
    let why = drawer.world.slipway(&["device", "explain", "pump-1"]);
    assert!(why.contains("slipway device unquarantine pump-1"), "{why}");
    drawer.world.slipway(&["device", "unquarantine", "pump-1"]);
    let agent = drawer.switch_on();
    drawer.is_back().await;
    let device = drawer.device().await.device;
    assert_eq!((device.state, device.standing.renewal), (DeviceState::Active, Approval::Free));
    let acts = drawer.acts();
    for act in ["AskRenewal", "ClearQuarantine", "Renew"] {
        assert!(acts.contains(act), "{act}: {acts}");
    }
    agent.switch_off().await;
    drawer.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_device_does_not_come_back() {
    let mut drawer = Drawer::new(3650).await;
    let revoke = RevokeDeviceRequest { name: "devices/pump-1".into(), ..Default::default() };
    drawer.world.admin().fleet().revoke_device(revoke).await.expect("revoked");
    drawer.world.clock.advance(2 * YEAR);
    let agent = drawer.switch_on();
    drawer.is_blocked("DEVICE_REVOKED").await;
    agent.switch_off().await;
    drawer.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_only_the_server_knows_to_have_ended_is_replaced() {
    let mut drawer = Drawer::new(3650).await;
    let first = drawer.files();
    drawer.world.clock.advance(375 * DAY);
    // A clock that went slow: by it the certificate holds, and it says nothing that was not proved.
    let slow = drawer.world.clock.now().before(30 * DAY);
    drawer.shows(slow.millis());
    let agent = drawer.switch_on();
    drawer.is_back().await;
    agent.switch_off().await;
    let now = drawer.files();
    assert_eq!(now.0, first.0);
    assert_ne!(now.1, first.1);
    drawer.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_whose_clock_never_ran_becomes_a_device() {
    for shown in [0, 4_102_444_800_000] {
        let mut drawer = Drawer::enrolled_by(3650, &Clock::from_source(Arc::new(move || shown))).await;
        drawer.shows(shown);
        let agent = drawer.switch_on();
        drawer.is_back().await;
        agent.switch_off().await;
        drawer.world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_53_a_clock_that_is_wrong_is_no_obstacle() {
    let mut drawer = Drawer::new(3650).await;
    // 1970, 2100, and the certificate ended while the clock stood at 1970.
    for (shown, away) in [(0, DAY), (4_102_444_800_000, DAY), (0, 370 * DAY)] {
        drawer.world.clock.advance(away);
        drawer.shows(shown);
        let agent = drawer.switch_on();
        drawer.is_back().await;
        // It jumps while the device is on, and an hour later it does not matter any more.
        drawer.shows(shown / 2);
        drawer.world.clock.advance(Duration::from_secs(3700));
        drawer.is_back().await;
        agent.switch_off().await;
        let chain = identity::read_certificates(&drawer.state.certificate()).expect("a certificate");
        let facts = certificate::read(&chain[0]).expect("facts");
        assert!(facts.holds_at(drawer.world.clock.now().millis()), "{shown}");
    }
    drawer.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_of_a_clock_that_is_days_ahead_are_neither_lost_nor_from_tomorrow() {
    let mut drawer = Drawer::new(3650).await;
    let truth = drawer.world.clock.now();
    drawer.shows(truth.after(3 * DAY).millis());
    let agent = drawer.switch_on_measuring();
    drawer.is_back().await;
    // What was read before anybody knew that the clock is wrong, too.
    let times = wait_for("readings", PATIENCE, || async {
        let ctx = &drawer.world.running.context;
        let mut readings = readings_of_device(ctx, "pump-1").await.expect("readings");
        let mut times = Vec::new();
        while let Some(page) = readings.next().await.expect("a page") {
            times.extend(page.iter().map(|row| row.time));
        }
        (!times.is_empty()).then_some(times)
    })
    .await;
    let minute = 60_000;
    let near = |time: &i64| (time - truth.millis()).abs() < 10 * minute;
    assert!(times.iter().all(near), "{times:?} around {}", truth.millis());
    agent.switch_off().await;
    drawer.world.stop().await;
}

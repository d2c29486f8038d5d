//! The three ways in which machines become devices, with the real command line and the real agent.

use std::{fs, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use slipway_proto::v1::{
    Claim, CreateClaimRequest, DeviceState, EnrollRequest, GetDeviceRequest, PreviewRolloutRequest,
    SendTelemetryRequest,
};
use slipway_tests::{
    clock::wait_for,
    desk::{HARDWARE, PRODUCT},
    member::{Member, signing_request},
    operator::Caller,
    processes::{self, attempt, run},
    proof::reason,
    world::World,
};

use crate::{
    pages,
    steps::{PATIENCE, explain, plan, reading, roll_out},
};

async fn world() -> World {
    let world = World::start_with(|config| config.check_in_interval = 1).await;
    world.init_trust();
    world
}

async fn state(world: &World, id: &str) -> DeviceState {
    let request = GetDeviceRequest { name: format!("devices/{id}") };
    world.admin().fleet().get_device(request).await.expect("the device").into_inner().state()
}

/// Runs the agent's `enroll` to its end; the error is what it said.
fn enroll(world: &World, claim: &str, machine: &str, more: &[&str]) -> Result<String, String> {
    let (claim, state) = (world.path(claim), world.path(&format!("{machine}/state")));
    let slots = world.path(&format!("{machine}/slots"));
    let mut line = vec!["enroll", "--claim", &claim, "--state", &state, "--slots", &slots];
    line.extend(["--hardware", HARDWARE]);
    line.extend(more);
    let output = tokio::task::block_in_place(|| attempt("slipway-agent", &line));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// What the command line says when it refuses.
fn refused(world: &World, arguments: &[&str]) -> String {
    let profile = world.path("server/client.toml");
    let all = [&["--profile", profile.as_str()], arguments].concat();
    let output = tokio::task::block_in_place(|| attempt("slipway", &all));
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_factory_registers_keys_and_its_machines_enrol_without_a_secret() {
    let world = world().await;
    let (file, claim) = (world.path("line.csv"), world.path("claim.json"));
    let key = |machine: &str| {
        let state = world.path(&format!("{machine}/state"));
        tokio::task::block_in_place(|| run("slipway-agent", &["key", "--state", &state]))
    };
    let first = key("one");
    assert_eq!(first, key("one"), "the key stays");
    let digest = slipway_trust::Sha256::of(&STANDARD.decode(key("two").trim()).expect("base64"));
    let header = "device_id,public_key,hardware,product,label:site";
    let text = format!(
        "{header}\npump-1,{},{HARDWARE},{PRODUCT},north\npump-2,{digest},{HARDWARE},{PRODUCT},\n",
        first.trim()
    );
    fs::write(&file, text).expect("a file");
    world.slipway(&["claim", "file", "--product", PRODUCT, "--out", &claim]);
    assert!(!fs::read_to_string(&claim).expect("a claim").contains("token"), "no secret");
    let early = enroll(&world, "claim.json", "one", &[]).expect_err("not registered");
    assert!(early.contains("KEY_NOT_REGISTERED") && early.contains("slipway device import"), "{early}");

    let json = |arguments: &[&str]| -> serde_json::Value {
        let out = world.slipway(&[&["--output", "json", "device", "import", &file], arguments].concat());
        serde_json::from_str(&out).expect("JSON")
    };
    assert_eq!(json(&["--dry-run"])["createdCount"], 2);
    assert!(!world.slipway(&["device", "list"]).contains("pump-1"), "only checked");
    assert_eq!(json(&[])["createdCount"], 2);
    assert_eq!(
        (json(&[])["createdCount"].clone(), json(&[])["unchangedCount"].clone()),
        (0.into(), 2.into())
    );
    assert_eq!(state(&world, "pump-1").await, DeviceState::Registered);

    // Its name is not said: the server knows it by the key.
    enroll(&world, "claim.json", "one", &[]).expect("a device");
    enroll(&world, "claim.json", "two", &["--device-id", "pump-2"]).expect("a device");
    enroll(&world, "claim.json", "one", &[]).expect("again, as after a power cut");
    let agent = fs::read_to_string(world.path("one/state/agent.toml")).expect("agent.toml");
    assert!(agent.contains("device_id = \"pump-1\""), "{agent}");
    let listed = world.slipway(&["device", "list", "--filter", "state = \"active\""]);
    assert!(
        listed.contains("pump-1") && listed.contains("site=north") && listed.contains("pump-2"),
        "{listed}"
    );
    let log = world.path("agent.log");
    let _agent = processes::agent(Path::new(&world.path("one/state")), Path::new(&log), &[]);
    let admin = world.admin();
    wait_for("pump-1 to call", PATIENCE, || async {
        explain(&admin, "pump-1").await.device?.components.first().map(drop)
    })
    .await;
    assert_eq!(json(&[])["unchangedCount"], 2, "a file that was imported before changes nothing");
    let audit = world.slipway(&["audit", "list"]);
    assert!(audit.contains("ImportDevices") && audit.contains("Enroll"), "{audit}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_file_is_said_with_line_and_column_and_nothing_of_it_is_registered() {
    let world = world().await;
    let file = world.path("line.csv");
    let hex = |number: usize| format!("{number:064x}");
    let header = "device_id,public_key,hardware,product";
    fs::write(&file, format!("{header}\npump-1,{},gw-a,pump\nPump,{},gw-a,pump\n", hex(1), hex(2)))
        .expect("a file");
    let said = refused(&world, &["device", "import", &file]);
    assert!(said.contains("line.csv:3:1: device_id: \"Pump\" cannot be the id of a device"), "{said}");
    // More than go into one request, and what is wrong stands in the last of them and only the server knows it.
    world.member("pump-9", &[]).await;
    let rows = (10..2_510).map(|number| format!("pump-{number},{},gw-a,pump", hex(number)));
    let mut rows: Vec<String> = rows.collect();
    rows.push(format!("pump-9,{},gw-a,pump", hex(9)));
    fs::write(&file, format!("{header}\n{}\n", rows.join("\n"))).expect("a file");
    let said = refused(&world, &["device", "import", &file]);
    assert!(said.contains("line.csv:2502:1: there is a device pump-9 with another key"), "{said}");
    assert!(said.contains("see docs/errors/DEVICE_EXISTS.md"), "{said}");
    let listed = world.slipway(&["device", "list", "--filter", "state = \"registered\""]);
    assert!(!listed.contains("pump-10"), "{listed}");
    rows.pop();
    fs::write(&file, format!("{header}\n{}\n", rows.join("\n"))).expect("a file");
    world.slipway(&["device", "import", &file]);
    assert_eq!(state(&world, "pump-2509").await, DeviceState::Registered);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_has_to_be_approved_is_offered_nothing_until_it_is() {
    let world = world().await;
    world.publish(b"version two", "2.0.0");
    let claim = world.path("claim.json");
    let mut line = vec!["claim", "create", "--product", PRODUCT, "--hardware", HARDWARE, "--uses", "2"];
    line.extend(["--approve", "--device-id-pattern", "pump-*", "--out", &claim]);
    world.slipway(&line);
    let said = enroll(&world, "claim.json", "one", &["--device-id", "valve-1"]).expect_err("another name");
    assert!(said.contains("DEVICE_ID_INVALID") && said.contains("pump-*"), "{said}");
    enroll(&world, "claim.json", "one", &["--device-id", "pump-1"]).expect("a device");
    let listed = world.slipway(&["device", "list", "--filter", "state = \"pending\""]);
    assert!(listed.contains("pump-1"), "{listed}");
    fs::write(world.path("one/slots/slot-a.img"), b"factory").expect("an image");
    // Another one by hand, beside the agent.
    let file: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&claim).expect("a claim")).expect("JSON");
    let token = file["token"].as_str().expect("a token");
    let ca = world.read("server-ca.pem");
    let mut second = Member::enroll(world.port(), &ca, token, "pump-2", HARDWARE).await.expect("a device");
    let active = world.member("pump-3", &[]).await;
    drop(active);

    let admin = world.admin();
    let matched = async || {
        let request = PreviewRolloutRequest { rollout: Some(plan("2.0.0", "")) };
        admin.rollouts().preview_rollout(request).await.expect("a preview").into_inner().matched
    };
    assert_eq!(matched().await, 1, "those who wait belong to no wave");
    let rollout = slipway_proto::v1::Rollout { standing: true, ..plan("2.0.0", "") };
    roll_out(&admin, rollout).await;
    let log = world.path("agent.log");
    let _agent = processes::agent(Path::new(&world.path("one/state")), Path::new(&log), &[]);
    second.settle().await;
    wait_for("pump-1 to call", PATIENCE, || async {
        explain(&admin, "pump-1").await.device?.components.first().map(drop)
    })
    .await;
    let why = world.slipway(&["device", "explain", "pump-1"]);
    assert!(why.contains("slipway device approve pump-1") && why.contains("DEVICE_PENDING"), "{why}");
    let answer = second.check_in().await.expect("an answer");
    assert!(answer.offer.is_none(), "nothing is offered");
    let now = world.clock.now().seconds();
    let batch = SendTelemetryRequest { sequence: 1, readings: vec![reading(now, 1.0)], ..Default::default() };
    let refused = second.caller.device().send_telemetry(batch.clone()).await.expect_err("no readings");
    assert_eq!(reason(&refused), "DEVICE_PENDING");
    assert!(explain(&admin, "pump-1").await.updates.is_empty());

    world.slipway(&["device", "approve", "pump-1", "pump-2"]);
    assert_eq!(state(&world, "pump-1").await, DeviceState::Active);
    wait_for("pump-1 to be updated", PATIENCE, || async {
        let device = explain(&admin, "pump-1").await.device?;
        device.components.first().filter(|runs| runs.version == "2.0.0").map(drop)
    })
    .await;
    assert!(second.check_in().await.expect("an answer").offer.is_some(), "its turn");
    second.caller.device().send_telemetry(batch).await.expect("its readings");
    assert!(world.slipway(&["audit", "list"]).contains("ApproveDevice"));
    world.stop().await;
}

/// Writes a manufacturer's authority, and a machine's certificate and key, into the folder of `world`.
fn acme(world: &World, serial: &str) {
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let authority = |name: &str| {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    };
    let keys = [(); 3].map(|()| KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key"));
    let [root_key, line_key, key] = keys;
    let root = authority("ACME devices");
    let root_pem = root.self_signed(&root_key).expect("a certificate").pem();
    let root = Issuer::new(root, root_key);
    let line = authority("ACME line 3");
    let line_pem = line.signed_by(&line_key, &root).expect("a certificate").pem();
    let mut machine = named("ACME gateway");
    machine.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), serial);
    let pem = machine.signed_by(&key, &Issuer::new(line, line_key)).expect("a certificate").pem();
    for (name, text) in
        [("acme-ca.pem", root_pem), ("idevid.pem", pem + &line_pem), ("idevid-key.pem", key.serialize_pem())]
    {
        fs::write(world.path(name), text).expect("a file");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_enrols_with_the_certificate_of_its_manufacturer() {
    let world = world().await;
    acme(&world, "SN-0017");
    let (ca, claim) = (world.path("acme-ca.pem"), world.path("claim.json"));
    let (certificate, key) = (world.path("idevid.pem"), world.path("idevid-key.pem"));
    let with = ["--manufacturer-cert", certificate.as_str(), "--manufacturer-key", key.as_str()];
    world.slipway(&["claim", "file", "--product", PRODUCT, "--out", &claim]);
    let said = enroll(&world, "claim.json", "one", &with).expect_err("nobody knows the manufacturer");
    assert!(said.contains("MANUFACTURER_REFUSED"), "{said}");
    let said =
        refused(&world, &["authority", "import", &certificate, "--name", "acme", "--product", PRODUCT]);
    assert!(said.contains("holds 2 certificates"), "{said}");
    let import = ["authority", "import", &ca, "--name", "acme", "--product", PRODUCT, "--hardware", HARDWARE];
    world.slipway(&import);
    world.slipway(&import);
    let listed = world.slipway(&["authority", "list"]);
    assert!(listed.contains("acme") && listed.contains("CN=ACME devices"), "{listed}");
    // The key of another machine does not open the door.
    let thief = world.path("thief.pem");
    fs::write(&thief, KeyPair::generate().expect("a key").serialize_pem()).expect("a file");
    let forged = ["--manufacturer-cert", certificate.as_str(), "--manufacturer-key", thief.as_str()];
    let said = enroll(&world, "claim.json", "one", &forged).expect_err("another key");
    assert!(said.contains("MANUFACTURER_REFUSED"), "{said}");

    enroll(&world, "claim.json", "one", &with).expect("a device");
    enroll(&world, "claim.json", "one", &with).expect("again, as after a power cut");
    let shown = world.slipway(&["device", "show", "sn-0017"]);
    assert!(shown.contains("by authorities/acme") && shown.contains("active"), "{shown}");
    let held = fs::read_to_string(world.path("one/state/certificate.pem")).expect("a certificate");
    assert!(!fs::read_to_string(&certificate).expect("a file").contains(&held), "it has ours now");
    let said = enroll(&world, "claim.json", "two", &with).expect_err("one certificate is one device");
    assert!(said.contains("DEVICE_EXISTS"), "{said}");
    world.slipway(&["authority", "remove", "acme"]);
    assert_eq!(state(&world, "sn-0017").await, DeviceState::Active, "it stays");
    let said = enroll(&world, "claim.json", "one", &with).expect_err("removed");
    assert!(said.contains("MANUFACTURER_REFUSED"), "{said}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_65_a_claim_that_is_used_expired_for_another_product_or_guessed() {
    let world = world().await;
    let ca = world.read("server-ca.pem");
    let from = |last: u8| Caller::connect_from(Some([127, 0, 0, last].into()), world.port(), &ca, None, None);
    let ask = async |caller: &Caller, claim: &str, id: &str, product: &str| {
        let request = EnrollRequest {
            claim_token: claim.to_owned(),
            device_id: id.to_owned(),
            csr_der: signing_request(id).0,
            hardware: HARDWARE.to_owned(),
            product: product.to_owned(),
            ..EnrollRequest::default()
        };
        caller.enrollment().enroll(request).await.map(drop).map_err(|status| reason(&status))
    };
    let (here, elsewhere) = (from(1), from(2));
    let once = world.claim(1, &[]).await;
    assert_eq!(ask(&here, &once, "pump-1", "valve").await, Err("PRODUCT_MISMATCH".into()), "another product");
    assert_eq!(ask(&here, &once, "pump-1", PRODUCT).await, Ok(()), "and nothing was spent");
    assert_eq!(ask(&here, &once, "pump-2", PRODUCT).await, Err("CLAIM_USED".into()));

    let claim = Claim {
        product: PRODUCT.to_owned(),
        hardware: vec![HARDWARE.to_owned()],
        uses: 9,
        ..Claim::default()
    };
    let ttl = prost_types::Duration { seconds: 60, nanos: 0 };
    let request = CreateClaimRequest { claim: Some(claim), ttl: Some(ttl), ..CreateClaimRequest::default() };
    let short = world.admin().fleet().create_claim(request).await.expect("a claim").into_inner().token;
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(ask(&here, &short, "pump-2", "").await, Err("CLAIM_EXPIRED".into()));

    let good = world.claim(9, &[]).await;
    // One digit is another; and what is no claim at all.
    let last = if good.ends_with('0') { "1" } else { "0" };
    let near = format!("{}{last}", &good[..good.len() - 1]);
    let mut said = Vec::new();
    for number in 0..100 {
        let guess = if number % 2 == 0 { near.as_str() } else { "slipclaim_0_0" };
        said.push(ask(&here, guess, "pump-3", "").await.expect_err("a guess"));
        if said.last().is_some_and(|code| code == "RATE_LIMITED") {
            break;
        }
    }
    assert_eq!(said.pop().as_deref(), Some("RATE_LIMITED"), "an end is put to it");
    assert!(said.iter().all(|code| code == "CLAIM_UNKNOWN"), "{said:?}");
    assert_eq!(ask(&here, &good, "pump-3", "").await, Err("RATE_LIMITED".into()), "and a hit is not told");
    assert_eq!(ask(&elsewhere, &good, "pump-3", "").await, Ok(()), "others are let alone");
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(ask(&here, &good, "pump-4", "").await, Ok(()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_page_on_enrolment_works() {
    let world = world().await;
    acme(&world, "SN-0017");
    pages::run(&world, "enrolment.md", 12);
    for id in ["pump-1", "pump-2", "sn-0017"] {
        assert_eq!(state(&world, id).await, DeviceState::Active, "{id}");
    }
    world.stop().await;
}

//! What a right admits, and that a cut between spending and storing costs nobody a use.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::*;
use crate::{
    model::{claim::Claim, enrolment::Registration, token},
    service::{
        claims::{self, NewClaim},
        devices,
        fake_trust::Publisher,
        registrations::{self, Imported},
        testing::TestContext,
    },
    store::{audit::audit_page, claims::claim_get},
};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn csr(pair: &KeyPair, name: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(pair).unwrap().der().to_vec()
}

async fn claim(ctx: &Context, uses: u32) -> (Claim, String) {
    let new = NewClaim { product: "pump".into(), hardware: vec!["gw-a".into()], uses, ..NewClaim::default() };
    claims::create(ctx, "tokens/a", new).await.unwrap()
}

async fn ready() -> TestContext {
    let ctx = Context::for_test().await;
    Publisher::initialize(&ctx).await;
    ctx
}

fn asking(claim: &str, pair: &KeyPair, device_id: &str) -> Enrollment {
    Enrollment {
        right: Right::Claim(claim.to_owned()),
        product: String::new(),
        device_id: device_id.to_owned(),
        csr: csr(pair, device_id),
        hardware: "gw-a".to_owned(),
        attributes: BTreeMap::new(),
    }
}

async fn reason(ctx: &Context, asked: &Enrollment) -> Option<Reason> {
    match enroll(ctx, asked, HERE).await {
        Ok(_) => None,
        Err(Error::Refused(refusal)) => Some(refusal.reason),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_call_is_not_repeated_more_often_than_a_certificate_is_renewed() {
    let ctx = ready().await;
    let (_, text) = claim(&ctx, 1).await;
    let pair = KeyPair::generate().unwrap();
    let asked = asking(&text, &pair, "pump-1");
    for _ in 0..=limits::RENEWALS {
        assert_eq!(reason(&ctx, &asked).await, None);
    }
    assert_eq!(reason(&ctx, &asked).await, Some(Reason::RateLimited));
}

#[tokio::test]
async fn a_repeated_call_spends_one_use() {
    let ctx = ready().await;
    let (made, text) = claim(&ctx, 1).await;
    let pair = KeyPair::generate().unwrap();
    let asked = asking(&text, &pair, "pump-1");
    let first = enroll(&ctx, &asked, HERE).await.unwrap();
    let second = enroll(&ctx, &asked, HERE).await.unwrap();
    assert_eq!(first.device.spki_sha256, second.device.spki_sha256);
    assert_ne!(first.certificate.serial, second.certificate.serial);
    let mut tx = ctx.db.read().await.unwrap();
    assert_eq!(claim_get(&mut tx, &made.id).await.unwrap().unwrap().used, 1);
    drop(tx);
    let entry = ctx.devices.find(&ctx, &first.device.spki_sha256).await.unwrap();
    assert_eq!(entry.unwrap().id(), "pump-1");
    let other = KeyPair::generate().unwrap();
    assert_eq!(reason(&ctx, &asking(&text, &other, "pump-2")).await, Some(Reason::ClaimUsed));
}

#[tokio::test]
async fn ids_and_keys_are_taken_once() {
    let ctx = ready().await;
    let (_, text) = claim(&ctx, 10).await;
    let (_, other_text) = claim(&ctx, 10).await;
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    assert_eq!(reason(&ctx, &asking(&text, &pair, "pump-1")).await, None);
    assert_eq!(reason(&ctx, &asking(&text, &other, "pump-1")).await, Some(Reason::DeviceExists), "other key");
    assert_eq!(
        reason(&ctx, &asking(&other_text, &pair, "pump-1")).await,
        Some(Reason::DeviceExists),
        "other claim"
    );
    assert_eq!(reason(&ctx, &asking(&text, &pair, "pump-2")).await, Some(Reason::DeviceExists), "same key");
}

#[tokio::test]
async fn a_taken_id_and_a_taken_key_are_told_apart() {
    let ctx = ready().await;
    let (_, text) = claim(&ctx, 10).await;
    let (_, other_text) = claim(&ctx, 10).await;
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    enroll(&ctx, &asking(&text, &pair, "pump-1"), HERE).await.unwrap();
    for (asked, expected) in [
        (asking(&text, &other, "pump-1"), "there is a device pump-1 with another key"),
        (asking(&other_text, &pair, "pump-1"), "the device pump-1 enrolled by another right"),
        (asking(&text, &pair, "pump-6"), "this key belongs to another device"),
    ] {
        let Err(Error::Refused(refusal)) = enroll(&ctx, &asked, HERE).await else { panic!("{expected}") };
        assert_eq!((refusal.reason, refusal.message.as_str()), (Reason::DeviceExists, expected));
    }
}

#[tokio::test]
async fn what_is_refused() {
    let ctx = ready().await;
    let (_, text) = claim(&ctx, 10).await;
    let pair = KeyPair::generate().unwrap();
    let good = asking(&text, &pair, "pump-1");
    let forged = token::claim_text("0000", &[1; token::SECRET_BYTES]);
    let many = (0..65).map(|n| (n.to_string(), String::new())).collect();
    for (asked, expected) in [
        (Enrollment { right: Right::Claim(forged), ..good.clone() }, Reason::ClaimUnknown),
        (Enrollment { right: Right::Claim("hello".into()), ..good.clone() }, Reason::ClaimUnknown),
        (Enrollment { device_id: String::new(), ..good.clone() }, Reason::DeviceIdInvalid),
        (Enrollment { product: "valve".into(), ..good.clone() }, Reason::ProductMismatch),
        (Enrollment { right: Right::Key, ..good.clone() }, Reason::KeyNotRegistered),
        (Enrollment { device_id: "Pump".into(), ..good.clone() }, Reason::DeviceIdInvalid),
        (Enrollment { device_id: "pump-2".into(), ..good.clone() }, Reason::CsrForAnotherId),
        (Enrollment { csr: b"x".to_vec(), ..good.clone() }, Reason::CsrInvalid),
        (Enrollment { csr: vec![0; limits::CSR + 1], ..good.clone() }, Reason::CsrInvalid),
        (Enrollment { hardware: "gw-b".into(), ..good.clone() }, Reason::HardwareUnknown),
        (Enrollment { attributes: many, ..good.clone() }, Reason::InventoryTooLarge),
    ] {
        assert_eq!(reason(&ctx, &asked).await, Some(expected), "{asked:?}");
    }
    ctx.clock.advance(limits::CLAIM_LIFE);
    assert_eq!(reason(&ctx, &good).await, Some(Reason::ClaimExpired));
}

#[tokio::test]
async fn nobody_enrols_before_there_is_a_root() {
    let ctx = Context::for_test().await;
    let (_, text) = claim(&ctx, 1).await;
    let pair = KeyPair::generate().unwrap();
    assert_eq!(reason(&ctx, &asking(&text, &pair, "pump-1")).await, Some(Reason::TrustNotInitialized));
}

fn registration(id: &str, pair: &KeyPair) -> Registration {
    use rcgen::PublicKeyData as _;
    Registration {
        device_id: id.to_owned(),
        key: slipway_trust::Sha256::of(&pair.subject_public_key_info()),
        product: "pump".to_owned(),
        hardware: "gw-a".to_owned(),
        labels: [("site".to_owned(), "north".to_owned())].into(),
    }
}

async fn state(ctx: &Context, id: &str) -> DeviceState {
    devices::get(ctx, id).await.unwrap().device.state
}

#[tokio::test]
async fn a_registered_key_needs_nothing_else() {
    let ctx = ready().await;
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let file = [registration("pump-1", &pair), registration("pump-2", &other)];
    let created = Imported { created: 2, ..Imported::default() };
    assert_eq!(registrations::import(&ctx, "t", &file, true).await.unwrap(), created);
    assert!(devices::get(&ctx, "pump-1").await.is_err(), "only checked");
    assert_eq!(registrations::import(&ctx, "t", &file, false).await.unwrap(), created);
    assert_eq!(state(&ctx, "pump-1").await, DeviceState::Registered);
    let asked = |id: &str, pair: &KeyPair| Enrollment { right: Right::Key, ..asking("", pair, id) };
    for (bad, expected) in [
        (asked("pump-2", &pair), Reason::DeviceIdInvalid),
        (asked("pump-1", &KeyPair::generate().unwrap()), Reason::KeyNotRegistered),
        (Enrollment { hardware: "gw-b".into(), ..asked("pump-1", &pair) }, Reason::HardwareUnknown),
        (Enrollment { product: "valve".into(), ..asked("pump-1", &pair) }, Reason::ProductMismatch),
    ] {
        assert_eq!(reason(&ctx, &bad).await, Some(expected), "{bad:?}");
    }
    assert_eq!(state(&ctx, "pump-1").await, DeviceState::Registered, "nothing was spent");
    // Its id is not said: the server knows it.
    let enrolled = enroll(&ctx, &asked("", &pair), HERE).await.unwrap();
    assert_eq!((enrolled.device.id.as_str(), enrolled.device.state), ("pump-1", DeviceState::Active));
    assert_eq!(enrolled.device.labels["site"], "north");
    let again = enroll(&ctx, &asked("pump-1", &pair), HERE).await.unwrap();
    assert_ne!(enrolled.certificate.serial, again.certificate.serial, "a repeated call");
    let unchanged = Imported { unchanged: 2, ..Imported::default() };
    assert_eq!(registrations::import(&ctx, "t", &file, false).await.unwrap(), unchanged);
    devices::revoke(&ctx, "t", "pump-2", "lost on the way").await.unwrap();
    assert_eq!(reason(&ctx, &asked("", &other)).await, Some(Reason::DeviceRevoked));
}

#[tokio::test]
async fn a_registered_id_is_nobody_else_s() {
    let ctx = ready().await;
    let (_, text) = claim(&ctx, 1).await;
    let (pair, thief) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    registrations::import(&ctx, "t", &[registration("pump-1", &pair)], false).await.unwrap();
    assert_eq!(reason(&ctx, &asking(&text, &thief, "pump-1")).await, Some(Reason::DeviceExists));
    // With the key it is the device, and the claim keeps its use.
    assert_eq!(reason(&ctx, &asking(&text, &pair, "pump-1")).await, None);
    assert_eq!(reason(&ctx, &asking(&text, &thief, "pump-2")).await, None);
}

async fn import(ctx: &Context, line: &Registration) -> Result<Imported> {
    let line = std::slice::from_ref(line);
    let checked = registrations::import(ctx, "t", line, true).await;
    let imported = registrations::import(ctx, "t", line, false).await;
    assert_eq!(checked.as_ref().ok(), imported.as_ref().ok(), "a check says what would be");
    imported
}

async fn import_refused(ctx: &Context, line: &Registration) -> (String, String) {
    match import(ctx, line).await {
        Err(Error::Refused(refusal)) if refusal.reason == Reason::DeviceExists => {
            (refusal.message, refusal.hint)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_line_is_corrected_until_the_machine_enrols() {
    let ctx = ready().await;
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let right = registration("pump-1", &pair);
    let wrong = Registration {
        product: "valve".into(),
        hardware: "gw-x".into(),
        labels: [("sight".to_owned(), "north".to_owned())].into(),
        ..right.clone()
    };
    import(&ctx, &wrong).await.unwrap();
    let bad = Registration { key: right.key, ..registration("pump-2", &other) };
    assert!(registrations::import(&ctx, "t", &[right.clone(), bad], false).await.is_err());
    assert_eq!(devices::get(&ctx, "pump-1").await.unwrap().device.hardware, "gw-x", "all or nothing");

    ctx.clock.advance(Duration::from_secs(60));
    let corrected = Imported { corrected: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &right).await.unwrap(), corrected);
    let device = devices::get(&ctx, "pump-1").await.unwrap().device;
    assert_eq!((device.product.as_str(), device.hardware.as_str()), ("pump", "gw-a"));
    assert_eq!(device.labels, right.labels);
    let unchanged = Imported { unchanged: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &right).await.unwrap(), unchanged);
    assert_eq!(devices::get(&ctx, "pump-1").await.unwrap().device.generation, device.generation);
    let mut tx = ctx.db.read().await.unwrap();
    let audit = audit_page(&mut tx, 0, 10).await.unwrap();
    drop(tx);
    let entries: Vec<_> = audit.iter().filter(|entry| entry.action == "ImportDevices").collect();
    assert_eq!(entries.len(), 2, "{entries:?}");
    let said = entries.iter().find(|entry| entry.resource == "devices/pump-1").unwrap();
    assert!(said.detail.contains("gw-a") && said.detail.contains("gw-x"), "{said:?}");

    // Labels that an operator gave it since are the operator's.
    ctx.clock.advance(Duration::from_secs(60));
    let site = devices::LabelChange::Some(vec![("site".to_owned(), Some("south".to_owned()))]);
    devices::set_labels(&ctx, "t", "pump-1", &site, "").await.unwrap();
    assert_eq!(import(&ctx, &right).await.unwrap(), unchanged);
    assert_eq!(import(&ctx, &wrong).await.unwrap(), corrected);
    assert_eq!(import(&ctx, &right).await.unwrap(), corrected);
    assert_eq!(devices::get(&ctx, "pump-1").await.unwrap().device.labels["site"], "south");

    let asked = Enrollment { right: Right::Key, ..asking("", &pair, "pump-1") };
    enroll(&ctx, &asked, HERE).await.unwrap();
    assert_eq!(import(&ctx, &right).await.unwrap(), unchanged);
    let (said, hint) = import_refused(&ctx, &wrong).await;
    assert!(said.contains("pump-1 with another product") && said.contains("has enrolled"), "{said}");
    assert!(hint.contains("nothing was registered"), "{hint}");
    devices::revoke(&ctx, "t", "pump-1", "stolen").await.unwrap();
    let revoked = Imported { unchanged: 1, revoked: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &right).await.unwrap(), revoked, "the growing file of a line goes on");
    let (said, hint) = import_refused(&ctx, &wrong).await;
    assert!(said.contains("pump-1") && said.contains("revoked"), "{said}");
    assert!(hint.contains("new id"), "{hint}");
}

#[tokio::test]
async fn a_machine_that_was_revoked_before_it_enrolled_is_registered_anew_by_another_line() {
    let ctx = ready().await;
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let right = registration("pump-1", &pair);
    let wrong = Registration { hardware: "gw-x".into(), ..right.clone() };
    import(&ctx, &wrong).await.unwrap();
    let (said, hint) = import_refused(&ctx, &registration("pump-1", &other)).await;
    assert!(said.contains("pump-1 with another key"), "{said}");
    assert!(hint.contains("slipway device revoke pump-1"), "{hint}");
    devices::revoke(&ctx, "t", "pump-1", "a typo").await.unwrap();
    let revoked = Imported { unchanged: 1, revoked: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &wrong).await.unwrap(), revoked, "the same line again undoes no revoke");
    assert_eq!(state(&ctx, "pump-1").await, DeviceState::Revoked);
    let created = Imported { created: 1, ..Imported::default() };
    assert_eq!(import(&ctx, &right).await.unwrap(), created, "the same key");
    assert_eq!(state(&ctx, "pump-1").await, DeviceState::Registered);

    devices::revoke(&ctx, "t", "pump-1", "another board").await.unwrap();
    assert_eq!(import(&ctx, &registration("pump-1", &other)).await.unwrap(), created, "another key");
    let asked = |pair: &KeyPair| Enrollment { right: Right::Key, ..asking("", pair, "pump-1") };
    assert_eq!(reason(&ctx, &asked(&pair)).await, Some(Reason::KeyNotRegistered), "the key of before");
    let device = enroll(&ctx, &asked(&other), HERE).await.unwrap().device;
    assert_eq!((device.state, device.enrolled_by), (DeviceState::Active, registration("", &other).right()));
}

#[tokio::test]
async fn what_cannot_be_registered() {
    let ctx = ready().await;
    let (pair, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let good = registration("pump-1", &pair);
    import(&ctx, &good).await.unwrap();
    let refusal = async |file: &[Registration]| match registrations::import(&ctx, "t", file, false).await {
        Err(Error::Refused(refusal)) => (refusal.reason, refusal.field.unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    let (fresh, third) = (registration("pump-2", &other), slipway_trust::Sha256::of(b"a third key"));
    for (bad, reason, field) in [
        (Registration { device_id: "pump-3".into(), ..good.clone() }, Reason::DeviceExists, ""),
        (Registration { key: third, ..good.clone() }, Reason::DeviceExists, ""),
        (
            Registration { device_id: "Pump".into(), ..good.clone() },
            Reason::RegistrationInvalid,
            ".device_id",
        ),
        (Registration { product: "root".into(), ..good.clone() }, Reason::RegistrationInvalid, ".product"),
        (Registration { hardware: "a b".into(), ..good.clone() }, Reason::RegistrationInvalid, ".hardware"),
        (Registration { key: fresh.key, ..good.clone() }, Reason::RegistrationInvalid, ".key"),
        (fresh.clone(), Reason::RegistrationInvalid, ".device_id"),
    ] {
        let expected = (reason, format!("registrations[1]{field}"));
        assert_eq!(refusal(&[fresh.clone(), bad.clone()]).await, expected, "{bad:?}");
        assert!(devices::get(&ctx, "pump-2").await.is_err(), "all or nothing");
    }
    assert_eq!(refusal(&[]).await.0, Reason::RegistrationInvalid);
}

#[tokio::test]
async fn who_guesses_has_to_wait_whatever_he_shows_next() {
    let ctx = ready().await;
    let (_, text) = claim(&ctx, 10).await;
    let pair = KeyPair::generate().unwrap();
    let good = asking(&text, &pair, "pump-1");
    let forged = token::claim_text("0000", &[1; token::SECRET_BYTES]);
    let bad = Enrollment { right: Right::Claim(forged), ..good.clone() };
    for _ in 0..limits::GUESSES {
        assert_eq!(reason(&ctx, &bad).await, Some(Reason::ClaimUnknown));
    }
    assert_eq!(reason(&ctx, &good).await, Some(Reason::RateLimited));
    let elsewhere = IpAddr::from([192, 0, 2, 1]);
    enroll(&ctx, &good, elsewhere).await.unwrap();
    ctx.clock.advance(limits::GUESSES_WITHIN);
    assert_eq!(reason(&ctx, &good).await, None);
}

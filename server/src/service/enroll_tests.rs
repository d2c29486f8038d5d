//! What a right admits, and that a cut between spending and storing costs nobody a use.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::*;
use crate::{
    model::{claim::Claim, token},
    service::{
        claims::{self, NewClaim},
        fake_trust::Publisher,
        testing::TestContext,
    },
    store::claims::claim_get,
};

#[path = "registrations_tests.rs"]
mod registrations_tests;

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

//! Enrolment by a manufacturer's certificate: whom it admits, once.

use std::{collections::BTreeMap, net::IpAddr};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SigningKey as _, date_time_ymd,
};

use super::*;
use crate::{
    model::device::DeviceState,
    proof::enrolment_message,
    service::{
        Error, devices,
        enroll::{Enrolled, Enrollment, Right, Shown, enroll},
        fake_trust::Publisher,
        renew::challenge,
        testing::TestContext,
    },
};

/// A manufacturer, and a machine of his.
struct Acme {
    ca: Vec<u8>,
    leaf: Vec<u8>,
    key: KeyPair,
}

fn acme(serial: &str) -> Acme {
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        params
    };
    let mut ca = params("ACME");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let der = ca.self_signed(&ca_key).unwrap().der().to_vec();
    let leaf = params(serial).signed_by(&key, &Issuer::new(ca, ca_key)).unwrap().der().to_vec();
    Acme { ca: der, leaf, key }
}

fn authority(id: &str, acme: &Acme) -> Authority {
    Authority {
        id: id.to_owned(),
        certificate: acme.ca.clone(),
        product: "pump".to_owned(),
        hardware: vec!["gw-a".to_owned()],
        labels: [("maker".to_owned(), "acme".to_owned())].into(),
        approve: false,
        created_at: Timestamp::from_seconds(0),
        created_by: String::new(),
    }
}

async fn ready() -> TestContext {
    let ctx = Context::for_test().await;
    Publisher::initialize(&ctx).await;
    ctx
}

/// What the machine sends for this challenge, its own key being `pair`.
fn asking(ctx: &Context, acme: &Acme, pair: &KeyPair, nonce: Vec<u8>) -> Enrollment {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "");
    let csr = params.serialize_request(pair).unwrap().der().to_vec();
    let server = ctx.pki.server_ids().first().copied().unwrap();
    let signature = acme.key.sign(&enrolment_message(&server, &nonce, &csr)).unwrap();
    Enrollment {
        right: Right::Manufacturer(Shown { chain: vec![acme.leaf.clone()], nonce, signature }),
        device_id: String::new(),
        csr,
        hardware: "gw-a".to_owned(),
        product: String::new(),
        attributes: BTreeMap::new(),
    }
}

async fn ask(ctx: &Context, asked: &Enrollment) -> std::result::Result<Enrolled, Reason> {
    match enroll(ctx, asked, IpAddr::from([127, 0, 0, 1])).await {
        Ok(enrolled) => Ok(enrolled),
        Err(Error::Refused(refusal)) => Err(refusal.reason),
        Err(other) => panic!("{other}"),
    }
}

async fn nonce(ctx: &Context, id: &str) -> Vec<u8> {
    challenge(ctx, id).await.unwrap().0
}

#[tokio::test]
async fn a_machine_of_a_known_manufacturer_enrols_under_its_serial_number() {
    let ctx = ready().await;
    let (acme, pair) = (acme("SN-17"), KeyPair::generate().unwrap());
    let asked = asking(&ctx, &acme, &pair, nonce(&ctx, "sn-17").await);
    assert_eq!(ask(&ctx, &asked).await.unwrap_err(), Reason::ManufacturerRefused, "nobody knows him yet");
    let made = create(&ctx, "tokens/a", authority("acme", &acme)).await.unwrap();
    assert_eq!(create(&ctx, "tokens/b", authority("acme", &acme)).await.unwrap(), made, "once");
    let device = ask(&ctx, &asked).await.unwrap().device;
    assert_eq!((device.id.as_str(), device.enrolled_by.as_str()), ("sn-17", "authorities/acme"));
    assert_eq!((device.state, device.labels["maker"].as_str()), (DeviceState::Active, "acme"));
    assert_eq!(ask(&ctx, &asked).await.unwrap_err(), Reason::ManufacturerRefused, "replayed");
    let again = asking(&ctx, &acme, &pair, nonce(&ctx, "sn-17").await);
    assert_eq!(ask(&ctx, &again).await.unwrap().device.id, "sn-17", "a repeated call with a new challenge");
    let other = KeyPair::generate().unwrap();
    let second = asking(&ctx, &acme, &other, nonce(&ctx, "sn-17").await);
    assert_eq!(ask(&ctx, &second).await.unwrap_err(), Reason::DeviceExists, "one certificate is one device");
    delete(&ctx, "tokens/a", "acme").await.unwrap();
    let late = asking(&ctx, &acme, &pair, nonce(&ctx, "sn-17").await);
    assert_eq!(ask(&ctx, &late).await.unwrap_err(), Reason::ManufacturerRefused, "removed");
    assert_eq!(devices::get(&ctx, "sn-17").await.unwrap().device.state, DeviceState::Active, "it stays");
}

#[tokio::test]
async fn what_does_not_prove_the_manufacturer_s_key() {
    let ctx = ready().await;
    let (acme, thief, pair) = (acme("sn-17"), acme("sn-18"), KeyPair::generate().unwrap());
    create(&ctx, "t", authority("acme", &acme)).await.unwrap();
    let good = asking(&ctx, &acme, &pair, nonce(&ctx, "sn-17").await);
    let changed = |change: &dyn Fn(&mut Shown)| {
        let mut asked = good.clone();
        if let Right::Manufacturer(shown) = &mut asked.right {
            change(shown);
        }
        asked
    };
    let other_key = KeyPair::generate().unwrap();
    let other_csr = asking(&ctx, &acme, &other_key, Vec::new()).csr;
    let elsewhere = nonce(&ctx, "sn-18").await;
    for (what, asked) in [
        ("another machine's challenge", asking(&ctx, &acme, &pair, elsewhere)),
        ("no challenge", asking(&ctx, &acme, &pair, Vec::new())),
        ("no signature", changed(&|shown| shown.signature.clear())),
        ("another signature", changed(&|shown| shown.signature = thief.key.sign(b"x").unwrap())),
        ("another request", Enrollment { csr: other_csr, ..good.clone() }),
        ("no certificate", changed(&|shown| shown.chain.clear())),
        ("too many", changed(&|shown| shown.chain = vec![acme.leaf.clone(); 9])),
        ("another's certificate", changed(&|shown| shown.chain = vec![thief.leaf.clone()])),
        ("a manufacturer nobody knows", asking(&ctx, &thief, &pair, nonce(&ctx, "sn-18").await)),
    ] {
        assert_eq!(ask(&ctx, &asked).await.unwrap_err(), Reason::ManufacturerRefused, "{what}");
    }
    let named = Enrollment { device_id: "sn-99".into(), ..good.clone() };
    assert_eq!(ask(&ctx, &named).await.unwrap_err(), Reason::DeviceIdInvalid, "another id than it says");
    let hardware = Enrollment { hardware: "gw-b".into(), ..good.clone() };
    assert_eq!(ask(&ctx, &hardware).await.unwrap_err(), Reason::HardwareUnknown);
    let product = Enrollment { product: "valve".into(), ..good.clone() };
    assert_eq!(ask(&ctx, &product).await.unwrap_err(), Reason::ProductMismatch);
    ctx.clock.advance(crate::limits::CHALLENGE);
    assert_eq!(ask(&ctx, &good).await.unwrap_err(), Reason::ManufacturerRefused, "too late");
}

#[tokio::test]
async fn devices_that_have_to_be_approved_wait() {
    let ctx = ready().await;
    let (acme, pair) = (acme("sn-17"), KeyPair::generate().unwrap());
    create(&ctx, "t", Authority { approve: true, ..authority("acme", &acme) }).await.unwrap();
    let asked = asking(&ctx, &acme, &pair, nonce(&ctx, "sn-17").await);
    let pending = ask(&ctx, &asked).await.unwrap().device;
    assert_eq!(pending.state, DeviceState::Pending);
    let stale = devices::approve(&ctx, "t", "sn-17", "0").await.unwrap_err();
    assert!(stale.to_string().contains("ETAG_MISMATCH"), "{stale}");
    let approved = devices::approve(&ctx, "t", "sn-17", &pending.etag()).await.unwrap().device;
    assert_eq!(approved.state, DeviceState::Active);
    assert_eq!(devices::approve(&ctx, "t", "sn-17", "").await.unwrap().device, approved, "once");
    devices::revoke(&ctx, "t", "sn-17", "").await.unwrap();
    let refused = devices::approve(&ctx, "t", "sn-17", "").await.unwrap_err();
    assert!(refused.to_string().contains("DEVICE_STATE"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_an_authority() {
    let ctx = ready().await;
    let (acme, other) = (acme("sn-17"), acme("sn-18"));
    let good = authority("acme", &acme);
    create(&ctx, "t", good.clone()).await.unwrap();
    for (bad, expected) in [
        (Authority { id: "Acme".into(), ..good.clone() }, Reason::AuthorityInvalid),
        (Authority { product: "root".into(), ..good.clone() }, Reason::AuthorityInvalid),
        (Authority { hardware: vec!["a b".into()], ..good.clone() }, Reason::AuthorityInvalid),
        (Authority { hardware: vec!["a".into(); 33], ..good.clone() }, Reason::AuthorityInvalid),
        (Authority { certificate: acme.leaf.clone(), ..good.clone() }, Reason::AuthorityInvalid),
        (
            Authority { labels: [("a b".to_owned(), "x".to_owned())].into(), ..good.clone() },
            Reason::LabelInvalid,
        ),
        (Authority { certificate: other.ca.clone(), ..good.clone() }, Reason::AuthorityExists),
        (Authority { id: "acme-2".into(), ..good.clone() }, Reason::AuthorityExists),
    ] {
        match create(&ctx, "t", bad.clone()).await {
            Err(Error::Refused(refusal)) => {
                assert_eq!(refusal.reason, expected, "{bad:?}");
                if bad.id == "acme-2" {
                    assert!(refusal.message.ends_with("under the name acme"), "{refusal:?}");
                    assert!(!refusal.hint.contains("another name"), "it would not help: {refusal:?}");
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        delete(&ctx, "t", "nobody").await.unwrap_err().to_string(),
        "there is no authority nobody (AUTHORITY_NOT_FOUND)"
    );
}

#[tokio::test]
async fn certificates_that_lead_to_nobody_count_as_guesses_do() {
    let ctx = ready().await;
    let (known, stranger, pair) = (acme("sn-17"), acme("sn-18"), KeyPair::generate().unwrap());
    create(&ctx, "t", authority("acme", &known)).await.unwrap();
    let bad = asking(&ctx, &stranger, &pair, nonce(&ctx, "sn-18").await);
    for _ in 0..crate::limits::GUESSES {
        assert_eq!(ask(&ctx, &bad).await.unwrap_err(), Reason::ManufacturerRefused);
    }
    let good = asking(&ctx, &known, &pair, nonce(&ctx, "sn-17").await);
    for asked in [&bad, &good] {
        assert_eq!(ask(&ctx, asked).await.unwrap_err(), Reason::RateLimited);
    }
    enroll(&ctx, &good, IpAddr::from([192, 0, 2, 1])).await.unwrap();
}

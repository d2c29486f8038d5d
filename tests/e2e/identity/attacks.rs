//! What is refused, whoever asks.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};
use slipway_proto::v1::{
    CheckInRequest, EnrollRequest, GetTimeRequest, RenewRequest, ReportUpdateRequest, RevokeDeviceRequest,
    UpdateState,
};
use slipway_tests::{
    desk::HARDWARE,
    member::{Member, signing_request},
    operator::Caller,
    proof::{challenge, reason, renew, request_for, server_id, signed},
    world::World,
};
use slipway_trust::PublicKey;

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A PKCS#10 request for pump-1 with an RSA key of 1,024 bits, rightly signed.
const RSA_1024: &str = "MIIBUDCBugIBADARMQ8wDQYDVQQDDAZwdW1wLTEwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAL7r\
    hYJt7IjSwjVJlpvmOprz6ewG5XdqpuWSaL2L0CY+RpYoOnu1cIb7DDx8oHXW6ZJ0RpltzXdJkqvC7QOszzoCtDC/3ZnlbM+x0F10\
    Cn/8SHPF3IyzrTJeQd6fC3e9K73F0pbZBW9jQkUJKpKBBxx5GV8Jhax5XMFHtqHx6folAgMBAAGgADANBgkqhkiG9w0BAQsFAAOB\
    gQCdrncq9e8cnNLk6rBm+1kVpC1dgtJIqugUwfIMgLJJcoFg9k380mEvvgqMD0kciimnBLb+Yp/MAq2q3LC/NeDKaHG58dexQAhb\
    EDfz05cyfDW0JH+2qJu9T9WOU86vuqG9v0q/7vbLV/pcxHMcG7WkPYwpo3yucbYqzTG6z211Sw==";

/// A server with a root, and one device on it.
async fn fleet() -> (World, Member, KeyPair) {
    let world = World::start().await;
    world.init_trust();
    let member = world.member("pump-1", &[]).await;
    let key = KeyPair::from_pem(member.identity().1).expect("the device's key");
    (world, member, key)
}

/// Somebody with that certificate and key.
fn with(world: &World, certificate: &str, key: &str) -> Caller {
    Caller::connect(world.port(), &world.read("server-ca.pem"), None, Some((certificate, key)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_54_time_is_signed_for_one_question_by_one_key_under_its_own_prefix() {
    let (world, _, _) = fleet().await;
    let ask = async |nonce: [u8; 16]| {
        let request = GetTimeRequest { nonce: nonce.to_vec() };
        let answer = world.anonymous().enrollment().get_time(request).await.expect("the time").into_inner();
        (answer.time.expect("a time").seconds, answer.signature)
    };
    let pem = world.read("keys/timestamp.pem");
    let key = |pem: &str| -> PublicKey {
        use slipway_trust::Signer as _;
        slipway_trust::SecretKey::from_pem(pem, None).expect("a key").public_key()
    };
    let message = |prefix: &str, nonce: [u8; 16], seconds: i64| {
        [prefix.as_bytes(), b"\n", &nonce, seconds.to_string().as_bytes()].concat()
    };
    let (seconds, signature) = ask([1; 16]).await;
    assert_eq!(seconds, world.clock.now().seconds());
    assert!(key(&pem).verify(&message("slipway-time/v1", [1; 16], seconds), &signature));
    assert!(!key(&pem).verify(&message("slipway-time/v1", [2; 16], seconds), &signature), "replayed");
    assert!(!key(&pem).verify(&message("slipway-time/v1", [1; 16], seconds + 1), &signature), "another time");
    assert!(!key(&pem).verify(&message("slipway-renew/v1", [1; 16], seconds), &signature), "another prefix");
    let director = world.read("keys/director.pem");
    assert!(!key(&director).verify(&message("slipway-time/v1", [1; 16], seconds), &signature), "another key");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_66_a_request_is_read_for_its_key_alone() {
    let (world, _, _) = fleet().await;
    let claim = world.claim(10, &[]).await;
    let enroll = async |id: &str, csr_der: Vec<u8>| {
        let request = EnrollRequest {
            claim_token: claim.clone(),
            device_id: id.to_owned(),
            csr_der,
            hardware: HARDWARE.to_owned(),
            ..EnrollRequest::default()
        };
        let answer = world.anonymous().enrollment().enroll(request).await;
        answer.map(|answer| answer.into_inner().certificate_chain_der).map_err(|status| reason(&status))
    };
    let mut forged = signing_request("pump-2").0;
    *forged.last_mut().expect("bytes") ^= 1;
    assert_eq!(enroll("pump-2", forged).await, Err("CSR_INVALID".into()), "a wrong signature of its own");
    let rsa = STANDARD.decode(RSA_1024).expect("base64");
    assert_eq!(enroll("pump-1", rsa).await, Err("CSR_INVALID".into()), "RSA of 1,024 bits");
    let another = signing_request("pump-3").0;
    assert_eq!(enroll("pump-2", another).await, Err("CSR_FOR_ANOTHER_ID".into()));

    let key = KeyPair::generate().expect("a key");
    let mut greedy = CertificateParams::default();
    greedy.distinguished_name.push(DnType::CommonName, "pump-2");
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let uri = "spiffe://slipway/device/pump-1".try_into().expect("a URI");
    greedy.subject_alt_names =
        vec![SanType::URI(uri), SanType::DnsName("localhost".try_into().expect("a name"))];
    let request = greedy.serialize_request(&key).expect("a request").der().to_vec();
    let chain = enroll("pump-2", request).await.expect("a certificate for the key and nothing else");
    let text = String::from_utf8_lossy(&chain[0]).into_owned();
    assert!(text.contains("spiffe://slipway/device/pump-2"), "its own name");
    assert!(!text.contains("device/pump-1") && !text.contains("localhost"), "no other name");
    // CA:true would be the basic constraints with a boolean in them: 30 03 01 01 ff.
    assert!(!chain[0].windows(5).any(|bytes| bytes == [0x30, 0x03, 0x01, 0x01, 0xff]), "no authority");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_67_renewals_that_are_refused() {
    let (world, _, key) = fleet().await;
    let other = World::start().await;
    let (here, there) = (server_id(&world.read("server-ca.pem")), server_id(&other.read("server-ca.pem")));
    let (anyone, stranger) = (world.anonymous(), KeyPair::generate().expect("a key"));
    let second = world.member("pump-2", &[]).await;
    let theirs = KeyPair::from_pem(second.identity().1).expect("the other device's key");
    let nonce = async || challenge(&anyone, "pump-1").await;
    for (what, request) in [
        ("a stranger's key", signed(&here, "pump-1", nonce().await, &stranger, &stranger)),
        ("another device's key", signed(&here, "pump-1", nonce().await, &theirs, &theirs)),
        ("signed for another server", signed(&there, "pump-1", nonce().await, &key, &key)),
        ("a challenge for pump-2", signed(&here, "pump-1", challenge(&anyone, "pump-2").await, &key, &key)),
        (
            "a challenge of another server",
            signed(&here, "pump-1", challenge(&other.anonymous(), "pump-1").await, &key, &key),
        ),
        ("no device of that name", signed(&here, "pump-9", challenge(&anyone, "pump-9").await, &key, &key)),
        ("nothing", RenewRequest::default()),
    ] {
        assert_eq!(renew(&anyone, request).await.err().as_deref(), Some("RENEWAL_REFUSED"), "{what}");
    }
    let good = signed(&here, "pump-1", nonce().await, &key, &key);
    renew(&anyone, good.clone()).await.expect("an honest one");
    assert_eq!(renew(&anyone, good).await.err().as_deref(), Some("RENEWAL_REFUSED"), "replayed");
    let last = signed(&here, "pump-1", nonce().await, &key, &key);
    let revoke = RevokeDeviceRequest { name: "devices/pump-1".into(), ..Default::default() };
    world.admin().fleet().revoke_device(revoke).await.expect("revoked");
    assert_eq!(renew(&anyone, last).await.err().as_deref(), Some("DEVICE_REVOKED"));
    world.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_69_who_a_device_is_comes_from_its_certificate_alone() {
    let (world, member, key) = fleet().await;
    let victim = world.member("pump-2", &[]).await;
    let request = RenewRequest {
        device_id: "pump-2".into(),
        csr_der: request_for(&key, "pump-2"),
        ..RenewRequest::default()
    };
    assert_eq!(renew(&member.caller, request).await.err().as_deref(), Some("RENEWAL_REFUSED"));
    let request = RenewRequest { csr_der: request_for(&key, "pump-2"), ..RenewRequest::default() };
    assert_eq!(renew(&member.caller, request).await.err().as_deref(), Some("CSR_FOR_ANOTHER_ID"));
    // A proof for pump-2 in the message changes nothing: the certificate is pump-1's.
    let theirs = KeyPair::from_pem(victim.identity().1).expect("a key");
    let here = server_id(&world.read("server-ca.pem"));
    let nonce = challenge(&world.anonymous(), "pump-2").await;
    let request = signed(&here, "pump-2", nonce, &theirs, &theirs);
    assert_eq!(renew(&member.caller, request).await.err().as_deref(), Some("RENEWAL_REFUSED"));
    let report = ReportUpdateRequest {
        update: "devices/pump-2/updates/1".into(),
        sequence: 1,
        state: UpdateState::Downloading.into(),
        ..Default::default()
    };
    let refused = member.caller.device().report_update(report).await.expect_err("another device's update");
    assert_eq!(reason(&refused), "UPDATE_UNKNOWN");
    let own = RenewRequest { csr_der: request_for(&key, "pump-1"), ..RenewRequest::default() };
    renew(&member.caller, own).await.expect("its own, without naming itself");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_70_a_certificate_that_is_foreign_or_expired_opens_nothing_and_none_opens_the_way_back() {
    let (world, mut member, key) = fleet().await;
    let (certificate, key_pem) = member.identity();
    let foreign = {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "pump-1");
        params.self_signed(&key).expect("a certificate").pem()
    };
    let check_in = async |caller: &Caller| {
        caller.device().check_in(CheckInRequest::default()).await.map(drop).map_err(|status| reason(&status))
    };
    let refused = check_in(&with(&world, &foreign, key_pem)).await.expect_err("of a foreign authority");
    assert!(!refused.starts_with("DEVICE_"), "the handshake fails, not the call: {refused}");
    let (certificate, key_pem) = (certificate.to_owned(), key_pem.to_owned());
    member.check_in().await.expect("before its end");
    world.clock.advance(YEAR + DAY);
    let expired = with(&world, &certificate, &key_pem);
    let refused = check_in(&expired).await.expect_err("after its end");
    assert!(!refused.starts_with("DEVICE_"), "the handshake fails, not the call: {refused}");

    let anyone = world.anonymous();
    assert_eq!(check_in(&anyone).await, Err("DEVICE_CERTIFICATE_REQUIRED".into()));
    anyone.enrollment().get_time(GetTimeRequest { nonce: vec![1; 16] }).await.expect("the time");
    let nonce = challenge(&anyone, "pump-1").await;
    let here = server_id(&world.read("server-ca.pem"));
    let chain = renew(&anyone, signed(&here, "pump-1", nonce, &key, &key)).await.expect("a certificate");
    member.show(world.port(), &world.read("server-ca.pem"), &chain.certificate_chain_der, &key_pem);
    member.check_in().await.expect("as before");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_keys_can_be_cut_anywhere() {
    let (world, mut member, old) = fleet().await;
    let (ca, new) = (world.read("server-ca.pem"), KeyPair::generate().expect("a key"));
    let ask = RenewRequest { csr_der: request_for(&new, "pump-1"), ..RenewRequest::default() };
    // The answer is lost, and the device asks again; meanwhile the old key is good.
    renew(&member.caller, ask.clone()).await.expect("a certificate");
    member.check_in().await.expect("with the old key");
    let chain = renew(&member.caller, ask).await.expect("a certificate again").certificate_chain_der;
    let (old_certificate, old_key) = (member.identity().0.to_owned(), member.identity().1.to_owned());
    let old_caller = member.caller.clone();
    member.show(world.port(), &ca, &chain, &new.serialize_pem());
    member.check_in().await.expect("with the new key");
    let request = CheckInRequest::default();
    old_caller.device().check_in(request).await.expect_err("the old connection is refused or closed");
    let again = with(&world, &old_certificate, &old_key);
    let refused = again.device().check_in(CheckInRequest::default()).await.expect_err("the old key");
    assert_eq!(reason(&refused), "DEVICE_UNKNOWN");
    let nonce = challenge(&world.anonymous(), "pump-1").await;
    let request = signed(&server_id(&ca), "pump-1", nonce, &old, &old);
    assert_eq!(renew(&world.anonymous(), request).await.err().as_deref(), Some("RENEWAL_REFUSED"));
    world.stop().await;
}

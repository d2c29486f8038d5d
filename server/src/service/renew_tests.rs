//! Who gets a new certificate, and who does not, whatever he shows.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _, SigningKey as _};

use super::*;
use crate::{
    model::time::DAY,
    service::{
        devices,
        testing::{TestContext, enrolled},
    },
    store::audit::audit_page,
};

/// A device whose key the test holds, and its context.
struct Story {
    ctx: TestContext,
    key: KeyPair,
}

impl Story {
    async fn new() -> Self {
        let (ctx, key) = (Context::for_test().await, KeyPair::generate().unwrap());
        enrolled(&ctx, "pump-1", |device| device.spki_sha256 = id_of(&key)).await;
        Story { ctx, key }
    }

    async fn device(&self) -> Device {
        let mut tx = self.ctx.db.read().await.unwrap();
        device_get(&mut tx, "pump-1").await.unwrap().unwrap()
    }

    /// Signed by `signer` for a certificate of `wanted`, as an honest agent would.
    async fn proved(&self, signer: &KeyPair, wanted: &KeyPair) -> Renewal {
        let (nonce, _) = challenge(&self.ctx, "pump-1").await.unwrap();
        signed(&self.ctx.pki.server_ids()[0], nonce, signer, wanted)
    }

    async fn outcome(&self, asked: &Renewal) -> Option<Reason> {
        reason(renew(&self.ctx, asked).await)
    }

    async fn acts(&self) -> Vec<String> {
        let mut tx = self.ctx.db.read().await.unwrap();
        let entries = audit_page(&mut tx, 0, 100).await.unwrap();
        entries.into_iter().map(|entry| entry.action).collect()
    }
}

fn id_of(key: &KeyPair) -> Sha256 {
    Sha256::of(&key.subject_public_key_info())
}

fn csr(key: &KeyPair, name: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(key).unwrap().der().to_vec()
}

fn signed(server: &Sha256, nonce: Vec<u8>, signer: &KeyPair, wanted: &KeyPair) -> Renewal {
    let csr = csr(wanted, "pump-1");
    let signature = signer.sign(&renewal_message(server, &nonce, &csr)).unwrap();
    let proof = Proof::Signature { nonce, signature, signer: signer.subject_public_key_info() };
    Renewal { device_id: "pump-1".to_owned(), csr, proof }
}

fn over_tls(shown: &KeyPair, wanted: &KeyPair) -> Renewal {
    let proof = Proof::Certificate(id_of(shown));
    Renewal { device_id: "pump-1".to_owned(), csr: csr(wanted, "pump-1"), proof }
}

fn reason<T>(outcome: Result<T>) -> Option<Reason> {
    match outcome {
        Ok(_) => None,
        Err(Error::Refused(refusal)) => Some(refusal.reason),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_renewal_is_durable_audited_and_for_the_same_device() {
    let story = Story::new().await;
    let before = story.device().await;
    story.ctx.clock.advance(limits::DEVICE_CERTIFICATE);
    let issued = renew(&story.ctx, &over_tls(&story.key, &story.key)).await.unwrap();
    let after = story.device().await;
    assert_ne!(before.certificate_serial, after.certificate_serial);
    assert_eq!(after.certificate_serial, issued.serial);
    assert_eq!(after.certificate_not_after, issued.not_after);
    assert_eq!((after.spki_sha256, after.standing), (before.spki_sha256, before.standing));
    assert_eq!(story.acts().await, ["Renew"]);
}

#[tokio::test]
async fn seven_years_late_is_not_lost() {
    let story = Story::new().await;
    story.ctx.clock.advance(7 * limits::DEVICE_CERTIFICATE);
    let asked = story.proved(&story.key, &story.key).await;
    assert_eq!(story.outcome(&asked).await, None);
    assert!(story.device().await.certificate_not_after > story.ctx.clock.now());
}

#[tokio::test]
async fn row_67_a_challenge_is_spent_by_its_renewal_and_by_every_other() {
    let story = Story::new().await;
    let (first, second) =
        (story.proved(&story.key, &story.key).await, story.proved(&story.key, &story.key).await);
    assert_eq!(story.outcome(&first).await, None);
    assert_eq!(story.outcome(&first).await, Some(Reason::RenewalRefused), "replayed");
    assert_eq!(story.outcome(&second).await, Some(Reason::RenewalRefused), "given out before the renewal");
    let late = story.proved(&story.key, &story.key).await;
    story.ctx.clock.advance(limits::CHALLENGE);
    assert_eq!(story.outcome(&late).await, Some(Reason::RenewalRefused), "too old");
}

#[tokio::test]
async fn row_67_a_challenge_of_another_server_or_for_another_device_is_refused() {
    let story = Story::new().await;
    let other = Story::new().await;
    let (here, there) = (story.ctx.pki.server_ids()[0], other.ctx.pki.server_ids()[0]);
    let foreign = challenge(&other.ctx, "pump-1").await.unwrap().0;
    for server in [here, there] {
        let asked = signed(&server, foreign.clone(), &story.key, &story.key);
        assert_eq!(story.outcome(&asked).await, Some(Reason::RenewalRefused), "made there");
    }
    let own = challenge(&story.ctx, "pump-1").await.unwrap().0;
    let asked = signed(&there, own, &story.key, &story.key);
    assert_eq!(story.outcome(&asked).await, Some(Reason::RenewalRefused), "signed for there");
    let of_another = challenge(&story.ctx, "pump-2").await.unwrap().0;
    let asked = signed(&here, of_another, &story.key, &story.key);
    assert_eq!(story.outcome(&asked).await, Some(Reason::RenewalRefused), "for another device");
}

#[tokio::test]
async fn row_67_nobody_renews_with_a_key_that_is_not_the_device_s() {
    let story = Story::new().await;
    let stranger = KeyPair::generate().unwrap();
    enrolled(&story.ctx, "pump-2", |device| device.spki_sha256 = id_of(&stranger)).await;
    let asked = story.proved(&stranger, &stranger).await;
    assert_eq!(story.outcome(&asked).await, Some(Reason::RenewalRefused));
    let mut borrowed = story.proved(&stranger, &stranger).await;
    if let Proof::Signature { signer, .. } = &mut borrowed.proof {
        *signer = story.key.subject_public_key_info();
    }
    assert_eq!(story.outcome(&borrowed).await, Some(Reason::RenewalRefused), "says it is the device's");
    assert_eq!(story.outcome(&over_tls(&stranger, &stranger)).await, Some(Reason::RenewalRefused));
    let taken = story.proved(&story.key, &stranger).await;
    assert_eq!(story.outcome(&taken).await, Some(Reason::DeviceExists), "the key is another device's");
    assert_eq!(story.device().await.generation, 1, "nothing was written");
}

#[tokio::test]
async fn row_67_a_revoked_device_stays_out() {
    let story = Story::new().await;
    let asked = story.proved(&story.key, &story.key).await;
    devices::revoke(&story.ctx, "tokens/a", "pump-1", "stolen").await.unwrap();
    assert_eq!(story.outcome(&asked).await, Some(Reason::DeviceRevoked));
    assert_eq!(story.outcome(&over_tls(&story.key, &story.key)).await, Some(Reason::DeviceRevoked));
}

#[tokio::test]
async fn a_stranger_learns_nothing_and_stops_nobody() {
    let story = Story::new().await;
    let (known, life) = challenge(&story.ctx, "pump-1").await.unwrap();
    let (unknown, same) = challenge(&story.ctx, "nobody").await.unwrap();
    assert_eq!((known.len(), life), (unknown.len(), same));
    let stranger = KeyPair::generate().unwrap();
    for _ in 0..2 * limits::RENEWALS {
        let asked = story.proved(&stranger, &stranger).await;
        assert_eq!(story.outcome(&asked).await, Some(Reason::RenewalRefused));
        let nobody = Renewal { device_id: "nobody".to_owned(), csr: csr(&stranger, "nobody"), ..asked };
        assert_eq!(story.outcome(&nobody).await, Some(Reason::RenewalRefused));
    }
    let asked = story.proved(&story.key, &story.key).await;
    assert_eq!(story.outcome(&asked).await, None, "the device's own attempts are counted, not theirs");
}

#[tokio::test]
async fn ten_within_an_hour_are_enough() {
    let story = Story::new().await;
    let asked = over_tls(&story.key, &story.key);
    for _ in 0..limits::RENEWALS {
        assert_eq!(story.outcome(&asked).await, None);
    }
    match renew(&story.ctx, &asked).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!(refusal.reason, Reason::RateLimited);
            story.ctx.clock.advance(refusal.retry_after.unwrap());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(story.outcome(&asked).await, None);
}

#[tokio::test]
async fn a_new_key_takes_over_with_its_first_use_and_not_before() {
    let story = Story::new().await;
    let new = KeyPair::generate().unwrap();
    assert_eq!(story.outcome(&over_tls(&story.key, &new)).await, None);
    let found = async |key: &KeyPair| story.ctx.devices.find(&story.ctx, &id_of(key)).await.unwrap();
    assert!(!found(&story.key).await.unwrap().is_announced(&id_of(&story.key)));
    assert!(found(&new).await.unwrap().is_announced(&id_of(&new)));
    let entry = promote(&story.ctx, "pump-1", &id_of(&new)).await.unwrap().unwrap();
    assert!(!entry.is_announced(&id_of(&new)));
    assert!(found(&story.key).await.is_none(), "the old key is nobody's");
    assert_eq!(story.acts().await, ["Renew", "ChangeKey"]);
    // Twice is once: two calls may meet.
    assert!(promote(&story.ctx, "pump-1", &id_of(&new)).await.unwrap().is_some());
    assert!(promote(&story.ctx, "pump-1", &id_of(&story.key)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_signature_by_the_announced_key_is_its_first_use() {
    let story = Story::new().await;
    let new = KeyPair::generate().unwrap();
    let asked = story.proved(&story.key, &new).await;
    assert_eq!(story.outcome(&asked).await, None, "announced by the old key");
    let asked = story.proved(&new, &new).await;
    assert_eq!(story.outcome(&asked).await, None);
    let device = story.device().await;
    assert_eq!((device.spki_sha256, device.standing.next_key), (id_of(&new), None));
    let asked = story.proved(&story.key, &story.key).await;
    assert_eq!(story.outcome(&asked).await, Some(Reason::RenewalRefused), "the old key");
}

#[tokio::test]
async fn beyond_the_limit_an_operator_says_yes_once() {
    let story = Story::new().await;
    let ctx = &story.ctx;
    ctx.clock.advance(ctx.renew_after_expiry + 3 * DAY);
    for _ in 0..2 {
        let asked = story.proved(&story.key, &story.key).await;
        assert_eq!(story.outcome(&asked).await, Some(Reason::RenewalNeedsApproval));
    }
    let device = story.device().await;
    assert_eq!(
        (device.state, device.standing.renewal, device.quarantined_until),
        (DeviceState::Quarantined, Approval::Waiting, None)
    );
    devices::clear_quarantine(ctx, "tokens/a", "pump-1").await.unwrap();
    let asked = story.proved(&story.key, &story.key).await;
    assert_eq!(story.outcome(&asked).await, None);
    assert_eq!(story.device().await.standing.renewal, Approval::Free);
    assert_eq!(story.acts().await, ["AskRenewal", "ClearQuarantine", "Renew"], "asked once, however often");
    ctx.clock.advance(limits::DEVICE_CERTIFICATE + ctx.renew_after_expiry + DAY);
    let asked = story.proved(&story.key, &story.key).await;
    assert_eq!(story.outcome(&asked).await, Some(Reason::RenewalNeedsApproval), "one yes, one renewal");
}

//! A device by hand: an identity of its own, and the calls an agent makes, one at a time.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, DnType, KeyPair};
use slipway_proto::v1::{
    CheckInRequest, CheckInResponse, EnrollRequest, InstalledComponent, Inventory, MetadataVersions,
    ReportUpdateRequest, TrustDelta, UpdateState,
};
use tonic::Status;

use crate::operator::Caller;

/// A device of the fleet that the test plays.
#[derive(Debug)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its connection over mutual TLS.
    pub caller: Caller,
    /// Signed metadata it was given; it believes what it is told.
    pub have: MetadataVersions,
    /// What it is and runs.
    pub inventory: Inventory,
    /// The update it works on.
    pub update: String,
    identity: (String, String),
    digest: u64,
    told: bool,
    sequence: u64,
}

/// A signing request for `name`, DER, and the key it carries, PEM.
///
/// # Panics
///
/// Never, unless the system gives no randomness.
pub fn signing_request(name: &str) -> (Vec<u8>, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let request = params.serialize_request(&key).expect("a signing request");
    (request.der().to_vec(), key.serialize_pem())
}

impl Member {
    /// Enrols with a claim at the server that listens on `port` and whose certificate comes from `ca_pem`.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn enroll(
        port: u16,
        ca_pem: &str,
        claim: &str,
        id: &str,
        hardware: &str,
    ) -> Result<Self, Status> {
        let (csr_der, key) = signing_request(id);
        let request = EnrollRequest {
            claim_token: claim.to_owned(),
            device_id: id.to_owned(),
            csr_der,
            hardware: hardware.to_owned(),
            ..EnrollRequest::default()
        };
        let answer =
            Caller::connect(port, ca_pem, None, None).enrollment().enroll(request).await?.into_inner();
        let certificate: String = answer.certificate_chain_der.iter().map(|der| pem(der)).collect();
        let caller = Caller::connect(port, ca_pem, None, Some((&certificate, &key)));
        Ok(Member {
            id: id.to_owned(),
            caller,
            have: MetadataVersions::default(),
            inventory: Inventory {
                agent_version: "0.1.0".into(),
                boot_id: "1".into(),
                ..Inventory::default()
            },
            update: String::new(),
            identity: (certificate, key),
            digest: 1,
            told: false,
            sequence: 0,
        })
    }

    /// Calls another server from now on, with the same identity.
    pub fn move_to(&mut self, port: u16, ca_pem: &str) {
        self.caller = Caller::connect(port, ca_pem, None, Some((&self.identity.0, &self.identity.1)));
    }

    /// Its certificate and the authority's, and its key, both PEM.
    pub fn identity(&self) -> (&str, &str) {
        (&self.identity.0, &self.identity.1)
    }

    /// Shows this certificate (DER, with the authority's) and its key from now on, on a new connection.
    pub fn show(&mut self, port: u16, ca_pem: &str, chain: &[Vec<u8>], key_pem: &str) {
        let certificate = chain.iter().map(|der| pem(der)).collect();
        self.identity = (certificate, key_pem.to_owned());
        self.move_to(port, ca_pem);
    }

    /// One check-in; takes note of everything it is told.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn check_in(&mut self) -> Result<CheckInResponse, Status> {
        let request = CheckInRequest {
            have: Some(self.have),
            inventory_digest: self.digest,
            inventory: (!self.told).then(|| self.inventory.clone()),
            update: self.update.clone(),
        };
        let answer = self.caller.device().check_in(request).await?.into_inner();
        self.told = !answer.want_inventory;
        if let Some(news) = &answer.trust {
            learn(&mut self.have, news);
        }
        if let Some(offer) = &answer.offer {
            self.update.clone_from(&offer.update);
        }
        Ok(answer)
    }

    /// Checks in until there is nothing new.
    ///
    /// # Panics
    ///
    /// When there always is.
    pub async fn settle(&mut self) {
        for _ in 0..10 {
            let answer = self.check_in().await.expect("an answer");
            if !answer.want_inventory && answer.trust.is_none() {
                return;
            }
        }
        panic!("{}: after ten check-ins the server still had something to tell", self.id);
    }

    /// Reports a step of the update it works on.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn report(&mut self, state: UpdateState) -> Result<(), Status> {
        self.sequence += 1;
        let request = ReportUpdateRequest {
            update: self.update.clone(),
            sequence: self.sequence,
            state: state.into(),
            attempt: 1,
            ..ReportUpdateRequest::default()
        };
        self.caller.device().report_update(request).await.map(drop)
    }

    /// Says that it runs a release from now on, and is free for the next one.
    pub fn runs(&mut self, version: &str, counter: u64) {
        let component = InstalledComponent {
            component: "system".into(),
            version: version.into(),
            counter,
            slot: "b".into(),
            ..InstalledComponent::default()
        };
        self.inventory.components = vec![component];
        self.digest += 1;
        self.told = false;
        self.update.clear();
    }
}

/// Takes note of the versions.
fn learn(have: &mut MetadataVersions, news: &TrustDelta) {
    for root in &news.roots {
        have.root = version(root).unwrap_or(have.root);
    }
    for (held, bytes) in [
        (&mut have.timestamp, &news.timestamp),
        (&mut have.snapshot, &news.snapshot),
        (&mut have.targets, &news.targets),
        (&mut have.product, &news.product),
        (&mut have.assignment, &news.assignment),
    ] {
        *held = version(bytes).unwrap_or(*held);
    }
}

fn version(document: &[u8]) -> Option<u64> {
    let document: serde_json::Value = serde_json::from_slice(document).ok()?;
    document.pointer("/signed/version")?.as_u64()
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

//! Proofs of a device's key, by hand: honest ones, and whatever a thief would try.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData as _, SigningKey as _};
use slipway_proto::v1::{ChallengeRequest, RenewRequest, RenewResponse};
use slipway_trust::Sha256;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::operator::Caller;

/// A signing request for `name` with this key, DER.
///
/// # Panics
///
/// Never, unless the key cannot sign.
pub fn request_for(key: &KeyPair, name: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(key).expect("a signing request").der().to_vec()
}

/// The name of a server in what devices sign: the id of the key in `ca_pem`.
///
/// # Panics
///
/// When it is not the certificate of an authority.
pub fn server_id(ca_pem: &str) -> Sha256 {
    let body: String = ca_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).expect("PEM");
    slipway_server::pki::spki_sha256(&der.into()).expect("a certificate")
}

/// A renewal signed by `signer` for a certificate of `wanted`, for this challenge of this server.
///
/// # Panics
///
/// Never, unless the key cannot sign.
pub fn signed(server: &Sha256, id: &str, nonce: Vec<u8>, signer: &KeyPair, wanted: &KeyPair) -> RenewRequest {
    let csr_der = request_for(wanted, id);
    let head = format!("slipway-renew/v1\n{server}\n");
    let message = [head.as_bytes(), &nonce, Sha256::of(&csr_der).as_bytes()].concat();
    RenewRequest {
        device_id: id.to_owned(),
        csr_der,
        signature: signer.sign(&message).expect("a signature"),
        signer_spki_der: signer.subject_public_key_info(),
        nonce,
    }
}

/// What a device has to sign.
///
/// # Panics
///
/// When the server gives none.
pub async fn challenge(caller: &Caller, id: &str) -> Vec<u8> {
    let request = ChallengeRequest { device_id: id.to_owned(), ..ChallengeRequest::default() };
    caller.enrollment().challenge(request).await.expect("a challenge").into_inner().nonce
}

/// Renews; a refusal is the code of its reason.
///
/// # Errors
///
/// What the server refuses.
pub async fn renew(caller: &Caller, request: RenewRequest) -> Result<RenewResponse, String> {
    let answer = caller.enrollment().renew(request).await;
    answer.map(tonic::Response::into_inner).map_err(|status| reason(&status))
}

/// The stable reason of a refusal; the status itself when it has none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(|| format!("{status:?}"), |info| info.reason)
}

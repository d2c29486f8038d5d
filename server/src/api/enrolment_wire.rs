//! Registrations and authorities, to and from the wire.

use slipway_proto::v1::{self, registration::Key};

use super::wire;
use crate::{
    manufacturer,
    model::{
        enrolment::{Authority, Registration},
        refusal::{Reason, Refusal},
        time::Timestamp,
    },
    pki::read_public_key,
};

/// A registration; `index` is its place in the request.
pub fn registration(index: usize, wire: v1::Registration) -> Result<Registration, Refusal> {
    let invalid = |message: String| {
        let hint = "write the public key of a P-256 or Ed25519 key as PEM or as base64 of its DER, or the \
                    SHA-256 of that DER in hex; slipway-agent key prints it";
        Refusal::new(Reason::RegistrationInvalid, message, hint).field(format!("registrations[{index}].key"))
    };
    let key = match &wire.key {
        Some(Key::PublicKeyDer(der)) => read_public_key(der)
            .map_err(|error| invalid(format!("the public key cannot be used: {error}")))?,
        Some(Key::PublicKeySha256(digest)) => digest
            .as_slice()
            .try_into()
            .map_err(|_| invalid(format!("a SHA-256 has 32 bytes, not {}", digest.len())))?,
        None => return Err(invalid("there is no public key".to_owned())),
    };
    Ok(Registration {
        device_id: wire.device_id,
        key,
        product: wire.product,
        hardware: wire.hardware,
        labels: wire.labels.into_iter().collect(),
    })
}

/// An authority that an administrator asks for.
pub fn wanted_authority(id: String, wire: v1::Authority) -> Authority {
    Authority {
        id,
        certificate: wire.certificate_der,
        product: wire.product,
        hardware: wire.hardware,
        labels: wire.labels.into_iter().collect(),
        approve: wire.approve,
        created_at: Timestamp::from_seconds(0),
        created_by: String::new(),
    }
}

/// An authority.
pub fn authority(authority: &Authority) -> v1::Authority {
    let described = manufacturer::describe(&authority.certificate);
    v1::Authority {
        name: format!("authorities/{}", authority.id),
        certificate_der: authority.certificate.clone(),
        product: authority.product.clone(),
        hardware: authority.hardware.clone(),
        labels: authority.labels.clone().into_iter().collect(),
        approve: authority.approve,
        subject: described.as_ref().map(|described| described.subject.clone()).unwrap_or_default(),
        expire_time: described.map(|described| wire::timestamp(described.not_after)),
        create_time: Some(wire::timestamp(authority.created_at)),
    }
}

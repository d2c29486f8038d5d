//! `EnrollmentService`: the calls of devices that have no certificate, or need a new one.

use std::{net::IpAddr, sync::Arc};

use slipway_proto::v1::{
    ChallengeRequest, ChallengeResponse, EnrollRequest, EnrollResponse, GetTimeRequest, GetTimeResponse,
    ManufacturerProof, RenewRequest, RenewResponse,
    enrollment_service_server::{EnrollmentService, EnrollmentServiceServer},
};
use tonic::{Request, Response, Status};

use super::{device_wire, wire};
use crate::{
    limits,
    listen::Peer,
    model::{
        refusal::{Reason, Refusal},
        renewal::refused,
    },
    service::{
        Context, Error,
        device_cache::DeviceEntry,
        enroll::{Enrollment, Right, Shown, enroll},
        enroll_rights::named_by,
        renew::{self, Proof, Renewal},
        signed_time,
    },
};

/// The handlers.
#[derive(Debug)]
pub struct Api {
    ctx: Context,
}

/// The service, for the router.
pub fn service(ctx: Context) -> EnrollmentServiceServer<Api> {
    EnrollmentServiceServer::new(Api { ctx }).max_decoding_message_size(limits::MESSAGE)
}

#[tonic::async_trait]
impl EnrollmentService for Api {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        // Calls that came over no connection, as in tests, share one count.
        let peer = request.extensions().get::<Peer>();
        let from = peer.map_or(IpAddr::from([0, 0, 0, 0]), Peer::network);
        let asked = request.into_inner();
        let right = right(asked.claim_token, asked.manufacturer).map_err(Error::from)?;
        let enrollment = Enrollment {
            right,
            device_id: asked.device_id,
            csr: asked.csr_der,
            hardware: asked.hardware,
            product: asked.product,
            attributes: device_wire::attributes(asked.attributes),
        };
        let enrolled = enroll(&self.ctx, &enrollment, from).await?;
        Ok(Response::new(EnrollResponse {
            name: format!("devices/{}", enrolled.device.id),
            product: enrolled.device.product,
            not_after: Some(wire::timestamp(enrolled.certificate.not_after)),
            certificate_chain_der: enrolled.certificate.chain,
            next_check_in: Some(wire::duration(enrolled.next_check_in)),
        }))
    }

    async fn get_time(&self, request: Request<GetTimeRequest>) -> Result<Response<GetTimeResponse>, Status> {
        let (time, signature) = signed_time::sign(&self.ctx, &request.get_ref().nonce)?;
        Ok(Response::new(GetTimeResponse {
            time: Some(wire::timestamp(time)),
            signature: signature.to_vec(),
        }))
    }

    async fn challenge(
        &self,
        request: Request<ChallengeRequest>,
    ) -> Result<Response<ChallengeResponse>, Status> {
        let asked = request.get_ref();
        let named = match asked.manufacturer_certificate_der.as_slice() {
            [] => asked.device_id.clone(),
            leaf => named_by(leaf).map_err(Error::from)?,
        };
        let (nonce, life) = renew::challenge(&self.ctx, &named).await?;
        Ok(Response::new(ChallengeResponse { nonce, life: Some(wire::duration(life)) }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let device = request.extensions().get::<Arc<DeviceEntry>>().cloned();
        let key = request.extensions().get::<Peer>().and_then(|peer| peer.spki_sha256);
        let asked = request.into_inner();
        let renewal = match (device, key) {
            // The certificate says who it is; a message that says otherwise is refused.
            (Some(device), Some(key)) => {
                if ![device.id(), ""].contains(&asked.device_id.as_str()) {
                    let what = "the certificate is not that device's";
                    return Err(Error::from(refused(what).field("device_id")).into());
                }
                let proof = Proof::Certificate(key);
                Renewal { device_id: device.id().to_owned(), csr: asked.csr_der, proof }
            }
            _ => Renewal {
                device_id: asked.device_id,
                csr: asked.csr_der,
                proof: Proof::Signature {
                    nonce: asked.nonce,
                    signature: asked.signature,
                    signer: asked.signer_spki_der,
                },
            },
        };
        let issued = renew::renew(&self.ctx, &renewal).await?;
        Ok(Response::new(RenewResponse {
            not_after: Some(wire::timestamp(issued.not_after)),
            certificate_chain_der: issued.chain,
        }))
    }
}

/// The right that a machine shows: exactly one, and none means that its key is registered.
fn right(claim: String, manufacturer: Option<ManufacturerProof>) -> Result<Right, Refusal> {
    match (claim.is_empty(), manufacturer) {
        (false, None) => Ok(Right::Claim(claim)),
        (true, None) => Ok(Right::Key),
        (true, Some(proof)) => Ok(Right::Manufacturer(Shown {
            chain: proof.certificate_chain_der,
            nonce: proof.nonce,
            signature: proof.signature,
        })),
        (false, Some(_)) => Err(Refusal::new(
            Reason::MessageInvalid,
            "a claim and a manufacturer's certificate are two rights, and one is enough",
            "use a claim file without a token: slipway claim file",
        )
        .field("manufacturer")),
    }
}

//! `EnrollmentService`: the one call of a device without a certificate.

use slipway_proto::v1::{
    EnrollRequest, EnrollResponse,
    enrollment_service_server::{EnrollmentService, EnrollmentServiceServer},
};
use tonic::{Request, Response, Status};

use super::wire;
use crate::{
    limits,
    service::{
        Context,
        enroll::{Enrollment, enroll},
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
        let asked = request.into_inner();
        let enrolled = enroll(
            &self.ctx,
            &Enrollment {
                claim: asked.claim_token,
                device_id: asked.device_id,
                csr: asked.csr_der,
                hardware: asked.hardware,
                attributes: asked.attributes.into_iter().collect(),
            },
        )
        .await?;
        Ok(Response::new(EnrollResponse {
            name: format!("devices/{}", enrolled.device.id),
            product: enrolled.device.product,
            not_after: Some(wire::timestamp(enrolled.certificate.not_after)),
            certificate_chain_der: enrolled.certificate.chain,
            next_check_in: Some(wire::duration(enrolled.next_check_in)),
        }))
    }
}

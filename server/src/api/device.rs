//! DeviceService: what agents call.

use slipway_proto::v1::{
    self,
    device_service_server::{DeviceService, DeviceServiceServer},
};
use tonic::{Request, Response, Status};

use super::{device_wire, principal};
use crate::{
    limits::MESSAGE,
    service::{Context, Error, check_in, ingest, reports},
};

/// The largest metadata a device may lack at once: a chain of roots, targets and a product's releases.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// The handlers.
#[derive(Clone, Debug)]
pub struct Api {
    ctx: Context,
}

/// The service.
pub fn service(ctx: Context) -> DeviceServiceServer<Api> {
    DeviceServiceServer::new(Api { ctx })
        .max_decoding_message_size(MESSAGE)
        .max_encoding_message_size(LARGEST_ANSWER)
}

#[tonic::async_trait]
impl DeviceService for Api {
    async fn check_in(
        &self,
        request: Request<v1::CheckInRequest>,
    ) -> Result<Response<v1::CheckInResponse>, Status> {
        let device = principal::device(&request)?;
        let call = device_wire::check_in(device.id(), request.into_inner()).map_err(Error::from)?;
        let answer = check_in::check_in(&self.ctx, device, call).await?;
        Ok(Response::new(device_wire::answer(answer)))
    }

    async fn report_update(
        &self,
        request: Request<v1::ReportUpdateRequest>,
    ) -> Result<Response<v1::ReportUpdateResponse>, Status> {
        let device = principal::device(&request)?;
        let report = device_wire::report(request.into_inner()).map_err(Error::from)?;
        reports::report(&self.ctx, &device, &report).await?;
        Ok(Response::new(v1::ReportUpdateResponse {}))
    }

    async fn send_telemetry(
        &self,
        request: Request<v1::SendTelemetryRequest>,
    ) -> Result<Response<v1::SendTelemetryResponse>, Status> {
        let device = principal::device(&request)?;
        Ok(Response::new(ingest::batch(&self.ctx, &device, request.into_inner()).await?))
    }
}

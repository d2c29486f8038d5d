//! `opentelemetry.proto.collector.metrics.v1.MetricsService`: metrics from whoever has a collector already.

use std::sync::Arc;

use slipway_proto::opentelemetry::proto::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
};
use tonic::{Request, Response, Status, codec::CompressionEncoding};

use super::principal;
use crate::{
    limits,
    service::{
        Context,
        otlp::{self, Sender},
        token_cache::TokenCaller,
    },
};

/// The handlers.
#[derive(Clone, Debug)]
pub struct Api {
    ctx: Context,
}

/// The service. The limit on a message is that of what it unpacks to.
pub fn service(ctx: Context) -> MetricsServiceServer<Api> {
    MetricsServiceServer::new(Api { ctx })
        .max_decoding_message_size(limits::OTLP_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
}

#[tonic::async_trait]
impl MetricsService for Api {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let sender = match request.extensions().get::<Arc<TokenCaller>>() {
            Some(caller) => Sender::Gateway(caller.clone()),
            None => Sender::Device(principal::device(&request)?),
        };
        Ok(Response::new(otlp::export(&self.ctx, &sender, request.into_inner()).await?))
    }
}

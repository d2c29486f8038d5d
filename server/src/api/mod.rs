//! gRPC and HTTP: authenticate, convert, map refusals to status. Nothing else.

pub mod access;
pub mod access_table;
pub mod alert;
pub mod alert_wire;
pub mod auth;
pub mod device;
pub mod device_wire;
pub mod downloads;
pub mod ending;
pub mod enrollment;
mod enrolment_wire;
pub mod enter;
pub mod fleet;
pub mod fleet_wire;
pub mod http;
pub mod limit_wire;
pub mod otlp;
pub mod principal;
pub mod privacy;
pub mod release;
pub mod rollout;
pub mod rollout_wire;
pub mod status;
pub mod telemetry;
pub mod telemetry_wire;
pub mod trust;
pub mod undecoded;
pub mod wear;
pub mod webhook;
pub mod webhook_wire;
pub mod wire;

use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state};
use slipway_proto::v1::FILE_DESCRIPTOR_SET;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::service::Context;

/// Everything that is served on the one port, each call through [`enter`].
pub async fn router(ctx: &Context) -> Result<Router, tonic_reflection::server::Error> {
    let mut routes = Routes::builder();
    routes.add_service(enrollment::service(ctx.clone()));
    routes.add_service(fleet::service(ctx.clone()));
    routes.add_service(access::service(ctx.clone()));
    routes.add_service(release::service(ctx.clone()));
    routes.add_service(device::service(ctx.clone()));
    routes.add_service(rollout::service(ctx.clone()));

    let described = [FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
    let reflection = || {
        described.into_iter().fold(tonic_reflection::server::Builder::configure(), |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
    };
    routes.add_service(reflection().build_v1()?);
    // What grpcurl and friends of some years ago ask for.
    routes.add_service(reflection().build_v1alpha()?);

    routes.add_service(alert::service(ctx.clone()));
    routes.add_service(telemetry::service(ctx.clone()));
    routes.add_service(webhook::service(ctx.clone()));
    routes.add_service(wear::service(ctx.clone()));

    routes.add_service(otlp::service(ctx.clone()));
    routes.add_service(privacy::service(ctx.clone()));

    let health = HealthReporter::new();
    for service in [
        "",
        "EnrollmentService",
        "DeviceService",
        "FleetService",
        "ReleaseService",
        "RolloutService",
        "AlertService",
        "TelemetryService",
        "WebhookService",
        "WearService",
        "AccessService",
        "PrivacyService",
    ] {
        let name = if service.is_empty() { String::new() } else { format!("slipway.v1.{service}") };
        health.set_service_status(name, ServingStatus::Serving).await;
    }
    routes.add_service(tonic_health::pb::health_server::HealthServer::new(
        tonic_health::server::HealthService::from_health_reporter(health),
    ));

    let http = http::routes().merge(downloads::routes()).with_state(ctx.clone());
    let grpc = routes.routes().into_axum_router().reset_fallback();
    Ok(grpc.merge(http).layer(from_fn_with_state(Arc::new(ctx.clone()), enter::enter)))
}

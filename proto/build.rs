//! Compiles the `.proto` files with protox, so that nobody has to install protoc.

use std::{env, fs, path::PathBuf};

use protox::prost::Message as _;

const FILES: &[&str] = &[
    "slipway/v1/types.proto",
    "slipway/v1/enrollment.proto",
    "slipway/v1/device.proto",
    "slipway/v1/fleet.proto",
    "slipway/v1/release.proto",
    "slipway/v1/rollout.proto",
    "slipway/v1/alert.proto",
    "slipway/v1/access.proto",
    "slipway/v1/privacy.proto",
    "slipway/v1/telemetry.proto",
    "slipway/v1/webhook.proto",
    "slipway/v1/wear.proto",
];

/// Other people's: the service that takes metrics by the OpenTelemetry protocol.
const OTLP: &str = "opentelemetry/proto/collector/metrics/v1/metrics_service.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=slipway");
    println!("cargo:rerun-if-changed=opentelemetry");
    let mut descriptors = protox::compile(FILES.iter().copied().chain([OTLP]), ["."])?;
    for file in &mut descriptors.file {
        if file.package().starts_with("opentelemetry.") {
            // Their drawings in comments are neither documentation nor tests of ours.
            file.source_code_info = None;
        }
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("slipway.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        .extern_path(".slipway.v1.TrustDelta", "crate::TrustDelta")
        .compile_fds(descriptors)?;
    Ok(())
}

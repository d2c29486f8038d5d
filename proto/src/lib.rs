//! The public gRPC interface of Slipway: messages, clients, servers and their descriptors.
//!
//! What every call and field means stands in `proto/slipway/v1/*.proto`.

mod component;
mod trust_delta;

pub use component::SpelledComponent;
pub use trust_delta::TrustDelta;

/// Package `slipway.v1`.
pub mod v1 {
    #![expect(
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated code spells paths out and silences its own lints"
    )]
    pub use crate::TrustDelta;

    tonic::include_proto!("slipway.v1");

    /// The encoded `FileDescriptorSet`, with comments, for reflection and for tests that walk it.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/slipway.bin"));
}

/// The OpenTelemetry protocol for metrics, `proto/opentelemetry`. The modules are named as its packages are.
pub mod opentelemetry {
    #![expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated code, whose documentation is the protocol's own"
    )]
    pub mod proto {
        pub mod collector {
            pub mod metrics {
                pub mod v1 {
                    tonic::include_proto!("opentelemetry.proto.collector.metrics.v1");
                }
            }
        }
        pub mod common {
            pub mod v1 {
                tonic::include_proto!("opentelemetry.proto.common.v1");
            }
        }
        pub mod metrics {
            pub mod v1 {
                tonic::include_proto!("opentelemetry.proto.metrics.v1");
            }
        }
        pub mod resource {
            pub mod v1 {
                tonic::include_proto!("opentelemetry.proto.resource.v1");
            }
        }
    }
}

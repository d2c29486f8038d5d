//! The public gRPC interface of Slipway: messages, clients, servers and their descriptors.
//!
//! What every call and field means stands in `proto/slipway/v1/*.proto`.

mod trust_delta;

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

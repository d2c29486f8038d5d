//! Messages of the API as JSON, in the standard mapping of protocol buffers, by the descriptors.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::error::Failure;

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(slipway_proto::v1::FILE_DESCRIPTOR_SET).ok());

/// One message, named without its package. Every field is there, also one that is empty, so that a
/// program finds the key; 64-bit numbers are numbers, so that it can compute with them.
///
/// # Errors
/// A type that the descriptors do not know, which is a mistake of this program.
pub fn message<M: Message>(type_name: &str, message: &M) -> Result<Value, Failure> {
    let unknown = || Failure::bug(format!("there is no message type {type_name}"));
    let pool = POOL.as_ref().ok_or_else(unknown)?;
    let descriptor = pool.get_message_by_name(&format!("slipway.v1.{type_name}")).ok_or_else(unknown)?;
    let mut dynamic = DynamicMessage::new(descriptor);
    let failed = |error: &dyn std::error::Error| Failure::bug(format!("{type_name} as JSON: {error}"));
    dynamic.transcode_from(message).map_err(|error| failed(&error))?;
    let options = SerializeOptions::new().skip_default_fields(false).stringify_64_bit_integers(false);
    dynamic.serialize_with_options(serde_json::value::Serializer, &options).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use slipway_proto::v1;

    use super::*;

    #[test]
    fn a_message_has_every_field_and_plain_numbers() {
        let release = v1::Release {
            name: "releases/pump/2.0.0".into(),
            counter: 2,
            create_time: Some(prost_types::Timestamp { seconds: 1_795_356_185, nanos: 0 }),
            ..v1::Release::default()
        };
        let json = message("Release", &release).unwrap();
        assert_eq!(json["name"], "releases/pump/2.0.0");
        assert_eq!(json["counter"], 2);
        assert_eq!(json["minFrom"], 0);
        assert_eq!(json["createTime"], "2026-11-22T14:03:05Z");
        assert!(message("Nonsense", &release).is_err());
    }
}

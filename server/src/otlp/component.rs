//! Attributes as a component: the part of the device that a series is about.

use prost::Message as _;
use slipway_proto::{
    SpelledComponent,
    opentelemetry::proto::common::v1::{KeyValue, any_value::Value},
};
use slipway_trust::Sha256;

use super::{CLASS, COMPONENT, text};
use crate::model::{reading::is_component, text::quoted};

/// Where a program does not say its name.
const NAMELESS: &str = "otlp";
/// What the kits put in for that.
const UNKNOWN: &str = "unknown_service";

/// The component of a data point, or why it has none.
///
/// What the sender says by [`COMPONENT`]; else the program's name and the attributes, sorted by name. Different
/// attributes are different components: what cannot be spelled, or is too long, ends in a digest of the whole.
pub fn component(point: &[KeyValue], resource: &[KeyValue]) -> Result<String, String> {
    if let Some(said) = text(point, COMPONENT).or_else(|| text(resource, COMPONENT)) {
        return if is_component(said) {
            Ok(said.to_owned())
        } else {
            Err(format!("the component {} is no name", quoted(said)))
        };
    }
    let program =
        text(resource, "service.name").filter(|name| !name.is_empty() && !name.starts_with(UNKNOWN));
    let mut attributes: Vec<&KeyValue> = point.iter().filter(|attribute| attribute.key != CLASS).collect();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    let mut spelled = SpelledComponent::of(program.unwrap_or(NAMELESS));
    for attribute in &attributes {
        let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => Some(text.clone()),
            Some(Value::BoolValue(flag)) => Some(flag.to_string()),
            Some(Value::IntValue(number)) => Some(number.to_string()),
            Some(Value::DoubleValue(number)) => Some(number.to_string()),
            _ => None,
        };
        spelled.attribute(&attribute.key, value.as_deref());
    }
    Ok(spelled.finish(|| {
        let mut whole = program.unwrap_or_default().as_bytes().to_vec();
        for attribute in attributes {
            whole.extend(attribute.encode_length_delimited_to_vec());
        }
        Sha256::of(&whole).to_string()
    }))
}

#[cfg(test)]
mod tests {
    use slipway_proto::opentelemetry::proto::common::v1::AnyValue;

    use super::*;

    fn attribute(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
    }

    fn word(key: &str, value: &str) -> KeyValue {
        attribute(key, Value::StringValue(value.to_owned()))
    }

    #[test]
    fn what_the_sender_says_counts() {
        let resource = [word(COMPONENT, "pump"), word("service.name", "controller")];
        assert_eq!(component(&[], &resource).as_deref(), Ok("pump"));
        assert_eq!(component(&[word(COMPONENT, "valve-2")], &resource).as_deref(), Ok("valve-2"));
        let refused = component(&[word(COMPONENT, "a\u{7}b")], &resource).unwrap_err();
        assert!(refused.contains(r#""a\u{7}b""#), "{refused}");
    }

    #[test]
    fn attributes_are_spelled_in_order() {
        let resource = [word("service.name", "controller"), word("host.name", "h")];
        let point = [word("state", "idle"), attribute("cpu", Value::IntValue(3)), word(CLASS, "usage")];
        assert_eq!(component(&point, &resource).as_deref(), Ok("controller/cpu.3/state.idle"));
        assert_eq!(component(&[], &[]).as_deref(), Ok("otlp"));
        assert_eq!(component(&[], &[word("service.name", "unknown_service:python")]).as_deref(), Ok("otlp"));
    }

    #[test]
    fn what_cannot_be_spelled_stays_apart() {
        let of = |value: &str| component(&[word("path", value)], &[]).unwrap();
        let long = "x".repeat(1 << 20);
        let all = [
            of("GET"),
            of("get"),
            of("Get"),
            of("\u{0}"),
            of("ü"),
            of("_"),
            of("a/b"),
            of("a.b"),
            of(&long),
            of(&format!("{long}y")),
            component(&[attribute("path", Value::BytesValue(vec![1]))], &[]).unwrap(),
            component(&[attribute("path", Value::BytesValue(vec![2]))], &[]).unwrap(),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(is_component(one), "{one}");
            assert!(!all[..index].contains(one), "{one}");
        }
        assert_eq!(of("get"), "otlp/path.get");
    }
}

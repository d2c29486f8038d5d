//! Messages that never reached a handler: too large, or not what they should be. The codec refuses
//! them without a reason; here they get one.

use axum::response::Response;
use tonic::{Code, Status};

use super::{access_table::Rule, status::refused};
use crate::model::refusal::{Reason, Refusal};

/// What the codec says of bytes that are no message, by the beginning of its words.
const UNREADABLE: [&str; 5] = [
    "failed to decode Protobuf message",
    "protocol error: received message",
    "Unexpected EOF decoding stream",
    "Missing request message",
    "Error decompressing",
];

/// The answer as it is, or with a reason where the codec gave none.
pub fn explained(response: Response, rule: &Rule) -> Response {
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    // Whatever is refused on this side of the codec has details.
    if !status.details().is_empty() {
        return response;
    }
    let said = status.message();
    let is_too_large = match status.code() {
        Code::OutOfRange => said.contains("message length too large"),
        Code::ResourceExhausted => said.contains("size limit"),
        _ => false,
    };
    if is_too_large {
        return refused(&too_large(said, rule.method)).into_http();
    }
    if status.code() == Code::Internal && UNREADABLE.iter().any(|words| said.starts_with(words)) {
        let refusal = Refusal::new(
            Reason::MessageInvalid,
            format!("the message is none that {} takes: {said}", rule.method),
            "check that client and server speak the same version of slipway.v1",
        );
        return refused(&refusal).into_http();
    }
    response
}

fn too_large(said: &str, method: &str) -> Refusal {
    let mut numbers = said.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok());
    let hint = "send less in one call: a smaller page, batch or document";
    let refusal = |message| Refusal::new(Reason::MessageTooLarge, message, hint);
    match (numbers.next(), numbers.next()) {
        (Some(size), Some(limit)) => {
            let message =
                format!("a message of {size} bytes is over the limit of {limit} bytes for {method}");
            refusal(message).fact("size", size).fact("limit", limit)
        }
        // Compressed, its whole size is not known.
        (Some(limit), None) => {
            refusal(format!("the message is over the limit of {limit} bytes for {method}"))
                .fact("limit", limit)
        }
        (None, _) => refusal(format!("the message is larger than {method} takes")),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::api::access_table::find;

    fn reason(status: Status) -> (Code, String) {
        let rule = find("/slipway.v1.FleetService/ListDevices").unwrap();
        let answer = explained(status.into_http(), &rule);
        let status = Status::from_header_map(answer.headers()).unwrap();
        (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
    }

    #[test]
    fn what_the_codec_refuses_has_a_reason_and_the_rest_stays() {
        let large = "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes";
        let bomb = "Error decompressing: size limit, of 8 bytes, exceeded while decompressing message";
        let too_large = (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned());
        assert_eq!(reason(Status::out_of_range(large)), too_large);
        assert_eq!(reason(Status::resource_exhausted(bomb)), too_large);
        for said in UNREADABLE {
            let invalid = (Code::InvalidArgument, "MESSAGE_INVALID".to_owned());
            assert_eq!(reason(Status::internal(format!("{said}: x"))), invalid);
        }
        let ours = refused(&Refusal::new(Reason::Internal, "failed to decode Protobuf message", "a"));
        assert_eq!(reason(ours), (Code::Internal, "INTERNAL".to_owned()));
        assert_eq!(reason(Status::unimplemented("x")), (Code::Unimplemented, String::new()));
    }
}

//! Conversions that more than one service needs.

use std::time::Duration;

use tonic::Status;

use super::status::refused;
use crate::model::{
    id,
    refusal::{Reason, Refusal},
    text::quoted,
    time::Timestamp,
};

/// A point in time on the wire.
pub fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let millis = at.millis();
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: millis.div_euclid(1000), nanos }
}

/// A point in time from the wire; whatever cannot be one is the nearest end of time.
pub fn from_timestamp(at: &prost_types::Timestamp) -> Timestamp {
    let millis = at.seconds.saturating_mul(1000).saturating_add(i64::from(at.nanos) / 1_000_000);
    Timestamp::from_millis(millis)
}

/// A span on the wire.
pub fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

/// A span from the wire; none when it is negative.
pub fn from_duration(span: &prost_types::Duration) -> Option<Duration> {
    let seconds = u64::try_from(span.seconds).ok()?;
    let nanos = u32::try_from(span.nanos).ok()?;
    Some(Duration::new(seconds, nanos.min(999_999_999)))
}

/// How long something shall live; none when the caller leaves it to the server. A negative span
/// is refused with `reason`.
pub fn life(asked: Option<prost_types::Duration>, reason: Reason) -> Result<Option<Duration>, Status> {
    let Some(span) = asked else { return Ok(None) };
    from_duration(&span).map(Some).ok_or_else(|| {
        refused(&Refusal::new(reason, "a life cannot be negative", "ask for another life").field("ttl"))
    })
}

/// The id within a resource name, or `NAME_INVALID` for the request field `field`.
pub fn id_in(collection: &str, name: &str, field: &str) -> Result<String, Status> {
    id::within(collection, name).map(str::to_owned).ok_or_else(|| {
        refused(
            &Refusal::new(
                Reason::NameInvalid,
                format!("{} is not a name of the form {collection}/ID", quoted(name)),
                format!("write {collection}/ followed by the id"),
            )
            .field(field),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_wire() {
        for millis in [0, 1, -1, 1_767_225_600_123, -1_500] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(from_timestamp(&timestamp(at)), at, "{millis}");
        }
        let span = Duration::from_millis(1_500);
        assert_eq!(from_duration(&duration(span)), Some(span));
        assert_eq!(from_duration(&prost_types::Duration { seconds: -1, nanos: 0 }), None);
    }
}

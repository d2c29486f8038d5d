//! How long a token or a claim lives.

use std::time::Duration;

use super::refusal::{Reason, Refusal};
use crate::limits::LIFE_MIN;

/// The life that was asked for in the request field `ttl`, or `default`; refused with `reason`
/// outside of one minute to `longest`.
pub fn check(
    asked: Option<Duration>,
    default: Duration,
    longest: Duration,
    reason: Reason,
) -> Result<Duration, Refusal> {
    let life = asked.unwrap_or(default);
    if (LIFE_MIN..=longest).contains(&life) {
        return Ok(life);
    }
    let days = longest.as_secs() / (24 * 3600);
    Err(Refusal::new(
        reason,
        format!("a life of {} s is not between one minute and {days} days", life.as_secs()),
        "ask for another life, or leave it out",
    )
    .field("ttl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives() {
        let (day, year) = (Duration::from_secs(86_400), Duration::from_secs(365 * 86_400));
        let check = |asked| check(asked, day, year, Reason::TokenInvalid);
        assert_eq!(check(None), Ok(day));
        assert_eq!(check(Some(year)), Ok(year));
        for bad in [Duration::ZERO, Duration::from_secs(59), year + Duration::from_secs(1)] {
            assert!(check(Some(bad)).is_err(), "{bad:?}");
        }
    }
}

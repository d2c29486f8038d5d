//! One event on its way to one webhook: when it is tried, and what becomes of it.

use std::time::Duration;

use super::{
    time::{DAY, Timestamp},
    webhook::Health,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The pauses before the second attempt and each that follows, as Standard Webhooks recommends: 75 hours in all.
pub const PAUSES: [Duration; 9] = [
    SECOND.saturating_mul(5),
    MINUTE.saturating_mul(5),
    MINUTE.saturating_mul(30),
    HOUR.saturating_mul(2),
    HOUR.saturating_mul(5),
    HOUR.saturating_mul(10),
    HOUR.saturating_mul(14),
    HOUR.saturating_mul(20),
    HOUR.saturating_mul(24),
];
/// Pauses differ by up to a tenth, so that what failed together does not come back together.
const JITTER: f64 = 0.1;
/// A receiver may ask for a pause of its own, up to this.
const RETRY_AFTER: Duration = DAY;
/// After so many failures in a row an attempt that is taken means that the receiver is back, and what waits is tried
/// without waiting for its time. With fewer it may be one event alone that it chokes on, which has to wait for its time.
const OUTAGE: i64 = 3;
/// Sent at once to a webhook that works.
pub const AT_ONCE: i64 = 8;
/// For so many seconds a receiver that is back is sent one event, two, four, and so on: 255 in all, and in the last of them
/// about as many as eight at once are over a line of 60 ms. What felled it is not what it meets first.
const RAMP: u32 = 8;

/// Clocks of replicas differ by less, or their certificates would not work either. One that is behind waits until the receiver
/// is back for it, too.
const SKEW: Duration = MINUTE;

/// How fast a webhook is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One after the other, to see whether it is back.
    Probe,
    /// So many in this second, which nothing was sent in yet.
    Share(i64),
    /// No more in this second.
    Rest,
    /// What is due, a few at once.
    Full,
}

impl Health {
    /// How fast to send now.
    pub fn pace(&self, now: Timestamp) -> Pace {
        if self.failures > 0 {
            return Pace::Probe;
        }
        let Some(since) = self.recovering(now) else { return Pace::Full };
        let step = u32::try_from(now.since(since).as_secs()).unwrap_or(u32::MAX);
        if step >= RAMP {
            return Pace::Full;
        }
        match self.succeeded_at {
            Some(at) if at >= since.after(SECOND * step) => Pace::Rest,
            _ => Pace::Share(1 << step),
        }
    }

    /// An attempt was taken at `now`.
    fn taken(&self, now: Timestamp) -> Health {
        // Also one that stumbled on its way up begins anew.
        let is_stumbling = self.recovering(now).is_some_and(|since| now.since(since) < SECOND * RAMP);
        let is_back = self.failures >= OUTAGE || (self.failures > 0 && is_stumbling);
        Health {
            failures: 0,
            failing_since: None,
            succeeded_at: Some(now),
            recovering_since: if is_back { Some(now) } else { self.recovering_since },
        }
    }

    /// Since when it is back; none when it never was away, and when the clock was set back since.
    fn recovering(&self, now: Timestamp) -> Option<Timestamp> {
        self.recovering_since.filter(|since| since.before(SKEW) <= now)
    }

    /// The receiver gets another chance at `now`, without a word of the failures before.
    pub fn afresh(&self, now: Timestamp) -> Health {
        Health { succeeded_at: self.succeeded_at, recovering_since: Some(now), ..Health::default() }
    }
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// To be sent, now or later.
    Waiting,
    /// The receiver took it.
    Delivered,
    /// Given up after the last attempt.
    Failed,
    /// Its device left the scope before it was sent.
    Dropped,
}

impl DeliveryState {
    const ALL: [DeliveryState; 4] =
        [DeliveryState::Waiting, DeliveryState::Delivered, DeliveryState::Failed, DeliveryState::Dropped];

    /// As it is stored and filtered by.
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Failed => "failed",
            DeliveryState::Dropped => "dropped",
        }
    }

    /// Reads [`DeliveryState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        DeliveryState::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Every state, as it is written.
    pub fn words() -> Vec<&'static str> {
        DeliveryState::ALL.map(DeliveryState::as_str).into()
    }
}

/// One event on its way to one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The webhook.
    pub webhook_id: String,
    /// The event's position.
    pub position: i64,
    /// What the event is about: those of one subject are sent in order.
    pub subject: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: i64,
    /// When it was put down.
    pub created_at: Timestamp,
    /// Not before.
    pub next_attempt_at: Timestamp,
    /// The first attempt since it was put down, or since the webhook was enabled.
    pub first_attempt_at: Option<Timestamp>,
    /// The last attempt.
    pub last_attempt_at: Option<Timestamp>,
    /// What the receiver answered last; 0 when it did not.
    pub http_status: i64,
    /// Why the last attempt failed.
    pub error: String,
}

/// What came of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What the receiver answered; 0 when it did not.
    pub http_status: u16,
    /// Why it was not taken; empty when it was.
    pub error: String,
    /// How long the receiver asked to wait.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// Whether the receiver took it.
    pub fn is_taken(&self) -> bool {
        self.error.is_empty() && (200..300).contains(&self.http_status)
    }
}

/// What follows from an attempt for the webhook as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing.
    None,
    /// The receiver is back: what waits is tried without waiting for its time.
    Recovered,
    /// Nothing more is sent, for this reason.
    Disable(String),
}

/// What becomes of a delivery and of its webhook's health by one attempt at `now`; `dice` is uniform in [0, 1).
pub fn judge(
    delivery: &Delivery,
    health: Health,
    answer: &Answer,
    now: Timestamp,
    dice: f64,
) -> (Delivery, Health, Consequence) {
    let mut next = Delivery {
        attempts: delivery.attempts + 1,
        first_attempt_at: delivery.first_attempt_at.or(Some(now)),
        last_attempt_at: Some(now),
        http_status: i64::from(answer.http_status),
        error: answer.error.clone(),
        ..delivery.clone()
    };
    if answer.is_taken() {
        next.state = DeliveryState::Delivered;
        let consequence = if health.failures >= OUTAGE { Consequence::Recovered } else { Consequence::None };
        return (next, health.taken(now), consequence);
    }
    let health =
        Health { failures: health.failures + 1, failing_since: health.failing_since.or(Some(now)), ..health };
    if answer.http_status == 410 {
        // Standard Webhooks: the receiver does not want to hear any more.
        return (next, health, Consequence::Disable("the receiver answered 410 Gone".to_owned()));
    }
    match pause(next.attempts, answer.retry_after, dice) {
        Some(pause) => {
            next.next_attempt_at = now.after(pause);
            (next, health, Consequence::None)
        }
        // Other events were taken meanwhile: it is this one that the receiver chokes on.
        None if health.succeeded_at >= next.first_attempt_at => {
            next.state = DeliveryState::Failed;
            (next, health, Consequence::None)
        }
        None => {
            // Clients read this as well: why there was no answer is for operators, with the delivery.
            let last = if next.http_status == 0 { "no answer" } else { &next.error };
            let reason = format!("{} attempts failed; the last: {last}", next.attempts);
            (next, health, Consequence::Disable(reason))
        }
    }
}

/// The pause after so many attempts; none after the last.
fn pause(attempts: i64, asked: Option<Duration>, dice: f64) -> Option<Duration> {
    let planned = usize::try_from(attempts - 1).ok().and_then(|index| PAUSES.get(index))?;
    let planned = planned.mul_f64(1.0 - JITTER + 2.0 * JITTER * dice);
    Some(asked.map_or(planned, |asked| planned.max(asked.min(RETRY_AFTER))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_772_323_200);

    fn waiting() -> Delivery {
        Delivery {
            webhook_id: "a".into(),
            position: 1,
            subject: "alerts/a".into(),
            state: DeliveryState::Waiting,
            attempts: 0,
            created_at: START,
            next_attempt_at: START,
            first_attempt_at: None,
            last_attempt_at: None,
            http_status: 0,
            error: String::new(),
        }
    }

    fn refused(http_status: u16) -> Answer {
        Answer { http_status, error: format!("answered {http_status}"), retry_after: None }
    }

    fn taken() -> Answer {
        Answer { http_status: 204, ..Answer::default() }
    }

    #[test]
    fn the_recommended_schedule_to_its_end() {
        let (mut delivery, mut health, mut consequence) = (waiting(), Health::default(), Consequence::None);
        let mut pauses = Vec::new();
        while consequence == Consequence::None {
            let now = delivery.next_attempt_at;
            (delivery, health, consequence) = judge(&delivery, health, &refused(500), now, 0.5);
            pauses.push(delivery.next_attempt_at.since(now).as_secs());
        }
        pauses.pop();
        assert_eq!(pauses, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!(consequence, Consequence::Disable("10 attempts failed; the last: answered 500".into()));
        assert_eq!((delivery.state, health.failing_since), (DeliveryState::Waiting, Some(START)));
        // By lot between nine and eleven tenths.
        let next = |dice| {
            judge(&waiting(), Health::default(), &refused(500), START, dice).0.next_attempt_at.since(START)
        };
        assert_eq!((next(0.0).as_millis(), next(0.999).as_millis()), (4500, 5499));
    }

    #[test]
    fn one_event_that_a_receiver_chokes_on_is_given_up_and_the_others_go_on() {
        let last = Delivery { attempts: 9, first_attempt_at: Some(START), ..waiting() };
        let health = Health { succeeded_at: Some(START.after(HOUR)), ..Health::default() };
        let (delivery, _, consequence) = judge(&last, health, &refused(422), START.after(DAY), 0.5);
        assert_eq!((delivery.state, consequence), (DeliveryState::Failed, Consequence::None));
    }

    #[test]
    fn a_receiver_that_is_back_gets_what_waits_and_one_that_is_gone_nothing() {
        let after = |failures, answer: &Answer| {
            let health = Health { failures, failing_since: Some(START), ..Health::default() };
            judge(&waiting(), health, answer, START, 0.5)
        };
        let (delivery, health, consequence) = after(3, &taken());
        assert_eq!((delivery.state, consequence), (DeliveryState::Delivered, Consequence::Recovered));
        let recovering_since = Some(START);
        assert_eq!(health, Health { succeeded_at: Some(START), recovering_since, ..Health::default() });
        let (_, health, consequence) = after(2, &taken());
        assert_eq!((health.recovering_since, consequence), (None, Consequence::None));
        assert!(matches!(after(0, &refused(410)).2, Consequence::Disable(_)));
    }

    #[test]
    fn a_receiver_that_is_back_is_sent_twice_as_much_each_second() {
        let at = |millis| START.after(Duration::from_millis(millis));
        let back = Health { failures: 3, failing_since: Some(START), ..Health::default() }.taken(at(0));
        assert_eq!(back.pace(at(0)), Pace::Rest, "the probe was this second's");
        let (mut health, mut sent) = (back, 1);
        for second in 1..8 {
            let Pace::Share(share) = health.pace(at(second * 1_000 + 300)) else { panic!("{second}") };
            assert_eq!(share, 1 << second);
            sent += share;
            health = health.taken(at(second * 1_000 + 400));
            assert_eq!(health.pace(at(second * 1_000 + 999)), Pace::Rest);
        }
        assert_eq!((sent, health.pace(at(8_000))), (255, Pace::Full));
        assert_eq!(health.pace(at(0).before(DAY)), Pace::Full, "a clock that was set back stops nobody");
        assert_eq!(back.pace(at(0).before(SECOND)), Pace::Rest, "nor does one that is a little behind hurry");
        // Whoever stumbles begins anew, and is not asked for more before it is back.
        let stumbled = Health { failures: 1, ..back };
        assert_eq!(stumbled.pace(at(3_000)), Pace::Probe);
        assert_eq!(stumbled.taken(at(3_000)).recovering_since, Some(at(3_000)));
        // One failure between others is no outage.
        assert_eq!(stumbled.taken(at(9_000)).pace(at(9_000)), Pace::Full);
        // Enabled again: one event shows whether it works.
        assert_eq!(health.afresh(at(60_000)).pace(at(60_000)), Pace::Share(1));
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_up_to_a_day() {
        let next = |seconds| {
            let answer = Answer { retry_after: Some(Duration::from_secs(seconds)), ..refused(429) };
            judge(&waiting(), Health::default(), &answer, START, 0.5).0.next_attempt_at.since(START).as_secs()
        };
        assert_eq!([next(0), next(60), next(10_000_000)], [5, 60, 86_400]);
    }
}

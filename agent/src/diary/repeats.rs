//! What the log says of things that go wrong again and again: the first of a sort, then how often it came, once
//! an hour and when it is over. In an outage a device tries for hours, and every try fails in one of few ways.

use crate::machine::Reason;

/// That something goes on is said this often, in milliseconds.
const AGAIN: i64 = 3_600_000;
/// What did not come for so long, in milliseconds, is new when it comes: a device that is shut out tries once
/// in an hour.
const FORGOTTEN: i64 = 2 * AGAIN;
/// Sorts that are known at once, and details of one sort; the oldest sort makes place.
const KEPT: usize = 16;
const DETAILS: usize = 8;

/// What went wrong lately, by its code.
#[derive(Debug, Default)]
pub struct Repeats(Vec<Repeat>);

#[derive(Debug)]
struct Repeat {
    code: String,
    /// Those that were said.
    details: Vec<String>,
    since: i64,
    last: i64,
    said_at: i64,
    times: u64,
    /// It ends with the next round of talk in which all is well.
    is_passing: bool,
}

impl Repeats {
    /// The line for a reason that came at `now`, unless it was said lately.
    pub fn came(&mut self, reason: &Reason, is_passing: bool, now: i64) -> Option<String> {
        self.0.retain(|repeat| now - repeat.last < FORGOTTEN);
        let line = format!("{}: {}", reason.code, reason.detail);
        let Some(repeat) = self.0.iter_mut().find(|repeat| repeat.code == reason.code) else {
            self.note(reason, is_passing, now);
            return Some(line);
        };
        repeat.times += 1;
        repeat.last = now;
        if repeat.details.len() < DETAILS && !repeat.details.contains(&reason.detail) {
            repeat.details.push(reason.detail.clone());
            return Some(line);
        }
        if now - repeat.said_at < AGAIN {
            return None;
        }
        repeat.said_at = now;
        Some(format!("{line} (for {} now, {} times)", span(now - repeat.since), repeat.times))
    }

    /// Knows of a reason without a word: somebody said it.
    pub fn note(&mut self, reason: &Reason, is_passing: bool, at: i64) {
        if self.0.len() == KEPT
            && let Some(oldest) = (0..KEPT).min_by_key(|i| self.0[*i].last)
        {
            self.0.remove(oldest);
        }
        let (code, details) = (reason.code.clone(), vec![reason.detail.clone()]);
        self.0.push(Repeat { code, details, since: at, last: at, said_at: at, times: 1, is_passing });
    }

    /// All is well in the talk with the server: a line for each thing that was not, more than once.
    pub fn over(&mut self, now: i64) -> Vec<String> {
        let ended = self.0.extract_if(.., |repeat| repeat.is_passing);
        ended
            .filter(|repeat| repeat.times > 1)
            .map(|Repeat { code, since, times, .. }| {
                format!("{code}: over after {}, {times} times", span(now - since))
            })
            .collect()
    }
}

/// A span of milliseconds in words: its two largest units.
fn span(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    match (seconds / 3600, seconds / 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {} min", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn an_outage_is_told_at_its_start_hourly_and_at_its_end() {
        let mut repeats = Repeats::default();
        let ways =
            [Reason::new("SERVER_UNREACHABLE", "refused"), Reason::new("SERVER_UNREACHABLE", "timed out")];
        let mut lines = Vec::new();
        for minute in (0..150).step_by(5) {
            let way = &ways[usize::from(minute % 10 != 0)];
            lines.extend(repeats.came(way, true, minute * MINUTE));
        }
        assert_eq!(
            lines,
            [
                "SERVER_UNREACHABLE: refused",
                "SERVER_UNREACHABLE: timed out",
                "SERVER_UNREACHABLE: refused (for 1 h 0 min now, 13 times)",
                "SERVER_UNREACHABLE: refused (for 2 h 0 min now, 25 times)",
            ]
        );
        assert_eq!(repeats.over(150 * MINUTE), ["SERVER_UNREACHABLE: over after 2 h 30 min, 30 times"]);
        assert!(repeats.over(151 * MINUTE).is_empty());
        assert!(repeats.came(&ways[0], true, 152 * MINUTE).is_some(), "another outage");
        assert!(repeats.over(153 * MINUTE).is_empty(), "once is told by its own line");
    }

    #[test]
    fn what_talk_with_the_server_does_not_end_is_new_after_hours_of_silence() {
        let mut repeats = Repeats::default();
        let full = Reason::new("SPOOL_DISK_FULL", "no space");
        assert!(repeats.came(&full, false, 0).is_some());
        assert!(repeats.came(&full, false, 30_000).is_none());
        assert!(repeats.over(40_000).is_empty());
        assert!(repeats.came(&full, false, MINUTE).is_none());
        assert_eq!(repeats.came(&full, false, 200 * MINUTE).as_deref(), Some("SPOOL_DISK_FULL: no space"));
    }

    #[test]
    fn a_detail_that_is_always_another_does_not_fill_the_log() {
        let mut repeats = Repeats::default();
        let other = |i: i64| Reason::new("X", i);
        assert_eq!((0..100).filter_map(|i| repeats.came(&other(i), true, i)).count(), DETAILS);
        let sort = |i: i64| Reason::new(&format!("X{i}"), "");
        assert_eq!((0..100).filter_map(|i| repeats.came(&sort(i), true, 100 + i)).count(), 100);
        assert_eq!(repeats.0.len(), KEPT);
    }
}

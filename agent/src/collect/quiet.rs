//! Keeps back what says nothing new: a counter that stands still is told once an hour.
//!
//! A machine has dozens of them (wear, errors, boots), and they stand still for most of its life. Told each
//! minute they would be most of what is written to its flash and sent. A change is told at once.

use slipway_proto::v1::Reading;

use super::dictionary::{self, Metric};

/// In milliseconds. Short enough that a part that was replaced shows within a shift.
const PAUSE: i64 = 3_600_000;
/// Series that are remembered; a machine with more tells the others each time.
const REMEMBERED: usize = 512;

/// What was told last.
#[derive(Debug, Default)]
pub struct Quiet {
    told: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    component: String,
    metric: String,
    value: f64,
    boot_id: String,
    at: i64,
}

impl Quiet {
    /// Takes away what was told within the hour and is the same.
    pub fn filter(&mut self, readings: &mut Vec<Reading>, now: i64) {
        readings.retain(|reading| !is_quiet(&reading.metric) || self.is_news(reading, now));
    }

    fn is_news(&mut self, reading: &Reading, now: i64) -> bool {
        let is_same = |told: &&mut Told| told.metric == reading.metric && told.component == reading.component;
        if let Some(told) = self.told.iter_mut().find(is_same) {
            // A clock that goes back starts a new hour.
            let lately = (0..PAUSE).contains(&(now - told.at));
            if lately && told.value == reading.value && told.boot_id == reading.boot_id {
                return false;
            }
            (told.value, told.at) = (reading.value, now);
            told.boot_id.clone_from(&reading.boot_id);
            return true;
        }
        if self.told.len() >= REMEMBERED {
            // Disks and sensors that are gone for good make room; the others are told once more.
            self.told.clear();
        }
        self.told.push(Told {
            component: reading.component.clone(),
            metric: reading.metric.clone(),
            value: reading.value,
            boot_id: reading.boot_id.clone(),
            at: now,
        });
        true
    }
}

fn is_quiet(name: &str) -> bool {
    dictionary::by_name(name).as_ref().is_some_and(Metric::is_quiet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::Sink;

    fn told(quiet: &mut Quiet, boot: &str, load: f64, kills: f64, now: i64) -> usize {
        let mut sink = Sink::new(now, boot);
        sink.take("system", dictionary::LOAD_1M, load);
        sink.take("system", dictionary::OOM_KILLS, kills);
        let mut readings = sink.into_readings();
        quiet.filter(&mut readings, now);
        readings.len()
    }

    #[test]
    fn a_change_is_told_at_once_and_a_standstill_once_an_hour() {
        let mut quiet = Quiet::default();
        assert_eq!(told(&mut quiet, "one", 1.0, 0.0, 0), 2);
        assert_eq!(told(&mut quiet, "one", 1.0, 0.0, PAUSE - 1), 1, "a gauge is told each time");
        assert_eq!(told(&mut quiet, "one", 1.0, 0.0, PAUSE), 2);
        assert_eq!(told(&mut quiet, "one", 1.0, 1.0, PAUSE + 1), 2);
        assert_eq!(told(&mut quiet, "two", 1.0, 1.0, PAUSE + 2), 2, "it counts from another boot");
        assert_eq!(told(&mut quiet, "two", 1.0, 1.0, 5), 2, "the clock went back");
    }

    #[test]
    fn remembers_no_more_than_it_may() {
        let mut quiet = Quiet::default();
        for number in 0..3 * REMEMBERED {
            let mut sink = Sink::new(0, "");
            sink.take(&format!("disk{number}"), dictionary::EXT4_ERRORS, 1.0);
            quiet.filter(&mut sink.into_readings(), 0);
            assert!(quiet.told.len() <= REMEMBERED);
        }
    }
}

//! Makes readings of all sensors of a part of those that its sensors give one by one.
//!
//! Time is cut into steps of one length, all parts alike. What a sensor says of a step is the mean of its readings in it, or,
//! when it has none, what it said last; a step in which no sensor says anything is none: a machine that rests does not wear.
//! Before every sensor has said something there is no step.

use super::{Cohort, Remaining, Unit, is_number};

/// What was heard of one sensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Heard {
    /// Of its readings in the open step.
    pub(super) sum: f64,
    /// How many those are.
    pub(super) count: u32,
    /// Its newest reading.
    pub(super) last: f64,
    /// When that was made; none before the first.
    pub(super) last_at: Option<i64>,
}

/// A part that is followed: constant size for a number of sensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Follower {
    pub(super) unit: Unit,
    pub(super) sensors: Vec<Heard>,
    /// The number of the step that goes on.
    pub(super) open: Option<i64>,
    /// The number of the last one that was a reading of all sensors.
    pub(super) closed: Option<i64>,
    /// See [`Follower::calm`].
    pub(super) calm: u8,
}

impl Follower {
    /// A new part, followed by what `cohort` learned.
    pub fn new(cohort: &Cohort) -> Self {
        let nothing = Heard { sum: 0.0, count: 0, last: 0.0, last_at: None };
        Follower {
            unit: cohort.unit(),
            sensors: vec![nothing; cohort.sensors()],
            open: None,
            closed: None,
            calm: 0,
        }
    }

    /// Takes in what a sensor read at `at_ms`, in ms since the epoch, where steps have `step_ms`. True when that ended a
    /// step, and the part was stepped: a reading of a later step does. One of a step that has ended changes nothing of
    /// that step, and is what the sensor said last if it is newer than that; one that is not newer is no news.
    pub fn take(&mut self, cohort: &Cohort, step_ms: i64, sensor: usize, at_ms: i64, value: f64) -> bool {
        let step = at_ms.div_euclid(step_ms.max(1));
        let Some(heard) = self.sensors.get(sensor).filter(|_| is_number(value)) else { return false };
        if heard.last_at.is_some_and(|last_at| at_ms <= last_at) {
            return false;
        }
        let is_later = self.open.is_some_and(|open| step > open);
        let is_stepped = is_later && self.close(cohort);
        if is_later || self.open.is_none() {
            self.open = Some(step);
        }
        let is_open = self.open == Some(step);
        if let Some(heard) = self.sensors.get_mut(sensor) {
            (heard.last, heard.last_at) = (value, Some(at_ms));
            if is_open {
                heard.sum += value;
                heard.count = heard.count.saturating_add(1);
            }
        }
        is_stepped
    }

    /// Ends the step that is open; whether the part was stepped.
    fn close(&mut self, cohort: &Cohort) -> bool {
        let mean = |heard: &Heard| match heard.count {
            0 => heard.last,
            count => heard.sum / f64::from(count),
        };
        let is_whole = self.sensors.iter().all(|heard| heard.last_at.is_some());
        if is_whole {
            let reading: Vec<f64> = self.sensors.iter().map(mean).collect();
            self.unit.step(cohort, &reading);
            self.closed = self.open;
        }
        self.sensors.iter_mut().for_each(|heard| (heard.sum, heard.count) = (0.0, 0));
        is_whole
    }

    /// The part.
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// How many sensors it has.
    pub fn sensors(&self) -> usize {
        self.sensors.len()
    }

    /// How long the part still lives, counted from [`Follower::stepped_at`].
    pub fn remaining(&self, cohort: &Cohort) -> Option<Remaining> {
        self.unit.remaining(cohort)
    }

    /// When the last step ended that the part was stepped by, in ms since the epoch.
    pub fn stepped_at(&self, step_ms: i64) -> Option<i64> {
        self.closed.map(|closed| closed.saturating_add(1).saturating_mul(step_ms))
    }

    /// The newest reading of a sensor: when it was made, and what it says.
    pub fn last(&self, sensor: usize) -> Option<(i64, f64)> {
        let heard = self.sensors.get(sensor)?;
        heard.last_at.map(|at| (at, heard.last))
    }

    /// How many steps in a row were [noted](Follower::note) as calm, up to 255: what was said of the part is over only when
    /// that lasts.
    pub fn calm(&self) -> u8 {
        self.calm
    }

    /// Notes whether the last step was one of a part that nothing has to be said of.
    pub fn note(&mut self, is_calm: bool) {
        self.calm = if is_calm { self.calm.saturating_add(1) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn cohort() -> Cohort {
        let mut noise = Noise::new(1);
        let life = |_| {
            (0..60)
                .map(|at| {
                    let wear = (f64::from(at - 60) / 15.0).exp();
                    vec![10.0 + 3.0 * wear + 0.2 * noise.normal(), 50.0 - 9.0 * wear + 0.2 * noise.normal()]
                })
                .collect()
        };
        Cohort::learn(&(0..12).map(life).collect::<Vec<Vec<Vec<f64>>>>(), 40.0).unwrap()
    }

    #[test]
    fn a_step_is_the_mean_of_each_sensor_or_what_it_said_last() {
        let cohort = cohort();
        let (mut follower, mut unit) = (Follower::new(&cohort), cohort.unit());
        let mut take = |minute: i64, sensor, value| {
            let is_stepped = follower.take(&cohort, HOUR, sensor, minute * MINUTE, value);
            (is_stepped, follower.clone())
        };
        // The second sensor is not known in the first hour: that is no step.
        assert!(!take(10, 0, 1.0).0 && !take(70, 0, 10.0).0 && !take(75, 1, 50.0).0 && !take(110, 0, 14.0).0);
        // The second says nothing in the third hour, and in the fourth and fifth nobody says anything.
        let (is_stepped, after) = take(125, 0, 11.0);
        unit.step(&cohort, &[12.0, 50.0]);
        assert!(is_stepped);
        assert_eq!((after.unit(), after.stepped_at(HOUR)), (&unit, Some(2 * HOUR)));
        let (is_stepped, after) = take(301, 1, 51.0);
        unit.step(&cohort, &[11.0, 50.0]);
        assert!(is_stepped);
        assert_eq!((after.unit(), after.stepped_at(HOUR)), (&unit, Some(3 * HOUR)));
        assert_eq!((after.last(0), after.last(1)), (Some((125 * MINUTE, 11.0)), Some((301 * MINUTE, 51.0))));
        assert_eq!(after.last(2), None);
    }

    #[test]
    fn late_readings_and_repeats_change_no_step() {
        let cohort = cohort();
        let mut follower = Follower::new(&cohort);
        for (minute, sensor) in [(1, 0), (1, 1), (61, 0)] {
            follower.take(&cohort, HOUR, sensor, minute * MINUTE, 10.0);
        }
        let before = follower.clone();
        for (minute, sensor, value) in [(61, 0, 99.0), (60, 0, 99.0), (1, 1, 99.0), (62, 7, 1.0)] {
            assert!(!follower.take(&cohort, HOUR, sensor, minute * MINUTE, value));
        }
        for value in [f64::NAN, f64::INFINITY, -1e31] {
            assert!(!follower.take(&cohort, HOUR, 0, 63 * MINUTE, value));
        }
        assert_eq!(follower, before);
        // A sensor that tells an hour late is known by what it told last.
        follower.take(&cohort, HOUR, 1, 59 * MINUTE, 20.0);
        assert!(follower.take(&cohort, HOUR, 0, 121 * MINUTE, 10.0));
        let mut unit = cohort.unit();
        unit.step(&cohort, &[10.0, 10.0]);
        unit.step(&cohort, &[10.0, 20.0]);
        assert_eq!(follower.unit(), &unit);
    }

    #[test]
    fn times_before_the_epoch_and_at_its_ends_are_steps_too() {
        let cohort = cohort();
        let mut follower = Follower::new(&cohort);
        for at in [i64::MIN, -1, 0, i64::MAX] {
            for sensor in 0..2 {
                follower.take(&cohort, HOUR, sensor, at, 1.0);
            }
        }
        assert_eq!((follower.unit().readings(), follower.stepped_at(HOUR)), (3, Some(HOUR)));
        assert!(!follower.take(&cohort, 0, 0, i64::MAX, 1.0));
    }

    #[test]
    fn calm_is_what_lasts() {
        let mut follower = Follower::new(&cohort());
        (0..300).for_each(|_| follower.note(true));
        assert_eq!(follower.calm(), 255);
        follower.note(false);
        assert_eq!(follower.calm(), 0);
    }
}

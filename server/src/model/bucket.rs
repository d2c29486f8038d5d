//! Readings put together: as they are while there are few, in buckets of time when there are many.

use std::{collections::BTreeMap, mem};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Lengths of buckets, ms. Each is a multiple of the one before, so that buckets are put together to longer ones.
const STEPS: [i64; 16] = [
    SECOND,
    5 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    7 * DAY,
    28 * DAY,
    364 * DAY,
];

/// One reading, or what several amount to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When it was read, or the beginning of the bucket; ms since 1970.
    pub time: i64,
    /// Smallest value.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Largest value.
    pub max: f64,
    /// How many readings.
    pub count: u64,
}

/// Readings of one series on their way to at most so many points. Memory does not grow beyond these.
#[derive(Clone, Debug)]
pub struct Buckets {
    most: usize,
    /// Length of the buckets; none while there are only readings.
    length: Option<i64>,
    raw: Vec<(i64, f64)>,
    buckets: BTreeMap<i64, Point>,
    readings: u64,
}

impl Buckets {
    /// None yet. With `at_least` the readings are put together in buckets of at least so many ms in any case.
    pub fn new(most: usize, at_least: Option<i64>) -> Self {
        let length = at_least.map(|least| {
            let round = STEPS.into_iter().find(|step| *step >= least);
            round.unwrap_or(least)
        });
        Buckets { most: most.max(1), length, raw: Vec::new(), buckets: BTreeMap::new(), readings: 0 }
    }

    /// Adds a reading; their order makes no difference but in the last digits of means.
    pub fn add(&mut self, time: i64, value: f64) {
        self.readings += 1;
        let Some(length) = self.length else {
            self.raw.push((time, value));
            if self.raw.len() > self.most {
                self.lengthen(STEPS[0]);
            }
            return;
        };
        self.put(length, Point { time, min: value, mean: value, max: value, count: 1 });
        if self.buckets.len() > self.most {
            let longer = STEPS.into_iter().find(|step| *step > length);
            self.lengthen(longer.unwrap_or(length.saturating_mul(2)));
        }
    }

    /// How many readings were added.
    pub fn readings(&self) -> u64 {
        self.readings
    }

    /// The points by time, and the length of their buckets in ms; none if each is a reading.
    pub fn finish(mut self) -> (Vec<Point>, Option<i64>) {
        if self.length.is_some() {
            return (self.buckets.into_values().collect(), self.length);
        }
        self.raw.sort_by(|one, other| one.0.cmp(&other.0).then_with(|| one.1.total_cmp(&other.1)));
        let reading = |(time, value)| Point { time, min: value, mean: value, max: value, count: 1 };
        (self.raw.into_iter().map(reading).collect(), None)
    }

    fn lengthen(&mut self, mut length: i64) {
        loop {
            self.length = Some(length);
            for (time, value) in mem::take(&mut self.raw) {
                self.put(length, Point { time, min: value, mean: value, max: value, count: 1 });
            }
            for point in mem::take(&mut self.buckets).into_values() {
                self.put(length, point);
            }
            // Before and after 1970 there is a bucket in any case.
            if self.buckets.len() <= self.most || length == i64::MAX {
                return;
            }
            let longer = STEPS.into_iter().find(|step| *step > length);
            length = longer.unwrap_or(length.saturating_mul(2));
        }
    }

    fn put(&mut self, length: i64, point: Point) {
        let time = point.time.div_euclid(length).saturating_mul(length);
        let bucket = self.buckets.entry(time).or_insert(Point { time, count: 0, ..point });
        bucket.min = bucket.min.min(point.min);
        bucket.max = bucket.max.max(point.max);
        bucket.count += point.count;
        // Not the sum of all: it could leave the numbers there are.
        let share = point.count as f64 / bucket.count as f64;
        bucket.mean = bucket.mean * (1.0 - share) + point.mean * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(readings: &[(i64, f64)], most: usize, at_least: Option<i64>) -> (Vec<Point>, Option<i64>) {
        let mut buckets = Buckets::new(most, at_least);
        for (time, value) in readings {
            buckets.add(*time, *value);
        }
        assert_eq!(buckets.readings(), readings.len() as u64);
        buckets.finish()
    }

    #[test]
    fn few_readings_stay_as_they_are() {
        let (points, length) = of(&[(2_000, 2.0), (1_000, 1.0), (1_000, 3.0)], 3, None);
        assert_eq!(length, None);
        assert_eq!(
            points.iter().map(|p| (p.time, p.mean)).collect::<Vec<_>>(),
            [(1_000, 1.0), (1_000, 3.0), (2_000, 2.0)]
        );
    }

    #[test]
    fn many_are_put_together_in_the_shortest_round_buckets() {
        let readings: Vec<_> = (0..3_600).map(|s| (s * SECOND, (s % 60) as f64)).collect();
        let (points, length) = of(&readings, 60, None);
        assert_eq!((points.len(), length), (60, Some(MINUTE)));
        for (index, point) in points.iter().enumerate() {
            assert_eq!(
                (point.time, point.min, point.max, point.count),
                (index as i64 * MINUTE, 0.0, 59.0, 60)
            );
            assert!((point.mean - 29.5).abs() < 1e-9, "{point:?}");
        }
        assert_eq!(of(&readings, 59, None).1, Some(5 * MINUTE));
        assert_eq!(of(&readings, 1, None).0.len(), 1);
    }

    #[test]
    fn the_order_of_readings_makes_no_difference() {
        let mut readings: Vec<_> = (0..5_000).map(|n| (n * 7_919 % 86_400_000, (n as f64).sin())).collect();
        let (forward, length) = of(&readings, 100, None);
        readings.reverse();
        let (backward, same) = of(&readings, 100, None);
        assert_eq!((forward.len(), length), (backward.len(), same));
        for (one, other) in forward.iter().zip(&backward) {
            assert_eq!(
                (one.time, one.min, one.max, one.count),
                (other.time, other.min, other.max, other.count)
            );
            assert!((one.mean - other.mean).abs() < 1e-12);
        }
    }

    #[test]
    fn a_length_that_was_asked_for_is_made_round_and_kept_to() {
        let readings: Vec<_> = (0..10).map(|m| (m * MINUTE, 1.0)).collect();
        let (points, length) = of(&readings, 100, Some(2 * MINUTE));
        assert_eq!((points.len(), length), (2, Some(5 * MINUTE)));
        assert_eq!(of(&readings, 1, Some(1)).1, Some(15 * MINUTE));
    }

    #[test]
    fn whatever_stands_in_a_reading_has_a_place() {
        let ends = [i64::MIN, -1, 0, 1, i64::MAX];
        let readings: Vec<_> = ends.iter().map(|t| (*t, 1e308)).collect();
        let (points, _) = of(&readings, 1, None);
        assert!(points.iter().all(|p| p.mean.is_finite()));
        assert_eq!(of(&[], 10, None), (Vec::new(), None));
    }
}

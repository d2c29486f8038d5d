use super::*;
use crate::testing::Noise;

const LIMIT: f64 = 80.0;

/// Wears faster and faster, some parts three times as fast as others; a reading a day, with noise.
fn lives(count: usize, seed: u64, sign: f64) -> Vec<Life> {
    let mut noise = Noise::new(seed);
    let life = |_| {
        let length = 100.0 + 200.0 * noise.unit();
        let bend = 3.0 + noise.unit();
        let value = |day: u32, noise: f64| 100.0 - 20.0 * (f64::from(day) / length).powf(bend) + 0.2 * noise;
        let readings = (0..400).map(|day| (f64::from(day), sign * value(day, noise.normal())));
        Life { readings: readings.collect(), limit: sign * LIMIT }
    };
    (0..count).map(life).collect()
}

/// Mean errors of the outlook and of the line in shares of the life, and the share within the band.
fn judge(cohort: &Approaches, lives: &[Life]) -> (f64, f64, f64) {
    let (mut errors, mut by_line, mut within, mut count) = (0.0, 0.0, 0.0, 0.0);
    for life in lives {
        let beyond = |reading: &(f64, f64)| (reading.1 - life.limit) * life.limit.signum() <= 0.0;
        let end = life.readings.iter().position(beyond).unwrap();
        let length = life.readings[end].0;
        let mut part = Approach::default();
        for (time, value) in &life.readings[..end] {
            part.step(*time, *value);
            if !(0.5 * length..=0.9 * length).contains(time) {
                continue;
            }
            let outlook = part.outlook(cohort, life.limit).unwrap();
            let left = length - time;
            let (low, high) = outlook.band.unwrap();
            assert!((low..=high).contains(&outlook.p50));
            errors += (outlook.p50 - left).abs() / length;
            by_line += (part.age * part.by_line(life.limit).exp() - left).abs() / length;
            within += f64::from((low..=high).contains(&left));
            count += 1.0;
        }
    }
    (errors / count, by_line / count, within / count)
}

#[test]
fn others_that_wore_faster_and_faster_tell_more_than_a_line() {
    let cohort = Approaches::learn(&lives(40, 1, 1.0)).unwrap();
    assert_eq!(cohort.lives(), 40);
    let (error, by_line, coverage) = judge(&cohort, &lives(40, 2, 1.0));
    assert!(error < by_line / 3.0, "{error}, a line {by_line}");
    assert!((0.72..=0.88).contains(&coverage), "{coverage}");
}

#[test]
fn a_limit_above_is_the_mirror_of_one_below() {
    let below = Approaches::learn(&lives(10, 1, 1.0)).unwrap();
    let above = Approaches::learn(&lives(10, 1, -1.0)).unwrap();
    assert_eq!(judge(&below, &lives(5, 2, 1.0)), judge(&above, &lives(5, 2, -1.0)));
}

#[test]
fn few_lives_claim_no_band_and_fewer_teach_nothing() {
    assert_eq!(Approaches::learn(&lives(2, 1, 1.0)), None);
    let mut some = lives(7, 1, 1.0);
    for life in &mut lives(5, 2, 1.0) {
        // These were not watched to their end.
        life.readings.truncate(40);
        some.push(life.clone());
    }
    let cohort = Approaches::learn(&some).unwrap();
    assert_eq!(cohort.lives(), 7);
    let mut part = Approach::default();
    for (time, value) in &some[0].readings[..60] {
        part.step(*time, *value);
    }
    let outlook = part.outlook(&cohort, LIMIT).unwrap();
    assert!(outlook.band.is_none() && outlook.p50 > 0.0, "{outlook:?}");
}

#[test]
fn what_cannot_be_known_is_not_claimed() {
    let mut noise = Noise::new(5);
    let life = |_| {
        // Straight until a moment that nothing announces.
        let (slope, end) = (0.05 + 0.05 * noise.unit(), 60 + (200.0 * noise.unit()) as u32);
        let value = |day| if day < end { 100.0 - slope * f64::from(day) } else { 0.0 };
        Life { readings: (0..300).map(|day| (f64::from(day), value(day))).collect(), limit: LIMIT }
    };
    let cohort = Approaches::learn(&(0..20).map(life).collect::<Vec<_>>()).unwrap();
    let wide = |readings: u32| {
        let mut part = Approach::default();
        (0..readings).for_each(|day| part.step(f64::from(day), 100.0 - 0.07 * f64::from(day)));
        let (low, high) = part.outlook(&cohort, LIMIT).unwrap().band.unwrap();
        high / low
    };
    assert!(wide(50) > 4.0, "{}", wide(50));
}

#[test]
fn what_is_no_reading_is_passed_over() {
    let cohort = Approaches::learn(&lives(10, 1, 1.0)).unwrap();
    let (mut with, mut without) = (Approach::default(), Approach::default());
    assert_eq!(with.outlook(&cohort, LIMIT), None);
    for (time, value) in &lives(1, 3, 1.0)[0].readings[..80] {
        with.step(*time, *value);
        without.step(*time, *value);
        for (time, value) in [(*time, 1.0), (time - 1.0, 2.0), (f64::NAN, 1.0), (time + 0.1, f64::INFINITY)] {
            with.step(time, value);
        }
    }
    assert_eq!(with.outlook(&cohort, LIMIT), without.outlook(&cohort, LIMIT));
    assert_eq!(with.outlook(&cohort, 100.0).map(|outlook| outlook.p50 >= 0.0), Some(true));
}

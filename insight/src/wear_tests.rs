//! Courses of parts as they are met with, each followed reading by reading as the server does.

use std::f64::consts::TAU;

use super::*;
use crate::{DAY_MS, Side, testing::Noise};

const HALF_HOUR: i64 = 30 * 60_000;
const A_DAY: i32 = 48;

/// A series under a limit, and what stands.
struct Watched {
    series: Series,
    bound: Bound,
    standing: Standing,
    at: i64,
}

impl Watched {
    fn new(limit: f64) -> Self {
        let bound = Bound { value: limit, side: Side::Above, horizon_ms: 90 * DAY_MS };
        Watched { series: Series::default(), bound, standing: Standing::Clear, at: 0 }
    }

    fn read(&mut self, value: f64) -> Finding {
        self.at += HALF_HOUR;
        self.series.step(self.at, value, Some(self.bound.side));
        let finding = judge(&self.series, &self.bound, self.standing);
        self.standing = finding.standing();
        finding
    }

    /// Days from now to P10 and P50, where there is a forecast.
    fn left(&self, finding: &Finding) -> Option<(f64, f64)> {
        let Finding::Expected(forecast) = finding else { return None };
        Some((crate::days(forecast.p10_ms - self.at), crate::days(forecast.p50_ms - self.at)))
    }
}

/// P10 and P50 when the limit is one day and half a day away, in the last of some lives of ten days in which wear grows with
/// a power of the age.
fn told(lives: i32, power: i32, noise: f64, seed: u64) -> [Option<(f64, f64)>; 2] {
    let mut chance = Noise::new(seed);
    let mut part = Watched::new(100.0);
    let mut told = [None; 2];
    for _ in 0..lives {
        let life = f64::from(A_DAY) * (9.0 + 2.0 * chance.unit());
        let readings = (0..).map(f64::from).take_while(|age| *age < life);
        for age in readings {
            let finding = part.read(100.0 * (age / life).powi(power) + noise * chance.normal());
            for (told, away) in told.iter_mut().zip([1.0, 0.5]) {
                if life - age >= away * f64::from(A_DAY) {
                    *told = part.left(&finding);
                }
            }
        }
    }
    told
}

#[test]
fn what_wears_faster_and_faster_is_foretold_in_every_life() {
    for (lives, power) in (1..=4).flat_map(|lives| (1..=4).map(move |power| (lives, power))) {
        for (noise, seed) in [(0.0, 1), (0.05, 2), (0.4, 3), (1.5, 4)] {
            let told = told(lives, power, noise, seed);
            for (told, away) in told.into_iter().zip([1.0, 0.5]) {
                let (p10, p50) =
                    told.unwrap_or_else(|| panic!("{lives} {power} {noise}: nothing, {away} days before"));
                assert!(p10 <= 1.4 * away, "life {lives}, power {power}, noise {noise}: P10 {p10} of {away}");
                assert!(
                    (0.9..2.4).contains(&(p50 / away)),
                    "life {lives}, power {power}, noise {noise}: {p50} of {away}"
                );
            }
        }
    }
}

#[test]
fn a_new_filter_is_never_foretold_to_have_been_full() {
    for seed in 0..20 {
        let mut noise = Noise::new(seed);
        let mut filter = Watched::new(250.0);
        for reading in 0..30 * A_DAY {
            filter.read(50.0 + 7.0 * f64::from(reading) / f64::from(A_DAY) + 2.0 * noise.normal());
        }
        assert_eq!(filter.standing, Standing::Crossed);
        let mut cleared = None;
        for reading in 0..12 {
            let finding = filter.read(60.0 + 2.0 * noise.normal());
            assert!(!matches!(finding, Finding::Expected(_)), "reading {reading} after it: {finding:?}");
            if filter.standing == Standing::Clear {
                cleared.get_or_insert(reading);
            }
        }
        assert!(cleared.is_some_and(|reading| reading <= 3), "{cleared:?}");
    }
}

#[test]
fn a_sensor_that_was_repaired_leaves_nothing_behind() {
    for count in [1, 2, 3, 5, 20, 100] {
        for broken in [32_767.0, 400.0, -40.0, 0.0] {
            let mut noise = Noise::new(7);
            let mut value =
                |reading: i32| 100.0 + 2.0 * f64::from(reading) / f64::from(A_DAY) + 2.0 * noise.normal();
            let mut part = Watched::new(250.0);
            for reading in 0..33 * A_DAY {
                part.read(value(reading));
            }
            for _ in 0..count {
                part.read(broken);
            }
            let mut left = None;
            for reading in 0..2 * A_DAY {
                let finding = part.read(value(33 * A_DAY + count + reading));
                assert!(
                    reading < 8 || part.standing != Standing::Crossed,
                    "{count} of {broken}: {finding:?}"
                );
                left = part.left(&finding);
            }
            // It is 40 days away.
            assert!(left.is_none_or(|(p10, _)| p10 > 20.0), "{count} of {broken}: {left:?}");
        }
    }
}

/// Shares of runs of a month in which something was foretold that does not come, and of all readings at which it was.
fn told_in_vain(mut value: impl FnMut(i32, &mut Noise, &mut f64) -> f64) -> (f64, f64) {
    let (runs, readings) = (100, 30 * A_DAY);
    let (mut opened, mut standing) = (0, 0);
    for seed in 0..runs {
        let mut noise = Noise::new(seed);
        let mut part = Watched::new(8.0);
        let (mut state, mut was) = (0.0, false);
        for reading in 0..readings {
            part.read(value(reading, &mut noise, &mut state));
            was |= part.standing == Standing::Expected;
            standing += u32::from(part.standing == Standing::Expected);
        }
        opened += u32::from(was);
    }
    (f64::from(opened) / runs as f64, f64::from(standing) / f64::from(readings) / runs as f64)
}

#[test]
fn what_comes_and_goes_is_seldom_foretold() {
    let correlated = |share: f64| {
        told_in_vain(move |_, noise, state| {
            *state = share * *state + (1.0 - share * share).sqrt() * noise.normal();
            *state
        })
    };
    let wave = |reading: i32, days: f64| (f64::from(reading) / f64::from(A_DAY) / days * TAU).sin();
    for (what, (runs, readings), most) in [
        ("white noise", correlated(0.0), (0.02, 0.001)),
        ("noise of an hour", correlated(0.5), (0.1, 0.003)),
        ("noise of hours", correlated(0.8), (0.25, 0.01)),
        ("a day", told_in_vain(|reading, noise, _| wave(reading, 1.0) + 0.3 * noise.normal()), (0.02, 0.001)),
        (
            "a day in whole numbers",
            told_in_vain(|reading, noise, _| (wave(reading, 1.0) + 0.3 * noise.normal()).round()),
            (0.02, 0.001),
        ),
        // For some days of its first weeks this is what wear looks like.
        ("a week", told_in_vain(|reading, noise, _| wave(reading, 7.0) + 0.3 * noise.normal()), (1.0, 0.08)),
        ("outliers", told_in_vain(|_, noise, _| noise.normal() / noise.unit().powf(0.4)), (0.02, 0.001)),
    ] {
        assert!(
            runs <= most.0 && readings <= most.1,
            "{what}: {runs} of the runs, {readings} of the readings"
        );
    }
}

#[test]
fn wear_of_working_hours_is_one_forecast() {
    let hours = |reading: i32| f64::from(reading / A_DAY) + (f64::from(reading % A_DAY) / 16.0).min(1.0);
    for noise in [0.01, 0.1] {
        let mut chance = Noise::new(9);
        let mut part = Watched::new(30.0);
        let mut changes = 0;
        for reading in 0..30 * A_DAY {
            let before = part.standing;
            let finding = part.read(hours(reading) + noise * chance.normal());
            changes += u32::from(before != part.standing);
            let truth = f64::from(30 * A_DAY - reading) / f64::from(A_DAY);
            if let Some((_, p50)) = part.left(&finding) {
                assert!((p50 - truth).abs() <= 0.3 * truth + 0.6, "{truth} days before: {p50}");
            }
        }
        assert!(changes <= 2, "{changes} changes");
    }
}

#[test]
fn whole_numbers_are_told_when_they_are_reached_and_not_surely() {
    for (days_a_step, rounded) in [(5.0, f64::floor as fn(f64) -> f64), (5.0, f64::round), (11.0, f64::floor)]
    {
        let mut part = Watched::new(30.0);
        let wear = |reading: i32| rounded(f64::from(reading) / f64::from(A_DAY) / days_a_step);
        let end = (0..).find(|reading| wear(*reading) >= 30.0).unwrap();
        for reading in 0..end {
            let finding = part.read(wear(reading));
            let left = f64::from(end - reading) / f64::from(A_DAY);
            if let Finding::Expected(forecast) = &finding
                && (3.0..30.0).contains(&left)
            {
                assert_eq!(forecast.percent, None, "{left} days before: {forecast:?}");
                let late = crate::days(forecast.p50_ms - part.at) - left;
                assert!(late.abs() < 0.07 * days_a_step, "{left} days before: {late} late");
            }
        }
        assert_eq!(part.standing, Standing::Expected);
    }
}

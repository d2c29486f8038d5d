//! The saved form of a [`State`]: little-endian numbers behind a version byte.

use crate::{
    Series, State,
    detector::{Detector, Tail},
    trend::Trend,
};

mod first;

/// Bumped whenever the layout or the meaning of a number changes.
const VERSION: u8 = 3;

/// Of five doubles, seven singles, two u32 and two bytes.
const TREND: usize = 5 * 8 + 7 * 4 + 2 * 4 + 2;
/// Three trends, time, three values, two gaps, and three counts.
const SERIES: usize = 3 * TREND + 8 + 3 * 8 + 2 * 4 + 4 + 2 + 1;
/// Two doubles, hours and tails, three singles, two u16, and bytes.
const DETECTOR: usize = 2 * 8 + 24 * 4 + 5 * 3 * 4 + 3 * 4 + 2 * 2 + 24 + 1;
const LENGTH: usize = 1 + SERIES + DETECTOR + 2 * 4;

const _: () = assert!(LENGTH <= 512, "the state of a series is promised to fit 512 bytes");

/// Why saved bytes are no state. The series starts afresh then: nothing but its memory is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Made by another version.
    #[error("the state has version {0}, this program knows versions 1 and {VERSION}")]
    Version(u8),
    /// Not of the length that its version has.
    #[error("the state has {0} bytes, which is not the length of its version")]
    Length(usize),
    /// Holds what no series can have come to.
    #[error("the state holds numbers that no series comes to")]
    Unsound,
}

impl State {
    /// Bytes that [`State::encode`] appends: at most 512.
    pub const LENGTH: usize = LENGTH;

    /// Appends [`State::LENGTH`] bytes that [`State::decode`] understands.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(LENGTH);
        out.push(VERSION);
        encode_series(&self.series, out);
        encode_detector(&self.detector, out);
        out.extend(self.since.to_le_bytes());
        out.extend(self.boot.to_le_bytes());
    }

    /// The state that [`State::encode`] saved. What version 1 saved had no detector: its trends go on, and what is
    /// usual is learned from then on.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let length = StateError::Length(bytes.len());
        let (version, rest) = bytes.split_first().ok_or(length)?;
        let state = match *version {
            VERSION if bytes.len() == LENGTH => read_state(rest),
            first::VERSION if bytes.len() == first::LENGTH => first::read_state(rest),
            VERSION | first::VERSION => return Err(length),
            other => return Err(StateError::Version(other)),
        };
        let state = state.ok_or(length)?;
        let sound = state.series.trends.iter().all(Trend::is_sound)
            && state.series.values.iter().all(|value| value.is_finite())
            && state.detector.is_sound();
        if sound { Ok(state) } else { Err(StateError::Unsound) }
    }
}

fn encode_series(series: &Series, out: &mut Vec<u8>) {
    for trend in &series.trends {
        for number in [trend.mean_x, trend.mean_y, trend.sxx, trend.sxy, trend.syy] {
            out.extend(number.to_le_bytes());
        }
        for number in [trend.weight, trend.weight_squares, trend.error, trend.likeness, trend.residual] {
            out.extend(number.to_le_bytes());
        }
        out.extend(trend.former.to_le_bytes());
        out.extend(trend.near.to_le_bytes());
        out.extend(trend.since.to_le_bytes());
        out.extend(trend.count.to_le_bytes());
        out.extend(trend.run.to_le_bytes());
        out.push(trend.jumps);
    }
    out.extend(series.last_ms.to_le_bytes());
    out.extend(series.values.iter().flat_map(|value| value.to_le_bytes()));
    out.extend(series.gaps.iter().flat_map(|gap| gap.to_le_bytes()));
    out.extend(series.readings.to_le_bytes());
    out.extend(series.restarts.to_le_bytes());
    out.push(series.late);
}

fn encode_detector(detector: &Detector, out: &mut Vec<u8>) {
    out.extend(detector.long.to_le_bytes());
    out.extend(detector.short.to_le_bytes());
    out.extend(detector.hours.iter().flat_map(|hour| hour.to_le_bytes()));
    for tail in detector.tails.iter().chain([&detector.rarity]) {
        for number in [tail.quantile, tail.mean, tail.excess] {
            out.extend(number.to_le_bytes());
        }
    }
    for number in [detector.deviation, detector.sustained, detector.told] {
        out.extend(number.to_le_bytes());
    }
    out.extend(detector.count.to_le_bytes());
    out.extend(detector.timed.to_le_bytes());
    out.extend(detector.seen);
    out.push(detector.quiet);
}

fn read_state(mut rest: &[u8]) -> Option<State> {
    let rest = &mut rest;
    Some(State {
        series: read_series(rest)?,
        detector: read_detector(rest)?,
        since: u32::from_le_bytes(take(rest)?),
        boot: u32::from_le_bytes(take(rest)?),
    })
}

fn read_series(rest: &mut &[u8]) -> Option<Series> {
    let mut series = Series::default();
    for trend in &mut series.trends {
        *trend = Trend {
            mean_x: double(rest)?,
            mean_y: double(rest)?,
            sxx: double(rest)?,
            sxy: double(rest)?,
            syy: double(rest)?,
            weight: single(rest)?,
            weight_squares: single(rest)?,
            error: single(rest)?,
            likeness: single(rest)?,
            residual: single(rest)?,
            former: single(rest)?,
            near: single(rest)?,
            since: u32::from_le_bytes(take(rest)?),
            count: u32::from_le_bytes(take(rest)?),
            run: i8::from_le_bytes(take(rest)?),
            jumps: u8::from_le_bytes(take(rest)?),
        };
    }
    series.last_ms = i64::from_le_bytes(take(rest)?);
    for value in &mut series.values {
        *value = double(rest)?;
    }
    for gap in &mut series.gaps {
        *gap = single(rest)?;
    }
    series.readings = u32::from_le_bytes(take(rest)?);
    series.restarts = u16::from_le_bytes(take(rest)?);
    series.late = u8::from_le_bytes(take(rest)?);
    Some(series)
}

fn read_detector(rest: &mut &[u8]) -> Option<Detector> {
    let mut detector = Detector { long: double(rest)?, short: double(rest)?, ..Detector::default() };
    for hour in &mut detector.hours {
        *hour = single(rest)?;
    }
    for tail in detector.tails.iter_mut().chain([&mut detector.rarity]) {
        *tail = Tail { quantile: single(rest)?, mean: single(rest)?, excess: single(rest)? };
    }
    detector.deviation = single(rest)?;
    detector.sustained = single(rest)?;
    detector.told = single(rest)?;
    detector.count = u16::from_le_bytes(take(rest)?);
    detector.timed = u16::from_le_bytes(take(rest)?);
    detector.seen = take(rest)?;
    detector.quiet = u8::from_le_bytes(take(rest)?);
    Some(detector)
}

pub(crate) fn double(rest: &mut &[u8]) -> Option<f64> {
    take(rest).map(f64::from_le_bytes)
}

fn single(rest: &mut &[u8]) -> Option<f32> {
    take(rest).map(f32::from_le_bytes)
}

pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Side, testing::Noise};

    fn lived() -> State {
        let mut noise = Noise::new(5);
        let mut state = State::default();
        for hour in 0..100 {
            state.step(hour * 3_600_000, noise.normal(), "", Some(Side::Above));
        }
        state
    }

    fn encoded(state: &State) -> Vec<u8> {
        let mut out = Vec::new();
        state.encode(&mut out);
        out
    }

    #[test]
    fn survives_a_save_and_goes_on_the_same() {
        let mut state = lived();
        let bytes = encoded(&state);
        assert_eq!(bytes.len(), LENGTH);
        let mut loaded = State::decode(&bytes).unwrap();
        assert_eq!(state, loaded);
        for hour in 100..200 {
            state.step(hour * 3_600_000, 1.0, "", None);
            loaded.step(hour * 3_600_000, 1.0, "", None);
        }
        assert_eq!(encoded(&state), encoded(&loaded));
    }

    #[test]
    fn refuses_what_it_did_not_write() {
        let good = encoded(&lived());
        assert_eq!(State::decode(&[]), Err(StateError::Length(0)));
        assert_eq!(State::decode(&[9, 1, 2]), Err(StateError::Version(9)));
        assert_eq!(State::decode(&[1, 1, 2]), Err(StateError::Length(3)));
        assert_eq!(State::decode(&good[..good.len() - 1]), Err(StateError::Length(LENGTH - 1)));
        let (in_a_trend, in_an_hour) = (1 + 8, 1 + SERIES + 16);
        for (place, poison) in
            [(in_a_trend, f64::NAN.to_le_bytes()), (in_an_hour, [0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0])]
        {
            let mut poisoned = good.clone();
            poisoned[place..place + 8].copy_from_slice(&poison);
            assert_eq!(State::decode(&poisoned), Err(StateError::Unsound));
        }
    }
}

//! Version 1: trends in doubles, and nothing of what is usual.

use super::{double, take};
use crate::{Series, State, days, narrow, seconds, trend::Trend};

pub(super) const VERSION: u8 = 1;

/// Version, header, three points, three trends of one i64, one u32, ten doubles and two bytes.
pub(super) const LENGTH: usize = 1 + 8 + 4 + 1 + 3 * 16 + 3 * (8 + 4 + 10 * 8 + 2);

pub(super) fn read_state(mut rest: &[u8]) -> Option<State> {
    let rest = &mut rest;
    let mut series = Series {
        readings: u32::try_from(u64::from_le_bytes(take(rest)?)).unwrap_or(u32::MAX),
        restarts: u16::try_from(u32::from_le_bytes(take(rest)?)).unwrap_or(u16::MAX),
        late: u8::from_le_bytes(take(rest)?),
        ..Series::default()
    };
    let mut times = [0; 3];
    for (time, value) in times.iter_mut().zip(&mut series.values) {
        *time = i64::from_le_bytes(take(rest)?);
        *value = double(rest)?;
    }
    series.last_ms = times[2];
    // Before there were three readings the first times are 0: nobody asks for those gaps.
    for (gap, pair) in series.gaps.iter_mut().zip(times.windows(2)) {
        *gap = narrow(days(pair[1].saturating_sub(pair[0])));
    }
    for trend in &mut series.trends {
        *trend = read_trend(rest)?;
    }
    Some(State { series, ..State::default() })
}

fn read_trend(rest: &mut &[u8]) -> Option<Trend> {
    let since = seconds(i64::from_le_bytes(take(rest)?));
    let count = u32::from_le_bytes(take(rest)?);
    let mut numbers = [0.0; 10];
    for number in &mut numbers {
        *number = double(rest)?;
    }
    let [weight, weight_squares, mean_x, mean_y, sxx, sxy, syy, lag, power, residual] = numbers;
    Some(Trend {
        mean_x,
        mean_y,
        sxx,
        sxy,
        syy,
        weight: narrow(weight),
        weight_squares: narrow(weight_squares),
        error: if weight > 0.0 { narrow((power / weight).sqrt()) } else { 0.0 },
        likeness: if power > 0.0 { narrow(lag / power) } else { 0.0 },
        residual: narrow(residual),
        former: 0.0,
        near: 0.0,
        since,
        count,
        run: i8::from_le_bytes(take(rest)?),
        jumps: u8::from_le_bytes(take(rest)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bound, DAY_MS, Side, Strictness, forecast};

    /// Version 1 of a series that read 0, 2, 4, … once a day for 40 days, as release 0.1.0 saved it.
    fn saved() -> Vec<u8> {
        include_str!("first.hex")
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect()
    }

    #[test]
    fn a_state_of_version_1_goes_on() {
        let bytes = saved();
        assert_eq!(bytes.len(), LENGTH);
        let mut old = State::decode(&bytes).unwrap();
        let mut new = State::default();
        for day in 0..40 {
            new.step(day * DAY_MS, 2.0 * f64::from(i32::try_from(day).unwrap()), "", Some(Side::Above));
        }
        assert_eq!((old.series.readings(), old.series.last()), (40, new.series.last()));
        let bound = Bound { value: 100.0, side: Side::Above, horizon_ms: 90 * DAY_MS };
        for day in 40..45 {
            let value = 2.0 * f64::from(i32::try_from(day).unwrap());
            old.step(day * DAY_MS, value, "", Some(Side::Above));
            new.step(day * DAY_MS, value, "", Some(Side::Above));
            let [old, new] =
                [&old, &new].map(|state| forecast(&state.series, &bound, Strictness::OPEN).unwrap());
            assert!((old.p50_ms - new.p50_ms).abs() < 1000, "{old:?} {new:?}");
            assert_eq!((old.readings, old.percent), (new.readings, new.percent));
        }
    }
}

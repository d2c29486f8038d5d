//! The saved form of a [`Series`]: little-endian numbers behind a version byte.

use crate::{Series, series::Point, trend::Trend};

/// Bumped whenever the layout or the meaning of a number changes.
const VERSION: u8 = 1;

/// Version, header, three points, three trends of one i64, one u32, ten doubles and two bytes.
const LENGTH: usize = 1 + 8 + 4 + 1 + 3 * 16 + 3 * (8 + 4 + 10 * 8 + 2);

const _: () = assert!(LENGTH <= 512, "the state of a series is promised to fit 512 bytes");

/// Why saved bytes are no state. The series starts afresh then: nothing but its memory is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Made by another version.
    #[error("the state has version {0}, this program knows version {VERSION}")]
    Version(u8),
    /// Not of the length that its version has.
    #[error("the state has {0} bytes instead of {LENGTH}")]
    Length(usize),
    /// Holds what no series can have come to.
    #[error("the state holds numbers that no series comes to")]
    Unsound,
}

impl Series {
    /// At most 512 bytes that [`Series::decode`] understands.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LENGTH);
        out.push(VERSION);
        out.extend(self.readings.to_le_bytes());
        out.extend(self.restarts.to_le_bytes());
        out.push(self.late);
        for point in &self.recent {
            out.extend(point.at_ms.to_le_bytes());
            out.extend(point.value.to_le_bytes());
        }
        for trend in &self.trends {
            out.extend(trend.since_ms.to_le_bytes());
            out.extend(trend.count.to_le_bytes());
            for number in [
                trend.weight,
                trend.weight_squares,
                trend.mean_x,
                trend.mean_y,
                trend.sxx,
                trend.sxy,
                trend.syy,
                trend.lag,
                trend.power,
                trend.residual,
            ] {
                out.extend(number.to_le_bytes());
            }
            out.extend(trend.run.to_le_bytes());
            out.push(trend.jumps);
        }
        out
    }

    /// The series that [`Series::encode`] saved.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        match bytes.first() {
            Some(&VERSION) if bytes.len() == LENGTH => {}
            Some(&VERSION) | None => return Err(StateError::Length(bytes.len())),
            Some(other) => return Err(StateError::Version(*other)),
        }
        let mut rest = &bytes[1..];
        let series = read(&mut rest).ok_or(StateError::Length(bytes.len()))?;
        let sound = series.trends.iter().all(Trend::is_sound)
            && series.recent.iter().all(|point| point.value.is_finite());
        if sound { Ok(series) } else { Err(StateError::Unsound) }
    }
}

fn read(rest: &mut &[u8]) -> Option<Series> {
    let mut series = Series {
        readings: u64::from_le_bytes(take(rest)?),
        restarts: u32::from_le_bytes(take(rest)?),
        late: u8::from_le_bytes(take(rest)?),
        ..Series::default()
    };
    for point in &mut series.recent {
        *point = Point { at_ms: i64::from_le_bytes(take(rest)?), value: f64::from_le_bytes(take(rest)?) };
    }
    for trend in &mut series.trends {
        let since_ms = i64::from_le_bytes(take(rest)?);
        let count = u32::from_le_bytes(take(rest)?);
        let mut numbers = [0.0; 10];
        for number in &mut numbers {
            *number = f64::from_le_bytes(take(rest)?);
        }
        let [weight, weight_squares, mean_x, mean_y, sxx, sxy, syy, lag, power, residual] = numbers;
        *trend = Trend {
            since_ms,
            count,
            weight,
            weight_squares,
            mean_x,
            mean_y,
            sxx,
            sxy,
            syy,
            lag,
            power,
            residual,
            run: i8::from_le_bytes(take(rest)?),
            jumps: u8::from_le_bytes(take(rest)?),
        };
    }
    Some(series)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Side, testing::Noise};

    fn lived() -> Series {
        let mut noise = Noise::new(5);
        let mut series = Series::default();
        for hour in 0..100 {
            series.step(hour * 3_600_000, noise.normal(), Some(Side::Above));
        }
        series
    }

    #[test]
    fn survives_a_save_and_goes_on_the_same() {
        let mut series = lived();
        let bytes = series.encode();
        assert!(bytes.len() <= 512, "{}", bytes.len());
        let mut loaded = Series::decode(&bytes).unwrap();
        assert_eq!(series, loaded);
        for hour in 100..200 {
            series.step(hour * 3_600_000, 1.0, None);
            loaded.step(hour * 3_600_000, 1.0, None);
        }
        assert_eq!(series.encode(), loaded.encode());
    }

    #[test]
    fn refuses_what_it_did_not_write() {
        let good = lived().encode();
        assert_eq!(Series::decode(&[]), Err(StateError::Length(0)));
        assert_eq!(Series::decode(&[9, 1, 2]), Err(StateError::Version(9)));
        assert_eq!(Series::decode(&good[..good.len() - 1]), Err(StateError::Length(LENGTH - 1)));
        let mut poisoned = good;
        let weight = 1 + 8 + 4 + 1 + 48 + 12;
        poisoned[weight..weight + 8].copy_from_slice(&f64::NAN.to_le_bytes());
        assert_eq!(Series::decode(&poisoned), Err(StateError::Unsound));
    }
}

//! The saved form of what lives taught and of a part that is followed, as in [`saved`](super::saved).

use super::{
    Cohort, LARGEST, Measured, Unit,
    bands::Bands,
    features::{Condition, Scale, Used, feature_count},
    follow::{Follower, Heard},
    is_number,
    ridge::Ridge,
    saved::{SavedError, VERSION, finite},
};
use crate::blob::take;

/// A sensor that differs by less than this never shows anything, so that quotients of numbers are numbers.
const LEAST_SPREAD: f64 = 1e-30;

impl Cohort {
    /// Bytes that [`Cohort::decode`] understands: 4 KiB with 32 sensors.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let Scale { sensors, used } = &self.scale;
        out.extend(short(*sensors).to_le_bytes());
        out.extend(short(used.len()).to_le_bytes());
        for Used { place, mean, spread, sign } in used {
            out.extend(short(*place).to_le_bytes());
            out.push(u8::from(*sign > 0.0));
            out.extend([mean, spread].iter().flat_map(|number| number.to_le_bytes()));
        }
        out.extend(u32::try_from(self.lives).unwrap_or(u32::MAX).to_le_bytes());
        for number in
            [self.horizon, self.measured.error, self.measured.coverage].iter().chain(&self.fit.weights)
        {
            out.extend(number.to_le_bytes());
        }
        self.bands.write(&mut out);
        out
    }

    /// What [`Cohort::encode`] saved.
    ///
    /// # Errors
    /// [`SavedError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, SavedError> {
        read(bytes, cohort)
    }

    /// Whether lives can have taught this. Whatever a part reads, it answers with numbers then.
    pub(super) fn is_sound(&self) -> bool {
        let Cohort { scale: Scale { sensors, used }, fit, bands, horizon, measured, lives } = self;
        let is_used = |used: &Used| is_number(used.mean) && (LEAST_SPREAD..=LARGEST).contains(&used.spread);
        !used.is_empty()
            && used.iter().all(|used| used.place < *sensors && is_used(used))
            && used.windows(2).all(|pair| pair[0].place < pair[1].place)
            && *sensors <= usize::from(u16::MAX)
            && fit.weights.len() == feature_count(used.len())
            && fit.weights.iter().all(|weight| is_number(*weight))
            && bands.is_sound()
            && *lives > 0
            && (0.0..=LARGEST).contains(horizon)
            && (0.0..=LARGEST).contains(&measured.error)
            && (0.0..=1.0).contains(&measured.coverage)
    }
}

impl Follower {
    /// Bytes that [`Follower::decode`] understands: 1,500 with 32 sensors.
    pub fn encode(&self) -> Vec<u8> {
        let Follower { unit: Unit { condition }, sensors, open, closed, calm } = self;
        let mut out = vec![VERSION, *calm];
        out.extend(short(sensors.len()).to_le_bytes());
        out.extend(condition.readings.to_le_bytes());
        for step in [open, closed] {
            moment(*step, &mut out);
        }
        for ((heard, quick), slow) in sensors.iter().zip(&condition.quick).zip(&condition.slow) {
            out.extend([*quick, *slow, heard.sum, heard.last].iter().flat_map(|number| number.to_le_bytes()));
            out.extend(heard.count.to_le_bytes());
            moment(heard.last_at, &mut out);
        }
        out
    }

    /// What [`Follower::encode`] saved.
    ///
    /// # Errors
    /// [`SavedError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, SavedError> {
        read(bytes, follower)
    }
}

/// What stands behind the version, all of it.
fn read<T>(bytes: &[u8], body: impl FnOnce(&mut &[u8]) -> Option<T>) -> Result<T, SavedError> {
    let (version, mut rest) = bytes.split_first().ok_or(SavedError::Unsound)?;
    if *version != VERSION {
        return Err(SavedError::Version(*version));
    }
    body(&mut rest).filter(|_| rest.is_empty()).ok_or(SavedError::Unsound)
}

fn cohort(rest: &mut &[u8]) -> Option<Cohort> {
    let (sensors, count) = (length(rest)?, length(rest)?);
    let mut used = Vec::new();
    for _ in 0..count {
        let place = length(rest)?;
        let sign = match take(rest)? {
            [0] => -1.0,
            [1] => 1.0,
            _ => return None,
        };
        used.push(Used { place, sign, mean: finite(rest)?, spread: finite(rest)? });
    }
    let lives = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
    let horizon = finite(rest)?;
    let measured = Measured { error: finite(rest)?, coverage: finite(rest)? };
    let mut weights = Vec::new();
    for _ in 0..feature_count(used.len()) {
        weights.push(finite(rest)?);
    }
    let bands = Bands::read(rest)?;
    let scale = Scale { sensors, used };
    let cohort = Cohort { scale, fit: Ridge { weights }, bands, horizon, lives, measured };
    cohort.is_sound().then_some(cohort)
}

fn follower(rest: &mut &[u8]) -> Option<Follower> {
    let [calm] = take(rest)?;
    let count = length(rest)?;
    let readings = u32::from_le_bytes(take(rest)?);
    let (open, closed) = (maybe_moment(rest)?, maybe_moment(rest)?);
    let (mut sensors, mut quick, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        quick.push(finite(rest)?);
        slow.push(finite(rest)?);
        let (sum, last) = (crate::blob::double(rest)?, finite(rest)?);
        let heard = Heard { sum, last, count: u32::from_le_bytes(take(rest)?), last_at: maybe_moment(rest)? };
        let most = LARGEST * f64::from(heard.count);
        // Each of the readings was a number.
        sensors.push(Some(heard).filter(|_| (-most..=most).contains(&sum))?);
    }
    let unit = Unit { condition: Condition { readings, quick, slow } };
    Some(Follower { unit, sensors, open, closed, calm })
}

/// More sensors than fit are none that were ever learned from ([`Cohort::is_sound`]).
fn short(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    take(rest).map(u16::from_le_bytes).map(usize::from)
}

fn moment(at: Option<i64>, out: &mut Vec<u8>) {
    out.push(u8::from(at.is_some()));
    out.extend(at.unwrap_or(0).to_le_bytes());
}

fn maybe_moment(rest: &mut &[u8]) -> Option<Option<i64>> {
    let [is_there] = take(rest)?;
    let at = i64::from_le_bytes(take(rest)?);
    match is_there {
        0 if at == 0 => Some(None),
        1 => Some(Some(at)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    fn learned(sensors: usize) -> Cohort {
        let mut noise = Noise::new(4);
        let life = |_| {
            let reading = |at: i32| {
                let wear = (f64::from(at - 50) / 12.0).exp();
                (0..sensors).map(|sensor| sensor as f64 + 3.0 * wear + 0.2 * noise.normal()).collect()
            };
            (0..50).map(reading).collect::<Vec<Vec<f64>>>()
        };
        Cohort::learn(&(0..10).map(life).collect::<Vec<_>>(), 30.0).unwrap()
    }

    fn followed(cohort: &Cohort, readings: i64) -> Follower {
        let mut noise = Noise::new(9);
        let mut follower = Follower::new(cohort);
        for at in 0..readings {
            for sensor in 0..cohort.sensors() {
                follower.take(cohort, 10, sensor, 4 * at, sensor as f64 + noise.normal());
            }
        }
        follower.note(true);
        follower
    }

    #[test]
    fn a_cohort_survives_a_save() {
        for sensors in [1, 3, 32] {
            let cohort = learned(sensors);
            let bytes = cohort.encode();
            assert!(bytes.len() < 4096, "{}", bytes.len());
            assert_eq!(Cohort::decode(&bytes), Ok(cohort));
        }
    }

    #[test]
    fn a_part_survives_a_save_and_goes_on_the_same() {
        let cohort = learned(3);
        for readings in [0, 1, 50] {
            let mut follower = followed(&cohort, readings);
            let mut loaded = Follower::decode(&follower.encode()).unwrap();
            assert_eq!(loaded, follower);
            for at in 1..100 {
                let stepped = follower.take(&cohort, 10, at % 3, 1_000 + at as i64, 2.0);
                assert_eq!(loaded.take(&cohort, 10, at % 3, 1_000 + at as i64, 2.0), stepped);
            }
            assert_eq!(loaded.encode(), follower.encode());
            assert_eq!(loaded.remaining(&cohort), follower.remaining(&cohort));
        }
        assert!(followed(&learned(32), 20).encode().len() <= 1_500);
    }

    #[test]
    fn refuses_what_it_did_not_write_and_never_panics() {
        let cohort = learned(3);
        let (learned, part) = (cohort.encode(), followed(&cohort, 30).encode());
        assert_eq!(Cohort::decode(&[]), Err(SavedError::Unsound));
        assert_eq!(Follower::decode(&[7, 0]), Err(SavedError::Version(7)));
        for length in 0..part.len() {
            assert!(Follower::decode(&part[..length]).is_err(), "{length}");
        }
        assert!(Follower::decode(&[part.clone(), vec![0]].concat()).is_err());
        let before_bands = learned.len() - 32 * cohort.bands.0.len();
        for length in 0..learned.len() {
            let is_shorter = length > before_bands && (length - before_bands).is_multiple_of(32);
            assert_eq!(Cohort::decode(&learned[..length]).is_ok(), is_shorter, "{length}");
        }
        let mut noise = Noise::new(2);
        let mut broken = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let place = (noise.unit() * bytes.len() as f64) as usize;
            bytes[place] = (noise.unit() * 256.0) as u8;
            bytes
        };
        for _ in 0..20_000 {
            let cohort = Cohort::decode(&broken(&learned)).unwrap_or_else(|_| cohort.clone());
            let Ok(mut follower) = Follower::decode(&broken(&part)) else { continue };
            for sensor in 0..3 {
                follower.take(&cohort, 10, sensor, i64::MAX, 1e30);
            }
            let told = follower.remaining(&cohort);
            assert!(told.is_none_or(|told| told.p10 <= told.p50 && told.p50 <= cohort.horizon()), "{told:?}");
        }
    }
}

//! The saved form of what a cohort taught: little-endian numbers behind a version byte.

use super::{
    approach::{Approaches, FEATURES},
    bands::{BINS, Band, Bands},
    is_number,
    ridge::Ridge,
};
use crate::blob::{double, take};

/// Bumped whenever the layout changes, or what is learned is to be learned anew.
pub(super) const VERSION: u8 = 1;

/// Why saved bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    /// Made by another version.
    #[error("it has version {0}, this program knows version {VERSION}")]
    Version(u8),
    /// Of another length, or with numbers that it cannot have come to.
    #[error("it holds what was never written")]
    Unsound,
}

impl Approaches {
    /// Bytes that [`Approaches::decode`] understands: less than 400.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.beats_line)];
        let lives = u32::try_from(self.lives).unwrap_or(u32::MAX);
        out.extend(lives.to_le_bytes());
        out.extend(self.fit.weights.iter().flat_map(|weight| weight.to_le_bytes()));
        self.bands.write(&mut out);
        out
    }

    /// What [`Approaches::encode`] saved.
    ///
    /// # Errors
    /// [`SavedError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, SavedError> {
        let (version, mut rest) = bytes.split_first().ok_or(SavedError::Unsound)?;
        if *version != VERSION {
            return Err(SavedError::Version(*version));
        }
        read(&mut rest).ok_or(SavedError::Unsound)
    }
}

fn read(rest: &mut &[u8]) -> Option<Approaches> {
    let [beats_line] = take(rest)?;
    let lives = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
    let mut weights = Vec::with_capacity(FEATURES);
    for _ in 0..FEATURES {
        weights.push(finite(rest)?);
    }
    let bands = Bands::read(rest).filter(|_| beats_line <= 1)?;
    Some(Approaches { fit: Ridge { weights }, bands, lives, beats_line: beats_line == 1 })
}

impl Bands {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for band in &self.0 {
            for number in [band.at, band.low, band.middle, band.high] {
                out.extend(number.to_le_bytes());
            }
        }
    }

    /// What [`Bands::write`] wrote, to the end of the bytes.
    pub(super) fn read(rest: &mut &[u8]) -> Option<Self> {
        let mut bands = Vec::with_capacity(BINS);
        while !rest.is_empty() {
            bands.push(Band {
                at: finite(rest)?,
                low: finite(rest)?,
                middle: finite(rest)?,
                high: finite(rest)?,
            });
        }
        let bands = Bands(bands);
        bands.is_sound().then_some(bands)
    }

    /// Whether errors can have come to it.
    pub(super) fn is_sound(&self) -> bool {
        let numbers = |band: &Band| [band.at, band.low, band.middle, band.high];
        (1..=BINS).contains(&self.0.len())
            && self.0.iter().flat_map(numbers).all(is_number)
            && self.0.iter().all(|band| band.low <= band.middle && band.middle <= band.high)
            && self.0.windows(2).all(|pair| pair[0].at <= pair[1].at)
    }
}

pub(super) fn finite(rest: &mut &[u8]) -> Option<f64> {
    double(rest).filter(|number| is_number(*number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cohort::approach::{Approach, Life},
        testing::Noise,
    };

    fn learned() -> Approaches {
        let mut noise = Noise::new(1);
        let life = |number: u32| {
            let length = 60.0 + f64::from(number);
            let value = |day: u32| 100.0 + 150.0 * (f64::from(day) / length).powi(3);
            let readings = (0..100).map(|day| (f64::from(day), value(day) + noise.normal())).collect();
            Life { readings, limit: 250.0 }
        };
        Approaches::learn(&(0..12).map(life).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn survives_a_save() {
        let cohort = learned();
        let bytes = cohort.encode();
        assert!(bytes.len() < 400, "{}", bytes.len());
        assert_eq!(Approaches::decode(&bytes), Ok(cohort));
    }

    #[test]
    fn refuses_what_it_did_not_write_and_never_panics() {
        let bytes = learned().encode();
        assert_eq!(Approaches::decode(&[]), Err(SavedError::Unsound));
        assert_eq!(Approaches::decode(&[7, 1]), Err(SavedError::Version(7)));
        for length in 1..bytes.len() {
            let is_shorter = length > 6 + 8 * FEATURES && (length - 6 - 8 * FEATURES).is_multiple_of(32);
            assert_eq!(Approaches::decode(&bytes[..length]).is_ok(), is_shorter, "{length}");
        }
        let long = [bytes.clone(), vec![0; 32 * BINS]].concat();
        assert_eq!(Approaches::decode(&long), Err(SavedError::Unsound));
        let mut part = Approach::default();
        (0..50).for_each(|day| part.step(f64::from(day), 100.0 + f64::from(day)));
        let mut noise = Noise::new(2);
        for _ in 0..20_000 {
            let mut broken = bytes.clone();
            let place = (noise.unit() * broken.len() as f64) as usize;
            broken[place] = (noise.unit() * 256.0) as u8;
            if let Ok(cohort) = Approaches::decode(&broken) {
                assert!(part.outlook(&cohort, 250.0).is_none_or(|told| !told.p50.is_nan()));
            }
        }
    }
}

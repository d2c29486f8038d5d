//! The course of one series since its part was new, in few samples however long it lasts.
//!
//! There is one sample in each slot of time, the first that comes. Slots are an hour wide at the beginning; when
//! there are too many samples the slots become twice as wide, so that the whole course is told with the same
//! detail at any age. That is how [`super::approach`] looks at it.

use super::{
    approach::{Approach, Life},
    saved::SavedError,
};
use crate::{
    Bound,
    blob::{double, take},
    days,
};

/// Version of the saved form.
const VERSION: u8 = 1;
/// Samples at which slots become wider.
const CAPACITY: usize = 128;
/// They become so much wider that at most so many are left: readings may be rarer than slots.
const LEFT: usize = CAPACITY / 4 * 3;
/// A slot at the beginning.
const SLOT_SECONDS: u64 = 3600;
/// With so many doublings all the time that an offset can hold is one slot.
const MOST_DOUBLINGS: u8 = 21;
/// Version, beginning, whether it is whole, and doublings; then four bytes and a double for each sample.
const HEAD: usize = 1 + 8 + 1 + 1;
const SAMPLE: usize = 4 + 8;

/// See the module. At most 1,535 bytes when it is saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    began_ms: i64,
    is_whole: bool,
    doublings: u8,
    /// At least one, less than [`CAPACITY`].
    samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    /// Seconds since the first.
    at: u32,
    value: f64,
}

impl Track {
    /// A course that begins with this reading. It is `whole` when the part was new then: what began before it was
    /// watched has an age that nobody knows, and is compared with no other.
    pub fn begin(at_ms: i64, value: f64, is_whole: bool) -> Self {
        Track { began_ms: at_ms, is_whole, doublings: 0, samples: vec![Sample { at: 0, value }] }
    }

    /// Takes in a reading if a sample is due; whether one was. One that is not newer than the last, or no number,
    /// never is.
    pub fn step(&mut self, at_ms: i64, value: f64) -> bool {
        let Some(at) = self.due(at_ms).filter(|_| value.is_finite()) else { return false };
        self.samples.push(Sample { at, value });
        if self.samples.len() >= CAPACITY {
            self.thin();
        }
        true
    }

    /// When it began, in milliseconds since the epoch.
    pub fn began_ms(&self) -> i64 {
        self.began_ms
    }

    /// Whether it began when the part was new.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// How many samples it has.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// Whether a reading is that of a new part: its value is back by at least half of the way that the part had come.
    /// A part that is cleaned a little, or has less to do for a while, goes on.
    ///
    /// When it `jumped` back that is enough. A series that was silent while the part was replaced shows no jump; then
    /// the way must have been a quarter of that to the bound, and it is looked at when a sample is due.
    pub fn is_left_behind_by(&self, at_ms: i64, value: f64, bound: &Bound, jumped: bool) -> bool {
        let sign = bound.side.sign();
        let start = self.samples.first().map_or(value, |sample| sample.value);
        let furthest = self.samples.iter().map(|sample| sample.value * sign).fold(start * sign, f64::max);
        let way = furthest - start * sign;
        let is_back = furthest - value * sign >= way / 2.0;
        let whole = -bound.excess(start);
        is_back && (jumped || whole > 0.0 && way >= whole / 4.0 && self.due(at_ms).is_some())
    }

    /// Where the part stands on its way, its newest reading included.
    pub fn approach(&self, newest: (i64, f64)) -> Approach {
        let mut part = Approach::default();
        for (time, value) in self.readings() {
            part.step(time, value);
        }
        part.step(days(newest.0.saturating_sub(self.began_ms)), newest.1);
        part
    }

    /// The life of a part that reached `limit` at `reached_ms`.
    pub fn life(&self, reached_ms: i64, limit: f64) -> Life {
        let end = days(reached_ms.saturating_sub(self.began_ms));
        let mut readings: Vec<(f64, f64)> = self.readings().filter(|(time, _)| *time < end).collect();
        // Twice: a single reading at a limit has not reached it, and this one stands for what is settled.
        readings.extend([(end, limit); 2]);
        Life { readings, limit }
    }

    /// Appends bytes that [`Track::decode`] understands.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(HEAD + SAMPLE * self.samples.len());
        out.push(VERSION);
        out.extend(self.began_ms.to_le_bytes());
        out.push(u8::from(self.is_whole));
        out.push(self.doublings);
        for sample in &self.samples {
            out.extend(sample.at.to_le_bytes());
            out.extend(sample.value.to_le_bytes());
        }
    }

    /// The course that [`Track::encode`] saved.
    ///
    /// # Errors
    /// [`SavedError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, SavedError> {
        let (version, mut rest) = bytes.split_first().ok_or(SavedError::Unsound)?;
        if *version != VERSION {
            return Err(SavedError::Version(*version));
        }
        read(&mut rest).filter(Track::is_sound).ok_or(SavedError::Unsound)
    }

    fn readings(&self) -> impl Iterator<Item = (f64, f64)> {
        self.samples.iter().map(|sample| (days(i64::from(sample.at) * 1000), sample.value))
    }

    /// In how many seconds since the beginning that is, if it is in a slot without a sample.
    fn due(&self, at_ms: i64) -> Option<u32> {
        let at = u32::try_from(at_ms.saturating_sub(self.began_ms) / 1000).ok()?;
        (self.slot(at) > self.slot(self.samples.last()?.at)).then_some(at)
    }

    fn slot(&self, at: u32) -> u64 {
        u64::from(at) / (SLOT_SECONDS << self.doublings)
    }

    fn thin(&mut self) {
        while self.samples.len() > LEFT && self.doublings < MOST_DOUBLINGS {
            self.doublings += 1;
            let width = SLOT_SECONDS << self.doublings;
            self.samples.dedup_by_key(|sample| u64::from(sample.at) / width);
        }
    }

    fn is_sound(&self) -> bool {
        let begins = self.samples.first().is_some_and(|sample| sample.at == 0);
        let slots = self.samples.windows(2).all(|pair| self.slot(pair[0].at) < self.slot(pair[1].at));
        begins && slots && self.samples.iter().all(|sample| sample.value.is_finite())
    }
}

fn read(rest: &mut &[u8]) -> Option<Track> {
    let began_ms = i64::from_le_bytes(take(rest)?);
    let [is_whole, doublings] = take(rest)?;
    if is_whole > 1 || doublings > MOST_DOUBLINGS || rest.len() / SAMPLE >= CAPACITY {
        return None;
    }
    let mut samples = Vec::with_capacity(rest.len() / SAMPLE);
    while !rest.is_empty() {
        samples.push(Sample { at: u32::from_le_bytes(take(rest)?), value: double(rest)? });
    }
    Some(Track { began_ms, is_whole: is_whole == 1, doublings, samples })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DAY_MS, Side, cohort::approach::Approaches, testing::Noise};

    const MINUTE: i64 = 60_000;
    const START: i64 = 1_767_225_600_000;

    /// Of so many readings, `every` so many minutes apart; and how many samples were taken.
    fn track(every: i64, readings: i64) -> (Track, usize) {
        let mut track = Track::begin(START, 0.0, true);
        let steps = (1..readings).map(|number| number * every);
        let taken = steps.filter(|minute| track.step(START + minute * MINUTE, *minute as f64)).count();
        (track, taken)
    }

    #[test]
    fn it_stays_small_and_of_one_detail() {
        for every in [1, 7, 60, 90, 1440, 10_000] {
            let (track, taken) = track(every, 60_000);
            assert!((CAPACITY / 4..CAPACITY).contains(&track.samples()), "{every}: {}", track.samples());
            assert!(taken < 1_000, "{every}: {taken} samples are written in a life");
            let gaps: Vec<u32> = track.samples.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
            let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
            assert!(*most <= 2 * least + 120, "{every}: gaps of {least} to {most} s");
        }
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        let (mut track, _) = track(60, 10);
        let before = track.clone();
        let last = START + 9 * 60 * MINUTE;
        for (at, value) in
            [(last, 1.0), (last + MINUTE, 1.0), (START - 1, 1.0), (i64::MIN, 1.0), (i64::MAX, 1.0)]
        {
            assert!(!track.step(at, value), "{at}");
        }
        assert!(!track.step(last + 60 * MINUTE, f64::NAN));
        assert_eq!(track, before);
    }

    #[test]
    fn a_new_part_is_back_by_half_of_the_way() {
        let bound = |value, side| Bound { value, side, horizon_ms: DAY_MS };
        let (mut up, _) = track(60, 100);
        let last = START + 200 * 60 * MINUTE;
        up.step(last, 6000.0);
        let (near, far) = (bound(10_000.0, Side::Above), bound(100_000.0, Side::Above));
        for (value, is_new) in [(0.0, true), (3000.0, true), (3100.0, false), (7000.0, false)] {
            assert_eq!(up.is_left_behind_by(last + MINUTE, value, &near, true), is_new, "{value}");
            assert_eq!(up.is_left_behind_by(last + 60 * MINUTE, value, &near, false), is_new, "{value}");
            assert!(!up.is_left_behind_by(last + MINUTE, value, &near, false), "not before a sample is due");
            assert!(
                !up.is_left_behind_by(last + 60 * MINUTE, value, &far, false),
                "it had come next to no way"
            );
        }
        let mut down = Track::begin(START, 100.0, true);
        down.step(START + 60 * MINUTE, 20.0);
        let empty = bound(10.0, Side::Below);
        let is_new = |value| down.is_left_behind_by(START + 120 * MINUTE, value, &empty, false);
        assert!(is_new(95.0) && !is_new(30.0));
        let beyond = Track::begin(START, 5.0, true);
        assert!(
            !beyond.is_left_behind_by(START + 60 * MINUTE, 6.0, &empty, false),
            "it began beyond the bound"
        );
    }

    #[test]
    fn survives_a_save_and_refuses_what_it_did_not_write() {
        let (track, _) = track(45, 3_000);
        let mut bytes = Vec::new();
        track.encode(&mut bytes);
        assert!(bytes.len() <= HEAD + (CAPACITY - 1) * SAMPLE);
        assert_eq!(Track::decode(&bytes), Ok(track));
        assert_eq!(Track::decode(&[9, 0]), Err(SavedError::Version(9)));
        for length in 0..bytes.len() {
            let whole = length > HEAD && (length - HEAD).is_multiple_of(SAMPLE);
            assert_eq!(Track::decode(&bytes[..length]).is_ok(), whole, "{length}");
        }
        let mut long = bytes.clone();
        long.extend(vec![0; CAPACITY * SAMPLE]);
        assert_eq!(Track::decode(&long), Err(SavedError::Unsound));
        // Whatever a broken disk makes of them is refused, or a course that can be gone on with.
        let mut noise = Noise::new(3);
        for _ in 0..20_000 {
            let mut broken = bytes.clone();
            for _ in 0..3 {
                let place = (noise.unit() * broken.len() as f64) as usize;
                broken[place] = (noise.unit() * 256.0) as u8;
            }
            if let Ok(mut track) = Track::decode(&broken) {
                track.step(START + 10_000_000 * MINUTE, 1.0);
                track.life(i64::MAX, 9.0);
                track.approach((i64::MIN, 1.0));
                assert!(track.samples() < CAPACITY);
            }
        }
    }

    /// A filter that clogs faster and faster: from 100 Pa, with `bend` 3, to 250 Pa after `length` days.
    fn filter(length: f64, until: f64, noise: &mut Noise) -> (Track, (i64, f64)) {
        let value =
            |day: f64, noise: &mut Noise| 100.0 + 150.0 * (day / length).powi(3) + 2.0 * noise.normal();
        let mut track = Track::begin(START, value(0.0, noise), true);
        let mut newest = (START, 100.0);
        for quarter in 1..(4.0 * until) as i64 {
            newest = (START + quarter * 360 * MINUTE, value(quarter as f64 / 4.0, noise));
            track.step(newest.0, newest.1);
        }
        (track, newest)
    }

    #[test]
    fn a_thinned_course_teaches_and_is_told_as_well_as_a_whole_one() {
        let mut noise = Noise::new(8);
        let lives: Vec<Life> = (0..12)
            .map(|number| {
                let length = 60.0 + 10.0 * f64::from(number);
                let (track, _) = filter(length, length, &mut noise);
                track.life(START + (length * 1440.0) as i64 * MINUTE, 250.0)
            })
            .collect();
        let cohort = Approaches::learn(&lives).unwrap();
        assert_eq!(cohort.lives(), 12);
        for length in [70.0, 115.0, 155.0] {
            let (track, newest) = filter(length, 0.7 * length, &mut noise);
            let told = track.approach(newest).precedent(&cohort, 250.0).unwrap();
            let left = 0.3 * length;
            assert!((told.p50 - left).abs() < 0.07 * length, "{} of {left}", told.p50);
            assert!(told.p10 <= told.p50 && told.p50 <= told.p90 && told.lives == 12);
        }
    }
}

//! How long one series takes to its limit, by how others of its kind took to theirs.
//!
//! A straight line knows only the last slope. What wears faster and faster, as batteries do, reaches its limit
//! long before the line says so, and how much before is the same for parts of a kind when time is counted in
//! shares of their age. [`Approaches::learn`] fits that share to where a part stands on its way, how fast it
//! goes, and whether it goes faster than it did. Whether that is better than the line is measured on parts the
//! fit has not seen; where it is not, the line answers.

use super::{LEAST_LIVES, bands::Bands, ridge::Ridge};

/// Fewer lives than this teach nothing at all.
const LEAST: usize = 3;
/// Lives are dealt into at most so many groups; each is judged by a fit to the others.
const FOLDS: usize = 20;
/// Moments of a life that are learned from: those between are alike.
const MOMENTS: usize = 100;
/// Readings before there is an answer.
const SETTLED: u32 = 15;
/// Readings at the beginning whose median is where the part started.
const START: usize = 5;
/// The quick and the slow line: a reading made at age `s` weighs `(s / age)` to this power now.
const MEMORIES: [f64; 2] = [10.0, 10.0 / 3.0];
/// A line holds on to at least so many readings.
const LEAST_MEMORY: f64 = 6.0;
/// A line's answer counts as no less and no more than these powers of e of the age.
const LINE_RANGE: (f64, f64) = (-3.0, 2.0);
/// The same of the fit's answer.
const FIT_RANGE: (f64, f64) = (-5.0, 1.5);

/// Readings of one part over time: `(time, value)`, oldest first, in any unit of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// Its readings.
    pub readings: Vec<(f64, f64)>,
    /// The limit on its way.
    pub limit: f64,
}

/// What a cohort of lives taught.
#[derive(Clone, Debug, PartialEq)]
pub struct Approaches {
    fit: Ridge,
    bands: Bands,
    /// How many lives reached their limit.
    lives: usize,
    beats_line: bool,
}

/// One part on its way: constant size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Approach {
    first: [f64; START],
    count: u32,
    began: f64,
    last: f64,
    age: f64,
    lines: [Line; 2],
}

/// How long it still takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// As likely sooner as later.
    pub p50: f64,
    /// One in ten sooner than the first, one in ten later than the second; none below eight comparable lives.
    pub band: Option<(f64, f64)>,
    /// The cohort answered, and not a straight line.
    pub by_cohort: bool,
}

/// A line through readings that fade with their share of the age. Time is relative to the last reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Line {
    weight: f64,
    mean_x: f64,
    mean_y: f64,
    sxx: f64,
    sxy: f64,
}

impl Line {
    fn step(&mut self, gap: f64, kept: f64, value: f64) {
        self.weight *= kept;
        self.sxx *= kept;
        self.sxy *= kept;
        self.mean_x -= gap;
        let (x, y) = (-self.mean_x, value - self.mean_y);
        let weight = self.weight + 1.0;
        self.sxx += self.weight / weight * x * x;
        self.sxy += self.weight / weight * x * y;
        self.mean_x += x / weight;
        self.mean_y += y / weight;
        self.weight = weight;
    }

    fn slope(&self) -> f64 {
        if self.sxx > 0.0 { self.sxy / self.sxx } else { 0.0 }
    }

    fn level(&self) -> f64 {
        self.mean_y - self.slope() * self.mean_x
    }

    /// Logarithm of the time to `limit` as a share of `age`; a line that does not lead there takes for ever.
    fn share(&self, start: f64, limit: f64, age: f64) -> f64 {
        let (low, high) = LINE_RANGE;
        let way = (limit - self.level()) / (limit - start);
        let pace = self.slope() / (limit - start);
        if way <= 0.0 {
            low
        } else if pace <= 0.0 {
            high
        } else {
            (way / pace / age).ln().clamp(low, high)
        }
    }
}

impl Approach {
    /// Takes in a reading; one that is not newer than the last, or no number, is ignored.
    pub fn step(&mut self, time: f64, value: f64) {
        if !time.is_finite() || !value.is_finite() || self.count > 0 && time <= self.last {
            return;
        }
        let gap = if self.count == 0 { 0.0 } else { time - self.last };
        if self.count == 0 {
            self.began = time;
        } else if self.count == 1 {
            // A part is as old at its first reading as the first gap is long.
            self.began -= gap;
        }
        if let Some(place) = self.first.get_mut(self.count as usize) {
            *place = value;
        }
        self.count = self.count.saturating_add(1);
        self.last = time;
        let before = time - gap - self.began;
        self.age = time - self.began;
        let readings = f64::from(self.count);
        for (line, memory) in self.lines.iter_mut().zip(MEMORIES) {
            let power = memory.min(readings / LEAST_MEMORY);
            let kept = if before > 0.0 { (before / self.age).powf(power) } else { 1.0 };
            line.step(gap, kept, value);
        }
    }

    /// Logarithm of the remaining time as a share of the age, by the quick line.
    fn by_line(&self, limit: f64) -> f64 {
        self.lines[0].share(self.start(), limit, self.age)
    }

    fn start(&self) -> f64 {
        let mut first = self.first;
        first.sort_by(f64::total_cmp);
        first[START / 2]
    }

    /// None when too little is known, or the part started at its limit.
    fn features(&self, limit: f64) -> Option<[f64; 10]> {
        let start = self.start();
        if self.count <= SETTLED || (limit - start).abs() <= 1e-12 * start.abs() {
            return None;
        }
        let done = ((self.lines[0].level() - start) / (limit - start)).clamp(-0.2, 1.2);
        let [quick, slow] = self.lines.map(|line| line.share(start, limit, self.age));
        Some([
            1.0,
            self.age.max(1e-9).ln(),
            quick,
            slow,
            done,
            done * done,
            (quick - slow).clamp(-3.0, 3.0),
            (done - 0.5).max(0.0),
            (1.05 - done).max(0.01).ln(),
            done * quick,
        ])
    }

    /// How long it still takes to `limit`; none when too little is known.
    pub fn outlook(&self, cohort: &Approaches, limit: f64) -> Option<Outlook> {
        let features = self.features(limit)?;
        let answer = cohort.answer(self, &features, limit);
        let band = cohort.bands.at(answer)?;
        let time = |error: f64| self.age * (answer + error).exp();
        Some(Outlook {
            p50: time(0.0),
            band: (cohort.lives >= LEAST_LIVES).then(|| (time(band.low.min(0.0)), time(band.high.max(0.0)))),
            by_cohort: cohort.beats_line,
        })
    }
}

/// A moment of a life: what is known, the line's answer, and the truth, as logarithms of shares of the age.
struct Moment {
    features: [f64; 10],
    line: f64,
    truth: f64,
}

impl Approaches {
    /// Learns from lives, of which those that reached their limit teach. None when fewer than three did.
    pub fn learn(lives: &[Life]) -> Option<Self> {
        let lives: Vec<Vec<Moment>> = lives.iter().filter_map(moments).collect();
        if lives.len() < LEAST {
            return None;
        }
        let folds = FOLDS.min(lives.len());
        let (mut by_fit, mut by_line) = (Vec::new(), Vec::new());
        for fold in 0..folds {
            let others = lives.iter().enumerate().filter(|(number, _)| number % folds != fold);
            let fit = fit(others.map(|(_, life)| life));
            for moment in lives.iter().skip(fold).step_by(folds).flatten() {
                let answer = bounded(fit.predict(&moment.features));
                by_fit.push((answer, moment.truth - answer));
                by_line.push((moment.line, moment.truth - moment.line));
            }
        }
        let wrong = |answers: &[(f64, f64)]| answers.iter().map(|answer| answer.1.abs()).sum::<f64>();
        let beats_line = wrong(&by_fit) < wrong(&by_line);
        let bands = Bands::of(if beats_line { by_fit } else { by_line });
        Some(Approaches { fit: fit(lives.iter()), bands, lives: lives.len(), beats_line })
    }

    /// How many lives taught.
    pub fn lives(&self) -> usize {
        self.lives
    }

    fn answer(&self, part: &Approach, features: &[f64], limit: f64) -> f64 {
        if self.beats_line { bounded(self.fit.predict(features)) } else { part.by_line(limit) }
    }
}

fn bounded(answer: f64) -> f64 {
    answer.clamp(FIT_RANGE.0, FIT_RANGE.1)
}

/// Every life counts the same, however many of its moments are known.
fn fit<'a>(lives: impl Iterator<Item = &'a Vec<Moment>>) -> Ridge {
    let all = lives.flat_map(|life| life.iter().map(move |moment| (moment, 1.0 / life.len() as f64)));
    Ridge::fit_weighted(all.map(|(moment, weight)| (moment.features.as_slice(), moment.truth, weight)))
}

/// The moments of a life that reached its limit: where the middle one of three readings lies beyond.
fn moments(life: &Life) -> Option<Vec<Moment>> {
    let Life { readings, limit } = life;
    let rises = readings.first()?.1 < *limit;
    let is_beyond = |reading: &&(f64, f64)| if rises { reading.1 >= *limit } else { reading.1 <= *limit };
    let end = readings.windows(3).position(|three| three.iter().filter(is_beyond).count() >= 2)? + 1;
    let reached = readings[end].0;
    let stride = end.div_ceil(MOMENTS).max(1);
    let mut part = Approach::default();
    let mut moments = Vec::new();
    for (number, (time, value)) in readings[..end].iter().enumerate() {
        part.step(*time, *value);
        if number % stride == 0
            && let Some(features) = part.features(*limit)
        {
            let truth = ((reached - time) / part.age).ln();
            moments.push(Moment { features, line: part.by_line(*limit), truth: bounded(truth) });
        }
    }
    (!moments.is_empty()).then_some(moments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    const LIMIT: f64 = 80.0;

    /// Wears faster and faster, some parts three times as fast as others; a reading a day, with noise.
    fn lives(count: usize, seed: u64, sign: f64) -> Vec<Life> {
        let mut noise = Noise::new(seed);
        let life = |_| {
            let length = 100.0 + 200.0 * noise.unit();
            let bend = 3.0 + noise.unit();
            let value =
                |day: u32, noise: f64| 100.0 - 20.0 * (f64::from(day) / length).powf(bend) + 0.2 * noise;
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
            for (time, value) in
                [(*time, 1.0), (time - 1.0, 2.0), (f64::NAN, 1.0), (time + 0.1, f64::INFINITY)]
            {
                with.step(time, value);
            }
        }
        assert_eq!(with.outlook(&cohort, LIMIT), without.outlook(&cohort, LIMIT));
        assert_eq!(with.outlook(&cohort, 100.0).map(|outlook| outlook.p50 >= 0.0), Some(true));
    }
}

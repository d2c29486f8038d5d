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
/// Numbers that the fit is made of.
pub(super) const FEATURES: usize = 10;

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
    pub(super) fit: Ridge,
    pub(super) bands: Bands,
    /// How many lives reached their limit.
    pub(super) lives: usize,
    pub(super) beats_line: bool,
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

/// How long comparable parts took from where a part stands, with a band that was measured on them. In days when the
/// part's times are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precedent {
    /// One in ten took less.
    pub p10: f64,
    /// Half took less.
    pub p50: f64,
    /// Nine in ten took less.
    pub p90: f64,
    /// How many parts that is learned from.
    pub lives: usize,
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
    fn features(&self, limit: f64) -> Option<[f64; FEATURES]> {
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

    /// What others say about this part, where they are known to say more than its own line does.
    pub fn precedent(&self, cohort: &Approaches, limit: f64) -> Option<Precedent> {
        let Outlook { p50, band, by_cohort } = self.outlook(cohort, limit)?;
        let (p10, p90) = band.filter(|_| by_cohort)?;
        Some(Precedent { p10, p50, p90, lives: cohort.lives })
    }
}

/// A moment of a life: what is known, the line's answer, and the truth, as logarithms of shares of the age.
struct Moment {
    features: [f64; FEATURES],
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
#[path = "approach_tests.rs"]
mod tests;

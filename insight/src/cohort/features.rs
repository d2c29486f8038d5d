//! What the sensors of a part say together, as numbers to weigh.

/// Readings at the beginning of a life that show how a part is that is new; of a short life its first third.
const NEW: usize = 40;
/// Readings at the end of a life that show how a worn one is; of a short life its last third.
const WORN: usize = 10;
/// A sensor counts when it is further than this from new at the end, in standard deviations of a new one.
const SHOWS: f64 = 1.0;
/// Rates of the quick and the slow mean.
const QUICK: f64 = 0.05;
const SLOW: f64 = 0.03;
/// Age counts in units of this many readings, up to three.
const AGE: f64 = 100.0;

/// How sensors are when a part is new, and which of them show the wear.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) sensors: usize,
    pub(super) used: Vec<Used>,
}

/// A sensor that shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Used {
    /// Which of the sensors of a reading.
    pub(super) place: usize,
    /// What it says of a new part.
    pub(super) mean: f64,
    /// Its standard deviation there.
    pub(super) spread: f64,
    /// +1 when it rises with the wear, −1 when it falls.
    pub(super) sign: f64,
}

impl Used {
    /// How far a level is from new, in standard deviations.
    fn scaled(&self, level: f64) -> f64 {
        (level - self.mean) / self.spread
    }
}

impl Scale {
    /// From lives that ended; none when no sensor shows the wear.
    pub(super) fn of(lives: &[Vec<Vec<f64>>]) -> Option<Self> {
        let sensors = lives.first()?.first()?.len();
        let used: Vec<Used> = (0..sensors)
            .filter_map(|place| {
                let new = lives.iter().flat_map(|life| life.iter().take(NEW.min(life.len() / 3)));
                let worn = lives.iter().flat_map(|life| life.iter().rev().take(WORN.min(life.len() / 3)));
                let (new, worn) = (new.map(|row| row[place]), worn.map(|row| row[place]));
                let (mean, spread) = mean_and_spread(new);
                let change = mean_and_spread(worn).0 - mean;
                let shows = spread > 1e-9 * mean.abs().max(1e-9) && change.abs() > SHOWS * spread;
                shows.then(|| Used { place, mean, spread, sign: change.signum() })
            })
            .collect();
        (!used.is_empty()).then_some(Scale { sensors, used })
    }

    /// How many a reading has.
    pub(super) fn sensors(&self) -> usize {
        self.sensors
    }
}

fn mean_and_spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let off = value - mean;
        mean += off / count;
        squares += off * (value - mean);
    }
    (mean, if count > 1.0 { (squares / count).sqrt() } else { 0.0 })
}

/// Where one part stands: two fading means of each sensor. They are those of the readings themselves, so that they go on
/// when more lives teach what a new part is like.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) readings: u32,
    pub(super) quick: Vec<f64>,
    pub(super) slow: Vec<f64>,
}

impl Condition {
    /// Of a new part with so many sensors.
    pub(super) fn new(sensors: usize) -> Self {
        Condition { readings: 0, quick: vec![0.0; sensors], slow: vec![0.0; sensors] }
    }

    /// Takes in a reading of all sensors.
    pub(super) fn step(&mut self, reading: &[f64]) {
        self.readings = self.readings.saturating_add(1);
        let first = 1.0 / f64::from(self.readings);
        for ((value, quick), slow) in reading.iter().zip(&mut self.quick).zip(&mut self.slow) {
            *quick += first.max(QUICK) * (value - *quick);
            *slow += first.max(SLOW) * (value - *slow);
        }
    }

    /// The sensor that has moved furthest in the direction of wear.
    pub(super) fn furthest(&self, scale: &Scale) -> Option<usize> {
        let moved = |used: &Used| Some((used.place, used.sign * used.scaled(*self.quick.get(used.place)?)));
        let furthest = scale.used.iter().filter_map(moved).max_by(|a, b| a.1.total_cmp(&b.1));
        furthest.map(|(place, _)| place)
    }

    /// The constant; of each sensor its level, its drift and the square of its level; of all together the wear,
    /// its drift, and both with the age: a fast start is another thing than a slow end.
    pub(super) fn features(&self, scale: &Scale) -> Vec<f64> {
        let scaled = |levels: &[f64]| -> Vec<f64> {
            scale
                .used
                .iter()
                .map(|used| used.scaled(levels.get(used.place).copied().unwrap_or(used.mean)))
                .collect()
        };
        let (quick, slow) = (scaled(&self.quick), scaled(&self.slow));
        let mut features = Vec::with_capacity(feature_count(quick.len()));
        features.push(1.0);
        features.extend(&quick);
        features.extend(quick.iter().zip(&slow).map(|(quick, slow)| quick - slow));
        features.extend(quick.iter().map(|quick| quick * quick));
        let together = |levels: &[f64]| -> f64 {
            let signed = scale.used.iter().zip(levels).map(|(used, level)| used.sign * level);
            signed.sum::<f64>() / levels.len() as f64
        };
        let wear = together(&quick);
        let drift = wear - together(&slow);
        let age = (f64::from(self.readings) / AGE).min(3.0);
        features.extend([wear * wear, wear.powi(3), drift * wear, drift * drift, wear.abs().sqrt()]);
        features.extend([age, age * age, age.ln_1p(), age * wear, age * wear * wear, age * drift]);
        features
    }
}

/// How many numbers so many sensors that show the wear come to.
pub(super) fn feature_count(used: usize) -> usize {
    12 + 3 * used
}

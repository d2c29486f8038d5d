//! What the sensors of a part say together, as numbers to weigh.

/// Readings at the beginning of a life that show how a part is that is new.
const NEW: usize = 40;
/// Readings at the end of a life that show how a worn one is.
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
    sensors: usize,
    used: Vec<Used>,
}

/// A sensor that shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Used {
    place: usize,
    mean: f64,
    spread: f64,
    /// +1 when it rises with the wear, −1 when it falls.
    sign: f64,
}

impl Scale {
    /// From lives that ended; none when no sensor shows the wear.
    pub(super) fn of(lives: &[Vec<Vec<f64>>]) -> Option<Self> {
        let sensors = lives.first()?.first()?.len();
        let used: Vec<Used> = (0..sensors)
            .filter_map(|place| {
                let new = lives.iter().flat_map(|life| life.iter().take(NEW)).map(|row| row[place]);
                let worn = lives.iter().flat_map(|life| life.iter().rev().take(WORN)).map(|row| row[place]);
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

/// Where one part stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    readings: usize,
    quick: Vec<f64>,
    slow: Vec<f64>,
}

impl Condition {
    pub(super) fn new(scale: &Scale) -> Self {
        let none = vec![0.0; scale.used.len()];
        Condition { readings: 0, quick: none.clone(), slow: none }
    }

    pub(super) fn readings(&self) -> usize {
        self.readings
    }

    pub(super) fn step(&mut self, scale: &Scale, reading: &[f64]) {
        self.readings += 1;
        let first = 1.0 / self.readings as f64;
        for ((used, quick), slow) in scale.used.iter().zip(&mut self.quick).zip(&mut self.slow) {
            let value = (reading[used.place] - used.mean) / used.spread;
            *quick += first.max(QUICK) * (value - *quick);
            *slow += first.max(SLOW) * (value - *slow);
        }
    }

    /// The constant; of each sensor its level, its drift and the square of its level; of all together the wear,
    /// its drift, and both with the age: a fast start is another thing than a slow end.
    pub(super) fn features(&self, scale: &Scale) -> Vec<f64> {
        let mut features = Vec::with_capacity(12 + 3 * self.quick.len());
        features.push(1.0);
        features.extend(&self.quick);
        features.extend(self.quick.iter().zip(&self.slow).map(|(quick, slow)| quick - slow));
        features.extend(self.quick.iter().map(|quick| quick * quick));
        let together = |levels: &[f64]| -> f64 {
            let signed = scale.used.iter().zip(levels).map(|(used, level)| used.sign * level);
            signed.sum::<f64>() / levels.len() as f64
        };
        let wear = together(&self.quick);
        let drift = wear - together(&self.slow);
        let age = (self.readings as f64 / AGE).min(3.0);
        features.extend([wear * wear, wear.powi(3), drift * wear, drift * drift, wear.abs().sqrt()]);
        features.extend([age, age * age, age.ln_1p(), age * wear, age * wear * wear, age * drift]);
        features
    }
}

//! A linear fit that does not run after noise.

/// How strongly a weight is held to zero, as a share of its feature's mean square.
const HELD: f64 = 1e-4;

/// Weights of features; the first feature is the constant 1 and not held.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ridge {
    pub(super) weights: Vec<f64>,
}

impl Ridge {
    /// The weights of these samples, each with a weight of its own among them.
    pub(super) fn fit_weighted<'a>(samples: impl Iterator<Item = (&'a [f64], f64, f64)>) -> Self {
        let mut sums = Sums::default();
        samples.for_each(|(features, target, weight)| sums.add(features, target, weight));
        sums.fit()
    }

    pub(super) fn predict(&self, features: &[f64]) -> f64 {
        self.weights.iter().zip(features).map(|(weight, feature)| weight * feature).sum()
    }
}

/// What samples come to, in constant space: the normal equations. Those of parts of the samples add up to those of all.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// The lower half of a symmetric matrix.
    normal: Vec<Vec<f64>>,
    right: Vec<f64>,
}

impl Sums {
    /// Takes in a sample.
    pub(super) fn add(&mut self, features: &[f64], target: f64, weight: f64) {
        self.make_room(features.len());
        for ((row, right), feature) in self.normal.iter_mut().zip(&mut self.right).zip(features) {
            let feature = weight * feature;
            *right += feature * target;
            for (sum, other) in row.iter_mut().zip(features) {
                *sum += feature * other;
            }
        }
    }

    /// Takes in the samples of another.
    pub(super) fn join(&mut self, other: &Sums) {
        self.make_room(other.right.len());
        for (row, others) in self.normal.iter_mut().zip(&other.normal) {
            row.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        }
        self.right.iter_mut().zip(&other.right).for_each(|(sum, other)| *sum += other);
    }

    /// The weights of least squares with a penalty (Hoerl and Kennard 1970), by Cholesky's decomposition of the
    /// normal equations.
    pub(super) fn fit(mut self) -> Ridge {
        for (place, row) in self.normal.iter_mut().enumerate().skip(1) {
            row[place] *= 1.0 + HELD;
        }
        Ridge { weights: solve(self.normal, self.right) }
    }

    fn make_room(&mut self, features: usize) {
        if self.normal.is_empty() {
            self.normal = (1..=features).map(|length| vec![0.0; length]).collect();
            self.right = vec![0.0; features];
        }
    }
}

/// Solves a symmetric positive definite system, given by the lower half of its matrix.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let size = right.len();
    for column in 0..size {
        let square: f64 = matrix[column][..column].iter().map(|x| x * x).sum();
        // A feature that others explain wholly has nothing left, and gets next to no weight.
        let pivot = (matrix[column][column] - square).max(1e-9).sqrt();
        matrix[column][column] = pivot;
        let (above, below) = matrix.split_at_mut(column + 1);
        let top = &above[column];
        for row in below {
            let product: f64 = row[..column].iter().zip(&top[..column]).map(|(x, y)| x * y).sum();
            row[column] = (row[column] - product) / pivot;
        }
    }
    for row in 0..size {
        let known: f64 = matrix[row][..row].iter().zip(&right).map(|(x, y)| x * y).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|below| matrix[below][row] * right[below]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    #[test]
    fn finds_the_weights_and_leaves_out_what_says_nothing_new() {
        let mut noise = Noise::new(3);
        let samples: Vec<(Vec<f64>, f64)> = (0..500)
            .map(|_| {
                let (a, b) = (noise.normal(), noise.normal());
                (vec![1.0, a, b, 2.0 * a], 5.0 + 2.0 * a - b + 0.1 * noise.normal())
            })
            .collect();
        let fit =
            Ridge::fit_weighted(samples.iter().map(|(features, target)| (features.as_slice(), *target, 1.0)));
        for (a, b) in [(0.0, 0.0), (1.0, -2.0), (-3.0, 0.5)] {
            let answer = fit.predict(&[1.0, a, b, 2.0 * a]);
            assert!((answer - (5.0 + 2.0 * a - b)).abs() < 0.05, "{answer} for {a}, {b}");
        }
    }

    #[test]
    fn sums_of_parts_are_those_of_all() {
        let samples: Vec<([f64; 2], f64)> =
            (0..10).map(|x| ([1.0, f64::from(x)], 3.0 + 2.0 * f64::from(x))).collect();
        let mut all = Sums::default();
        for part in samples.chunks(3) {
            let mut sums = Sums::default();
            part.iter().for_each(|(features, target)| sums.add(features, *target, 1.0));
            all.join(&sums);
        }
        let whole = samples.iter().map(|(features, target)| (features.as_slice(), *target, 1.0));
        let whole = Ridge::fit_weighted(whole);
        for (part, whole) in all.fit().weights.iter().zip(&whole.weights) {
            assert!((part - whole).abs() < 1e-9, "{part} {whole}");
        }
    }

    #[test]
    fn of_nothing_it_says_nothing() {
        assert_eq!(Ridge::fit_weighted(std::iter::empty()).predict(&[1.0, 2.0]), 0.0);
    }
}

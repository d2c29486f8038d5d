//! A linear fit that does not run after noise.

/// How strongly a weight is held to zero, as a share of its feature's mean square.
const HELD: f64 = 1e-4;

/// Weights of features; the first feature is the constant 1 and not held.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ridge {
    pub(super) weights: Vec<f64>,
}

impl Ridge {
    /// The weights of least squares with a penalty (Hoerl and Kennard 1970), by Cholesky's decomposition of the
    /// normal equations.
    pub(super) fn fit<'a>(samples: impl Iterator<Item = (&'a [f64], f64)>) -> Self {
        Self::fit_weighted(samples.map(|(features, target)| (features, target, 1.0)))
    }

    /// The same, where each sample has a weight of its own.
    pub(super) fn fit_weighted<'a>(samples: impl Iterator<Item = (&'a [f64], f64, f64)>) -> Self {
        let mut normal: Vec<Vec<f64>> = Vec::new();
        let mut right: Vec<f64> = Vec::new();
        for (features, target, weight) in samples {
            if normal.is_empty() {
                normal = (1..=features.len()).map(|length| vec![0.0; length]).collect();
                right = vec![0.0; features.len()];
            }
            for ((row, right), feature) in normal.iter_mut().zip(&mut right).zip(features) {
                let feature = weight * feature;
                *right += feature * target;
                for (sum, other) in row.iter_mut().zip(features) {
                    *sum += feature * other;
                }
            }
        }
        for (place, row) in normal.iter_mut().enumerate().skip(1) {
            row[place] *= 1.0 + HELD;
        }
        Ridge { weights: solve(normal, right) }
    }

    pub(super) fn predict(&self, features: &[f64]) -> f64 {
        self.weights.iter().zip(features).map(|(weight, feature)| weight * feature).sum()
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
        let fit = Ridge::fit(samples.iter().map(|(features, target)| (features.as_slice(), *target)));
        for (a, b) in [(0.0, 0.0), (1.0, -2.0), (-3.0, 0.5)] {
            let answer = fit.predict(&[1.0, a, b, 2.0 * a]);
            assert!((answer - (5.0 + 2.0 * a - b)).abs() < 0.05, "{answer} for {a}, {b}");
        }
    }

    #[test]
    fn of_nothing_it_says_nothing() {
        assert_eq!(Ridge::fit(std::iter::empty()).predict(&[1.0, 2.0]), 0.0);
    }
}

//! What many devices have in common: one finding instead of a thousand.
//!
//! A *cohort* is what shares a version, a model or a site; *the others* are the rest of the same fleet at the same
//! time. Two questions are asked of them:
//!
//! - [`excess`]: do more devices of the cohort have the trouble than its share of the fleet explains? Fisher's exact
//!   test, one-sided, as decades of surprise.
//! - [`shift`]: do the values of the cohort lie elsewhere than those of the others? The Mann-Whitney test with ties,
//!   as decades of surprise, and the chance that a device of the cohort has the larger value, which says how far apart
//!   they are however many devices there are.
//!
//! Both are ranks and counts: one absurd reading is one device. Below [`LEAST_DEVICES`] on either side nothing is said.

/// Fewer devices than this are no cohort.
pub const LEAST_DEVICES: u32 = 8;
/// Fewer affected devices than this are coincidence.
const LEAST_AFFECTED: u32 = 3;
/// A smaller share of the cohort is not the cohort's trouble, however sure it is.
const LEAST_SHARE: f64 = 0.1;
/// Decades of surprise from which on it is told. Hundreds of cohorts and metrics are asked every few minutes, about
/// the same devices; six decades leave one false finding in years.
pub const TOLD: f64 = 6.0;
/// The decades above are for this many comparisons at a time.
const COMPARISONS: f64 = 100.0;
/// What was told stays told down to this many decades.
const STAYS: f64 = 3.0;
/// A shift is told when a device of the cohort has the larger (or the smaller) value with this probability.
const APART: f64 = 0.85;
/// What was told stays told down to this probability.
const STILL_APART: f64 = 0.75;

/// Devices, and how many of them have a trouble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Those that have it.
    pub affected: u32,
    /// All.
    pub devices: u32,
}

impl Share {
    /// The part that has it; 0 of none.
    pub fn part(self) -> f64 {
        if self.devices == 0 { 0.0 } else { f64::from(self.affected) / f64::from(self.devices) }
    }
}

/// How a cohort's values lie beside the others'.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// Decades of surprise if both came from the same distribution.
    pub decades: f64,
    /// How often a device of the cohort has a larger value than one of the others: 0.5 is no difference.
    pub larger: f64,
    /// Half of the cohort is below.
    pub median: f64,
    /// Half of the others are below.
    pub others_median: f64,
}

impl Shift {
    /// Whether it is told; `before`: whether it was.
    pub fn is_told(&self, before: bool) -> bool {
        self.is_told_among(1, before)
    }

    /// Whether it is told as one of so many that were looked at together. Bonferroni's correction: what chance shows
    /// in a hundred times as many, it shows with two decades more.
    pub fn is_told_among(&self, comparisons: usize, before: bool) -> bool {
        let (decades, apart) = if before { (STAYS, STILL_APART) } else { (TOLD, APART) };
        let more = (comparisons as f64 / COMPARISONS).log10().max(0.0);
        self.decades >= decades + more && self.larger.max(1.0 - self.larger) >= apart
    }
}

/// How surprising it is that so many of the cohort are affected, in decades, if the trouble had chosen its devices
/// among all of them by chance. None when there are too few devices to say.
pub fn excess(cohort: Share, others: Share) -> Option<f64> {
    let is_enough = cohort.devices >= LEAST_DEVICES && others.devices >= LEAST_DEVICES;
    if !is_enough || cohort.affected > cohort.devices || others.affected > others.devices {
        return None;
    }
    Some(fisher(cohort, others))
}

/// Whether a cohort's trouble is told; `before`: whether it was.
pub fn is_excess_told(cohort: Share, others: Share, before: bool) -> bool {
    let least = if before { STAYS } else { TOLD };
    let is_much = cohort.affected >= LEAST_AFFECTED && cohort.part() >= LEAST_SHARE;
    is_much && excess(cohort, others).is_some_and(|decades| decades >= least)
}

/// -log10 of the probability of at least so many affected in the cohort: the upper tail of the hypergeometric
/// distribution, summed from its largest term.
fn fisher(cohort: Share, others: Share) -> f64 {
    let affected = cohort.affected + others.affected;
    let devices = cohort.devices + others.devices;
    let all = ln_choose(devices, affected);
    let term = |k: u32| ln_choose(cohort.devices, k) + ln_choose(others.devices, affected - k) - all;
    let last = affected.min(cohort.devices);
    let mut sum = 0.0;
    // Beyond the mode the terms fall faster than geometrically, before it the sum is near 1: either way it is short.
    let first = term(cohort.affected);
    let mode = f64::from(affected) * f64::from(cohort.devices) / f64::from(devices);
    if f64::from(cohort.affected) <= mode {
        return 0.0;
    }
    for k in cohort.affected..=last {
        let part = (term(k) - first).exp();
        sum += part;
        if part < 1e-12 * sum {
            break;
        }
    }
    (-(first + f64::ln(sum)) / std::f64::consts::LN_10).max(0.0)
}

fn ln_choose(n: u32, k: u32) -> f64 {
    if k > n { f64::NEG_INFINITY } else { ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k) }
}

/// Stirling's series from 16 on (the next term is below 10⁻¹²), the product before.
fn ln_factorial(n: u32) -> f64 {
    if n < 16 {
        return (2..=n).map(f64::from).product::<f64>().ln();
    }
    let x = f64::from(n);
    let square = x * x;
    let series = (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0) / square) / square) / x;
    (x + 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

/// Compares the values of a cohort with those of the others, one a device; what is no number is left out. None when
/// there are too few devices to say.
pub fn shift(cohort: &[f64], others: &[f64]) -> Option<Shift> {
    let of = |values: &[f64]| -> Vec<f64> {
        let mut finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        finite.sort_by(f64::total_cmp);
        finite
    };
    let (ours, theirs) = (of(cohort), of(others));
    let least = LEAST_DEVICES as usize;
    if ours.len() < least || theirs.len() < least {
        return None;
    }
    let (below, ties) = ranks(&ours, &theirs);
    let (n, m) = (ours.len() as f64, theirs.len() as f64);
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    // Half a step of continuity, towards no difference.
    let distance = ((below - n * m / 2.0).abs() - 0.5).max(0.0);
    let decades = if variance > 0.0 { two_sided(distance / variance.sqrt()) } else { 0.0 };
    Some(Shift { decades, larger: below / (n * m), median: median(&ours), others_median: median(&theirs) })
}

/// How many pairs (ours, theirs) have the larger value on our side, ties counting half, and the sum of t³ - t over
/// the groups of equal values.
fn ranks(ours: &[f64], theirs: &[f64]) -> (f64, f64) {
    let (mut below, mut ties) = (0.0, 0.0);
    let (mut i, mut j) = (0, 0);
    while i < ours.len() || j < theirs.len() {
        let value = match (ours.get(i), theirs.get(j)) {
            (Some(a), Some(b)) => a.min(*b),
            (Some(one), None) | (None, Some(one)) => *one,
            (None, None) => break,
        };
        let equal = |sorted: &[f64]| sorted.iter().take_while(|other| **other <= value).count();
        let (a, b) = (equal(&ours[i..]), equal(&theirs[j..]));
        below += a as f64 * (j as f64 + b as f64 / 2.0);
        let group = (a + b) as f64;
        ties += group * group * group - group;
        (i, j) = (i + a, j + b);
    }
    (below, ties)
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// -log10 of the probability that a standard normal lies at least `z` from 0. The complementary error function by its
/// continued fraction from 2 on (Abramowitz and Stegun 26.2.14), by its series before: right to six digits.
fn two_sided(z: f64) -> f64 {
    let density_ln = -0.5 * z * z - 0.5 * std::f64::consts::TAU.ln();
    let tail_ln = if z < 2.0 {
        let mut term = z;
        let mut sum = z;
        for n in 1..60 {
            term *= z * z / f64::from(2 * n + 1);
            sum += term;
        }
        (0.5 - density_ln.exp() * sum).max(f64::MIN_POSITIVE).ln()
    } else {
        let fraction = (1..=80).rev().fold(z, |rest, n| z + f64::from(n) / rest);
        density_ln - fraction.ln()
    };
    (-(tail_ln + std::f64::consts::LN_2) / std::f64::consts::LN_10).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Noise;

    fn share(affected: u32, devices: u32) -> Share {
        Share { affected, devices }
    }

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-3 * expected.abs().max(1.0), "{value} instead of {expected}");
    }

    #[test]
    fn agrees_with_published_values_of_fishers_test() {
        // Fisher's tea: 3 of 4 right with 1 of 4 among the others, p = 0.242857; 8 of 8 against 0 of 8, p = 1/12870.
        near(fisher(share(3, 4), share(1, 4)), -(0.242_857_f64).log10());
        near(excess(share(8, 8), share(0, 8)).unwrap(), (12_870_f64).log10());
        near(
            excess(share(100_000, 100_000), share(0, 8)).unwrap(),
            ln_choose(100_008, 8) / std::f64::consts::LN_10,
        );
    }

    #[test]
    fn agrees_with_the_normal_distribution() {
        for (z, p) in
            [(0.0, 1.0), (1.0, 0.317_310_5), (1.959_964, 0.05), (3.290_527, 0.001), (6.466_951, 1e-10)]
        {
            near(two_sided(z), -f64::log10(p));
        }
    }

    #[test]
    fn a_bad_version_is_told_and_a_usual_rate_is_not() {
        assert!(is_excess_told(share(31, 40), share(2, 160), false));
        assert!(!is_excess_told(share(4, 40), share(16, 160), false), "the same rate everywhere");
        assert!(!is_excess_told(share(3, 8), share(0, 8), false), "three of eight may be chance");
        assert!(
            !is_excess_told(share(60, 10_000), share(0, 100_000), false),
            "one in 166 is not the version"
        );
        assert!(!is_excess_told(share(7, 7), share(0, 1_000), false), "seven devices are no cohort");
    }

    #[test]
    fn what_was_told_stays_until_it_is_clearly_over() {
        let (cohort, others) = (share(8, 40), share(2, 160));
        let decades = excess(cohort, others).unwrap();
        assert!((STAYS..TOLD).contains(&decades), "{decades}");
        assert!(!is_excess_told(cohort, others, false) && is_excess_told(cohort, others, true));
        assert!(!is_excess_told(share(1, 40), others, true));
    }

    #[test]
    fn chance_is_hardly_ever_told() {
        let mut noise = Noise::new(7);
        let (mut told, mut most) = (0, 0.0_f64);
        for _ in 0..2_000 {
            let ours: Vec<f64> = (0..40).map(|_| noise.normal()).collect();
            let theirs: Vec<f64> = (0..200).map(|_| noise.normal()).collect();
            let shift = shift(&ours, &theirs).unwrap();
            told += u32::from(shift.is_told(false));
            most = most.max(shift.decades);
        }
        assert_eq!(told, 0);
        assert!((2.5..5.0).contains(&most), "one in 2,000 is about 3.3 decades: {most}");
    }

    #[test]
    fn slow_disks_of_one_version_are_told_whatever_one_of_them_says() {
        let mut noise = Noise::new(8);
        let mut slow: Vec<f64> = (0..40).map(|_| 30.0 + 5.0 * noise.normal()).collect();
        let usual: Vec<f64> = (0..200).map(|_| 10.0 + 5.0 * noise.normal()).collect();
        slow[0] = -1e30;
        slow[1] = f64::NAN;
        let found = shift(&slow, &usual).unwrap();
        assert!(found.is_told(false), "{found:?}");
        assert!(found.larger > 0.95 && (found.median - 30.0).abs() < 3.0, "{found:?}");
        let mirrored = shift(&usual, &slow).unwrap();
        assert!(mirrored.is_told(false) && mirrored.larger < 0.05);
        near(mirrored.decades, found.decades);
    }

    #[test]
    fn a_difference_that_is_sure_and_small_is_not_told() {
        let mut noise = Noise::new(9);
        let ours: Vec<f64> = (0..5_000).map(|_| 0.3 + noise.normal()).collect();
        let theirs: Vec<f64> = (0..5_000).map(|_| noise.normal()).collect();
        let shift = shift(&ours, &theirs).unwrap();
        assert!(shift.decades > TOLD && !shift.is_told(false), "{shift:?}");
    }

    #[test]
    fn more_comparisons_ask_for_more_surprise() {
        let shift = Shift { decades: 7.0, larger: 0.95, median: 3.0, others_median: 1.0 };
        assert!(shift.is_told_among(100, false) && shift.is_told_among(1_000, false));
        assert!(!shift.is_told_among(1_001, false) && shift.is_told_among(1_001, true));
    }

    #[test]
    fn equal_values_say_nothing() {
        let same = shift(&[1.0; 50], &[1.0; 50]).unwrap();
        assert_eq!((same.decades, same.larger), (0.0, 0.5));
        // Counters that are mostly zero: ties make the test weaker, not wrong.
        let mostly: Vec<f64> = (0..50).map(|n| f64::from(u8::from(n < 5))).collect();
        assert!(!shift(&mostly, &[0.0; 500]).unwrap().is_told(false));
        assert_eq!(shift(&[f64::NAN; 50], &[1.0; 50]), None);
    }
}

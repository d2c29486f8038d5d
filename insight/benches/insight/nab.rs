//! The Numenta Anomaly Benchmark: labelled recordings, and its way of scoring (version 1.1).
//!
//! A detector gives every reading a score. Those at or above a threshold are detections: within a labelled
//! window the earliest counts, the earlier the better; outside every one costs, the less the closer it follows
//! a window. 0 is what one that detects nothing gets, 100 a perfect one.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};

/// What a missed window and a false detection cost.
#[derive(Clone, Copy)]
pub struct Profile {
    pub name: &'static str,
    missed: f64,
    false_alarm: f64,
}

pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", missed: 1.0, false_alarm: 0.11 },
    Profile { name: "few false alarms", missed: 1.0, false_alarm: 0.22 },
    Profile { name: "few missed", missed: 2.0, false_alarm: 0.11 },
];

/// One recording.
pub struct Recording {
    /// Seconds since the epoch and value.
    pub readings: Vec<(i64, f64)>,
    /// What a detection at each reading is worth, in shares of a hit or of a false alarm.
    worth: Vec<f64>,
    /// The window that each reading lies in.
    window: Vec<Option<usize>>,
    windows: usize,
    /// Readings before this one are for learning.
    scored_from: usize,
}

impl Recording {
    /// How long it is.
    pub fn days(&self) -> f64 {
        let ends = self.readings.first().zip(self.readings.last());
        ends.map_or(0.0, |(first, last)| (last.0 - first.0) as f64 / 86_400.0)
    }
}

/// All recordings below `folder`, with their labels.
pub fn recordings(folder: &Path) -> Result<Vec<Recording>> {
    let labels = folder.join("labels/combined_windows.json");
    let text = fs::read_to_string(&labels).with_context(|| format!("cannot read {}", labels.display()))?;
    let windows: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(&text)?;
    windows.into_iter().map(|(name, windows)| read(&folder.join("data").join(name), &windows)).collect()
}

fn read(path: &Path, labelled: &[(String, String)]) -> Result<Recording> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let row = |line: &str| -> Option<(i64, f64)> {
        let (time, value) = line.split_once(',')?;
        Some((seconds(time)?, value.trim().parse().ok()?))
    };
    let readings: Vec<(i64, f64)> = text
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| row(line).with_context(|| format!("{}: {line}", path.display())))
        .collect::<Result<_>>()?;
    let place = |time: &str| -> Result<usize> {
        let at = seconds(time).with_context(|| time.to_owned())?;
        readings.iter().position(|(time, _)| *time == at).with_context(|| format!("no reading at {time}"))
    };
    let windows: Vec<(usize, usize)> =
        labelled.iter().map(|(from, to)| Ok((place(from)?, place(to)?))).collect::<Result<_>>()?;
    let (mut worth, mut window) = (vec![-1.0; readings.len()], vec![None; readings.len()]);
    for (number, &(from, to)) in windows.iter().enumerate() {
        let width = (to - from + 1) as f64;
        for at in from..=to {
            window[at] = Some(number);
            worth[at] = sigmoid(-((to - at + 1) as f64) / width) / sigmoid(-1.0);
        }
        let next = windows.get(number + 1).map_or(readings.len(), |next| next.0);
        for (at, worth) in worth.iter_mut().enumerate().take(next).skip(to + 1) {
            *worth = sigmoid((at - to) as f64 / (width - 1.0));
        }
    }
    let learning = (0.15 * readings.len() as f64).floor().min(0.15 * 5000.0).ceil() as usize;
    Ok(Recording { worth, window, windows: windows.len(), scored_from: learning, readings })
}

fn sigmoid(x: f64) -> f64 {
    if x > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * x).exp()) - 1.0 }
}

/// `YYYY-MM-DD HH:MM:SS`, with or without a fraction, as seconds since the epoch.
fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.trim().split_once(' ')?;
    let numbers = |text: &str, by: char| -> Option<Vec<i64>> {
        text.split(by).map(|part| part.split('.').next()?.parse().ok()).collect()
    };
    let [year, month, day] = <[i64; 3]>::try_from(numbers(date, '-')?).ok()?;
    let [hour, minute, second] = <[i64; 3]>::try_from(numbers(time, ':')?).ok()?;
    // Days since 1970 in the Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// A reading with the score that the detector gave it.
struct Scored {
    score: f64,
    worth: f64,
    /// Recording and window.
    window: Option<(usize, usize)>,
}

/// The score of a detector at a threshold, or at the best one, which is the second part of the answer.
pub fn score(
    recordings: &[Recording],
    scores: &[Vec<f64>],
    profile: Profile,
    threshold: Option<f64>,
) -> (f64, f64) {
    let mut scored: Vec<Scored> = Vec::new();
    for (number, (recording, scores)) in recordings.iter().zip(scores).enumerate() {
        let all = scores.iter().zip(&recording.worth).zip(&recording.window);
        scored.extend(all.skip(recording.scored_from).map(|((score, worth), window)| Scored {
            score: *score,
            worth: *worth,
            window: window.map(|window| (number, window)),
        }));
    }
    scored.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut best: BTreeMap<(usize, usize), f64> =
        scored.iter().filter_map(|row| Some((row.window?, -profile.missed))).collect();
    let nothing = -profile.missed * best.len() as f64;
    let all: usize = recordings.iter().map(|recording| recording.windows).sum();
    let normal = |raw: f64| 100.0 * (raw - nothing) / (all as f64 - nothing);
    let (mut raw, mut at_best) = (nothing, (nothing, f64::INFINITY));
    for (place, Scored { score, worth, window }) in scored.iter().enumerate() {
        if threshold.is_some_and(|threshold| *score < threshold) {
            break;
        }
        match window {
            None => raw += worth * profile.false_alarm,
            Some(window) => {
                let best = best.entry(*window).or_insert(-profile.missed);
                if worth > best {
                    raw += worth - *best;
                    *best = *worth;
                }
            }
        }
        let is_cut = scored.get(place + 1).is_none_or(|next| next.score != *score);
        if is_cut && raw > at_best.0 {
            at_best = (raw, *score);
        }
    }
    match threshold {
        Some(threshold) => (normal(raw), threshold),
        None => (normal(at_best.0), at_best.1),
    }
}

//! `cargo xtask bench insight --data DIR`: what is predicted, judged on recordings of real things by the measures
//! that are published for them, and what it costs.

mod batteries;
mod cmapss;
mod nab;

use std::{env, hint::black_box, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use slipway_insight::{
    State,
    cohort::{Cohort, LearnError},
    detector::{ALERT, Detector},
};

fn main() -> ExitCode {
    // `cargo bench` adds arguments of its own.
    let folder = env::args().skip_while(|argument| argument != "--data").nth(1);
    let Some(folder) = folder else {
        eprintln!("error: where are the recordings? --data DIR, with folders nab, cmapss and battery");
        return ExitCode::from(2);
    };
    match measure(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(data: &Path) -> Result<()> {
    row("", "MEASURED", "ASKED", "PUBLISHED");
    anomalies(&data.join("nab"))?;
    remaining_life(&data.join("cmapss"))?;
    ways_to_a_limit(&data.join("battery"))
}

/// CPU time of this process: what it costs, whoever else is at work on the machine.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn row(what: &str, measured: &str, asked: &str, published: &str) {
    println!("{what:<46}{measured:>12}  {asked:>14}  {published}");
}

fn anomalies(folder: &Path) -> Result<()> {
    let recordings = nab::recordings(folder)?;
    let before = cpu();
    let scores: Vec<Vec<f64>> = recordings.iter().map(scores).collect();
    let spent = cpu().saturating_sub(before);
    let readings: usize = scores.iter().map(Vec::len).sum();
    let days: f64 = recordings.iter().map(nab::Recording::days).sum();
    println!("anomalies: NAB, {} series, {readings} readings", recordings.len());
    for (profile, asked, published) in [
        (nab::PROFILES[0], "at least 68", "CAD OSE 69.9, HTM 70.1, random cut forest 51.7"),
        (nab::PROFILES[1], "", ""),
        (nab::PROFILES[2], "", ""),
    ] {
        let (score, threshold) = nab::score(&recordings, &scores, profile, None);
        let what = format!("  {}, best threshold ({threshold:.2})", profile.name);
        row(&what, &format!("{score:.1}"), asked, published);
    }
    let (score, _) = nab::score(&recordings, &scores, nab::PROFILES[0], Some(f64::from(ALERT)));
    row(&format!("  standard, shipped threshold ({ALERT:.2})"), &format!("{score:.1}"), "", "");
    let told = scores.iter().flatten().filter(|score| **score >= f64::from(ALERT)).count();
    row("  told at it, a series and day", &format!("{:.3}", told as f64 / days), "below 0.05", "");
    let rate = |spent: Duration| format!("{:.1}", readings as f64 / spent.as_secs_f64() / 1e6);
    row("  million readings a second of CPU", &rate(spent), "at least 1", "");
    let before = cpu();
    recordings.iter().for_each(|recording| {
        black_box(state(recording));
    });
    row("  the same with the trends for forecasts", &rate(cpu().saturating_sub(before)), "", "");
    row("  bytes of a series, of both", &size_of::<State>().to_string(), "at most 512", "");
    Ok(())
}

fn state(recording: &nab::Recording) -> State {
    let mut state = State::default();
    for (at, value) in &recording.readings {
        state.step(at * 1000, *value, "", None);
    }
    state
}

fn scores(recording: &nab::Recording) -> Vec<f64> {
    let mut detector = Detector::default();
    let score = |(at, value): &(i64, f64)| {
        let second = u32::try_from(at.rem_euclid(86_400)).unwrap_or(0);
        detector.step(*value, second).map_or(0.0, |anomaly| f64::from(anomaly.score))
    };
    recording.readings.iter().map(score).collect()
}

/// Engines are taken to be as good as new with more flights left than this, by all who publish.
const HORIZON: f64 = 125.0;

fn remaining_life(folder: &Path) -> Result<()> {
    let engines = cmapss::engines(folder)?;
    println!(
        "remaining life: C-MAPSS FD001, {} engines to learn from, {} others",
        engines.lives.len(),
        engines.left.len()
    );
    let before = cpu();
    let cohort = Cohort::learn(&engines.lives, HORIZON).map_err(|error: LearnError| error)?;
    let spent = cpu().saturating_sub(before);
    let (mut squares, mut penalty, mut within) = (0.0, 0.0, 0.0);
    for (readings, left) in engines.others.iter().zip(&engines.left) {
        let mut unit = cohort.unit();
        readings.iter().for_each(|reading| unit.step(&cohort, reading));
        let remaining = unit.remaining(&cohort).context("a recording is too short")?;
        let left = left.min(HORIZON);
        let late = remaining.p50 - left;
        squares += late * late;
        // Being late costs more than being early.
        penalty += if late < 0.0 { (-late / 13.0).exp_m1() } else { (late / 10.0).exp_m1() };
        within += f64::from(remaining.p10 <= left && remaining.p90.is_none_or(|p90| left <= p90));
    }
    let count = engines.left.len() as f64;
    let published = "LSTM 16.1, 14.9 (2026), DCNN 12.6";
    row("  root mean square error", &format!("{:.1}", (squares / count).sqrt()), "at most 14.5", published);
    row("  NASA's score", &format!("{penalty:.0}"), "at most 320", "");
    row("  share within the 80 % band", &format!("{:.2}", within / count), "0.75 to 0.85", "");
    row("  seconds of CPU to learn", &format!("{:.2}", spent.as_secs_f64()), "", "");
    let leads = leads(&engines.lives)?;
    let told: Vec<f64> = leads.iter().filter_map(|lead| *lead).collect();
    println!(
        "  told when P10 is {WORKSHOP:.0} flights away, each tenth of the first engines by the other nine:"
    );
    row("    flights before the end, median", &format!("{:.0}", quantile(&told, 0.5)), "", "");
    row("    one in ten later than", &format!("{:.0}", quantile(&told, 0.1)), "", "");
    row("    never told", &format!("{} of {}", leads.len() - told.len(), leads.len()), "", "");
    Ok(())
}

/// A workshop needs to know so many flights ahead.
const WORKSHOP: f64 = 20.0;
const TENTHS: usize = 10;

/// How many flights before its end each engine was told of; none when it never was.
fn leads(lives: &[Vec<Vec<f64>>]) -> Result<Vec<Option<f64>>> {
    let mut leads = Vec::new();
    for tenth in 0..TENTHS {
        let is_of_it = |(number, _): &(usize, &Vec<Vec<f64>>)| number % TENTHS == tenth;
        let others = lives.iter().enumerate().filter(|life| !is_of_it(life)).map(|(_, life)| life.clone());
        let cohort = Cohort::learn(&others.collect::<Vec<_>>(), HORIZON)?;
        for (_, life) in lives.iter().enumerate().filter(is_of_it) {
            let mut unit = cohort.unit();
            let first = life.iter().position(|reading| {
                unit.step(&cohort, reading);
                unit.remaining(&cohort).is_some_and(|remaining| remaining.p10 <= WORKSHOP)
            });
            leads.push(first.map(|at| (life.len() - 1 - at) as f64));
        }
    }
    Ok(leads)
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((share * sorted.len().saturating_sub(1) as f64).round() as usize).copied().unwrap_or(0.0)
}

fn ways_to_a_limit(folder: &Path) -> Result<()> {
    let before = cpu();
    let verdicts = batteries::verdicts(folder)?;
    let spent = cpu().saturating_sub(before);
    println!("time to a limit: batteries, each by the others of its cohort, at 50 to 90 % of its life");
    for batteries::Verdict { cohort, reached, censored, error, linear, coverage } in verdicts {
        println!("  {cohort}: {reached} reached it, {censored} did not (censored)");
        row("    mean error, in shares of the life", &format!("{error:.3}"), "", "");
        let asked = if cohort == "XJTU" { "at most 0.50" } else { "at most 1.10" };
        row("    in shares of predict_linear's", &format!("{:.2}", error / linear), asked, "");
        let covered = coverage.map_or("none claimed".to_owned(), |coverage| format!("{coverage:.2}"));
        row("    share within the 80 % band", &covered, "0.72 to 0.88", "");
    }
    row("  seconds of CPU", &format!("{:.1}", spent.as_secs_f64()), "", "");
    Ok(())
}

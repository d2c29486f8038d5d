//! The same bytes to our verifier and to `sigstore-tuf`: both take them or both refuse them, and both hold
//! the same versions afterwards. Where the two differ, `listed.rs` says why; anything else is a failure.

mod listed;
mod mutate;
mod pair;

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use slipway_trust::Date;
use slipway_trust::fake::Fake;

use listed::LISTED;
use mutate::{Input, Kind};
use pair::Pair;

const NOW: Date = Date::from_unix(1_795_305_600);
/// Inputs in all, of all kinds together.
const INPUTS: usize = 100_000;
const SEED: u64 = 2026;
/// Every input is drawn from its own generator: one of them can be looked at alone.
const THREADS: usize = 2;

/// How many inputs led to each outcome; for what is not listed also the input itself.
#[derive(Default)]
struct Count {
    accepted: usize,
    refused: usize,
    listed: BTreeMap<usize, usize>,
    unlisted: Vec<String>,
}

#[test]
fn both_take_and_refuse_the_same() {
    let fake = Fake::new(NOW);
    let start = Pair::start(&fake);
    let counts: Vec<Count> = std::thread::scope(|scope| {
        let share = |thread: usize| (0..INPUTS).filter(move |number| number % THREADS == thread);
        let run = |thread| {
            scope.spawn({
                let (fake, start) = (&fake, &start);
                move || {
                    share(thread).fold(Count::default(), |count, number| judge(count, number, fake, start))
                }
            })
        };
        let running: Vec<_> = (0..THREADS).map(run).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic on any input")).collect()
    });
    let total = |of: fn(&Count) -> usize| counts.iter().map(of).sum::<usize>();
    let (accepted, refused) = (total(|count| count.accepted), total(|count| count.refused));
    println!("seed {SEED}: {INPUTS} inputs, {accepted} taken by both, {refused} refused by both");
    for (index, divergence) in LISTED.iter().enumerate() {
        let hits: usize = counts.iter().filter_map(|count| count.listed.get(&index)).sum();
        println!("{hits:>7} {divergence}");
    }
    let unlisted: Vec<_> = counts.iter().flat_map(|count| &count.unlisted).take(12).collect();
    assert!(unlisted.is_empty(), "divergences without a reason:\n{unlisted:#?}");
    for (index, divergence) in LISTED.iter().enumerate() {
        let hit = counts.iter().any(|count| count.listed.contains_key(&index));
        assert!(hit, "listed and never met: {divergence}");
    }
    assert!(accepted > INPUTS / 20, "{accepted} are too few to say that both take the same");
}

fn judge(mut count: Count, number: usize, fake: &Fake, start: &Pair) -> Count {
    let mut rng = StdRng::seed_from_u64(SEED.wrapping_mul(1 << 32) + number as u64);
    let kind = Kind::ALL[rng.random_range(0..Kind::ALL.len())];
    let input = Input::draw(fake, kind, &mut rng);
    let mut pair = start.clone();
    let (ours, theirs) = pair.feed(&input);
    match (&ours, &theirs) {
        (Ok(()), Ok(())) if pair.agree(kind) => count.accepted += 1,
        (Err(_), Err(_)) if pair.agree(kind) => count.refused += 1,
        _ => match LISTED.iter().position(|divergence| divergence.explains(&input.what, &ours, &theirs)) {
            Some(index) => *count.listed.entry(index).or_default() += 1,
            None => count.unlisted.push(format!(
                "input {number}, {kind:?}, {}: ours {ours:?}, theirs {theirs:?}, versions {:?}: {}",
                input.what,
                pair.versions(),
                String::from_utf8_lossy(&input.bytes),
            )),
        },
    }
    count
}

//! What the device's owner switched off never leaves the device: asserted on what goes over the wire.
//!
//! A real agent talks to a real server through a door that has the server's key, and so sees every byte the agent says before
//! it is passed on. Meanwhile its owner changes his mind, over and over, at any moment.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use slipway_agent::{
    StateDir, clock::Clock, consent::Consent, machine::Reason, readings::Readings, replay::Series,
    telemetry::Telemetry,
};
use slipway_proto::v1::{DataClass, SendTelemetryRequest};
use slipway_tests::{
    clock::{stopwatch, wait_for},
    world::World,
};
use tokio::sync::watch;

use crate::{
    fleet,
    owner::{Call, READINGS},
    victim::Victim,
};

const SEED: u64 = 20_261_122;
/// Changes of mind and readings of an ordinary test run; `SLIPWAY_CONSENT_STEPS=10000` takes a minute.
const STEPS: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(600);
const CLASSES: [DataClass; 4] =
    [DataClass::Essential, DataClass::Diagnostic, DataClass::Usage, DataClass::Location];

/// What the owner of the device wants, what was handed out under it, and what was seen of that.
#[derive(Default)]
struct Truth {
    /// The answer that stands.
    consent: Consent,
    /// The answers when a batch was handed out, by its sequence, and how many of them are accounted for.
    handed_out: BTreeMap<u64, (Vec<Consent>, usize)>,
    /// Whether the class of a reading was on when it was taken, by its value.
    taken: Vec<bool>,
    steps: u64,
    changes: u64,
    seen: BTreeMap<i32, u64>,
    wrong: Vec<String>,
}

/// The agent's own readings, and an owner with a seed who cannot make up his mind.
struct Fickle {
    telemetry: Telemetry,
    state: StateDir,
    series: PathBuf,
    rng: StdRng,
    truth: Arc<Mutex<Truth>>,
    last: u64,
}

impl Fickle {
    fn change_mind(&mut self) {
        let path = self.state.path().join("consent.toml");
        let dice = self.rng.next_u64();
        let consent = match dice % 10 {
            // No answer, or one that cannot be read, allows nothing.
            0 => {
                let _ = fs::remove_file(&path);
                Consent::default()
            }
            1 => {
                fs::write(&path, "diagnostic = perhaps\n").expect("a slip of the pen");
                Consent::default()
            }
            _ => {
                let [diagnostic, usage, location] = [8, 9, 10].map(|bit| dice >> bit & 1 == 1);
                let consent = Consent { diagnostic, usage, location };
                consent.write(&path).expect("an answer");
                consent
            }
        };
        let mut truth = self.truth.lock().expect("the truth");
        truth.consent = consent;
        truth.changes += 1;
    }

    fn take_readings(&mut self, now: i64) {
        let mut rows = "seconds,component,metric,unit,class,value\n".to_owned();
        let before;
        {
            let mut truth = self.truth.lock().expect("the truth");
            before = truth.taken.len();
            for _ in 0..self.rng.random_range(1..=4) {
                let class = CLASSES[self.rng.random_range(0..CLASSES.len())];
                let (name, value) = (word(class), truth.taken.len());
                rows.push_str(&format!("0,part,probe.{name},1,{name},{value}\n"));
                let is_on = truth.consent.allows(class);
                truth.taken.push(is_on);
            }
        }
        fs::write(&self.series, rows).expect("a series");
        let series = Series::read(&self.series).expect("a series");
        if self.telemetry.replay(&series, now).is_err() {
            // The answer cannot be read: nothing was kept of them.
            self.truth.lock().expect("the truth").taken[before..].fill(false);
        }
    }
}

impl Readings for Fickle {
    fn interval(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn sample(&mut self, now: i64, boot_id: &str) -> Result<(), Reason> {
        if self.truth.lock().expect("the truth").steps >= self.last {
            return Ok(());
        }
        if self.rng.random_bool(0.3) {
            self.change_mind();
        }
        self.take_readings(now);
        let own = self.rng.random_bool(0.1).then(|| self.telemetry.sample(now, boot_id));
        // After it was taken, before it is sent, or while it is on its way.
        if self.rng.random_bool(0.3) {
            self.change_mind();
        }
        self.truth.lock().expect("the truth").steps += 1;
        // That the answer cannot be read is told, and is no trouble of the test's.
        let _ = own;
        Ok(())
    }

    fn batch(&mut self) -> Option<SendTelemetryRequest> {
        let batch = self.telemetry.batch()?;
        let mut truth = self.truth.lock().expect("the truth");
        let consent = truth.consent;
        truth.handed_out.entry(batch.sequence).or_default().0.push(consent);
        Some(batch)
    }

    fn acknowledge(&mut self, sequence: u64) {
        self.telemetry.acknowledge(sequence);
    }

    fn consent(&self) -> Vec<DataClass> {
        self.telemetry.consent()
    }
}

fn word(class: DataClass) -> &'static str {
    match class {
        DataClass::Essential => "essential",
        DataClass::Diagnostic => "diagnostic",
        DataClass::Usage => "usage",
        DataClass::Location => "location",
        DataClass::Unspecified => "none",
    }
}

/// Looks at one message on its way, and notes what should not be in it.
fn look(call: &Call, truth: &mut Truth) {
    let holds = |word: &str| call.message.windows(word.len()).any(|bytes| bytes == word.as_bytes());
    if call.path != READINGS {
        if holds("probe.") {
            truth.wrong.push(format!("{} tells of a reading", call.path));
        }
        return;
    }
    let batch: SendTelemetryRequest = call.read();
    // Not even in bytes that are no reading.
    let named = CLASSES.into_iter().filter(|class| holds(&format!("probe.{}", word(*class))));
    let told = batch.readings.iter().map(|reading| reading.data_class());
    let classes: Vec<DataClass> = named.chain(told).collect();
    // It was handed out for this message, and for no message before. The one before may have been given up on its
    // way, and arrive all the same.
    let (answers, accounted) = truth.handed_out.entry(batch.sequence).or_default();
    let fits = |consent: &Consent| classes.iter().all(|class| consent.allows(*class));
    match answers.iter().skip(*accounted).position(fits) {
        Some(at) => *accounted += at + 1,
        None => {
            let rest = &answers[(*accounted).min(answers.len())..];
            let text = format!("batch {} tells of {classes:?} under {rest:?}", batch.sequence);
            truth.wrong.push(text);
        }
    }
    for reading in &batch.readings {
        let was_on = !reading.metric.starts_with("probe.")
            || truth.taken.get(reading.value as usize).copied().unwrap_or(false);
        if !was_on {
            truth.wrong.push(format!("batch {}: {reading:?} was off when it was taken", batch.sequence));
        }
        *truth.seen.entry(reading.data_class).or_default() += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_switched_off_never_leaves_the_device() {
    let last = std::env::var("SLIPWAY_CONSENT_STEPS").map_or(STEPS, |steps| steps.parse().expect("a number"));
    let world = World::start_with(|config| config.check_in_interval = 1).await;
    world.init_trust();
    let claim = fleet::claim(&world, "truth", 1);
    let victim = Victim::enrolled(&world, &claim, "pump-1").await;
    let truth = Arc::new(Mutex::new(Truth::default()));
    let seen = truth.clone();
    victim.tell(Some(Arc::new(move |call| {
        look(call, &mut seen.lock().expect("the truth"));
        // The server's own answer.
        None
    })));

    let now = world.clock.now().millis();
    let root = PathBuf::from(world.path("sysroot"));
    fs::create_dir_all(root.join("proc")).expect("a folder");
    fs::write(root.join("proc/loadavg"), "0.5 0.6 0.7 1/2 3\n").expect("a file");
    fs::write(root.join("proc/uptime"), "10.0 20.0\n").expect("a file");
    let (telemetry, _) =
        Telemetry::open(&victim.state, &root, Duration::from_secs(1), now).expect("telemetry");
    let fickle = Fickle {
        telemetry,
        state: victim.state.clone(),
        series: PathBuf::from(world.path("series.csv")),
        rng: StdRng::seed_from_u64(SEED),
        truth: truth.clone(),
        last,
    };
    let (stop, stopped) = watch::channel(false);
    let (state, clock) = (victim.state.clone(), world.clock.clone());
    let agent = tokio::spawn(async move {
        let clock = Clock::from_source(Arc::new(move || clock.now().millis()));
        slipway_agent::run(&state, clock, StdRng::seed_from_u64(SEED), Some(Box::new(fickle)), stopped).await
    });
    let start = stopwatch();
    wait_for("every step", PATIENCE, async || {
        let truth = truth.lock().expect("the truth");
        (truth.steps >= last || !truth.wrong.is_empty()).then_some(())
    })
    .await;
    let took = start.elapsed();
    stop.send_replace(true);
    agent.await.expect("no panic").expect("an orderly end");

    judge(&truth.lock().expect("the truth"), took);
    world.stop().await;
}

/// Nothing was seen that was off, and both sides of it were tried.
fn judge(truth: &Truth, took: Duration) {
    assert!(truth.wrong.is_empty(), "seed {SEED}, step {}:\n{}", truth.steps, truth.wrong.join("\n"));
    let withheld = truth.taken.iter().filter(|is_on| !**is_on).count();
    println!(
        "{} steps, {} changes of mind, {} readings, {withheld} of them withheld when taken, {:?} seen by class, {took:?}",
        truth.steps,
        truth.changes,
        truth.taken.len(),
        truth.seen,
    );
    assert!(withheld > 0 && CLASSES.iter().all(|class| truth.seen.contains_key(&i32::from(*class))));
}

//! `slipway rollout watch`: a rollout until its end, live on a terminal, line by line in a pipe.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use slipway_proto::v1::{self, RolloutState};
use tonic::Status;

use crate::{
    commands::{
        device::{device_of, reason_words, update_state},
        rollout::{state, wave_state},
    },
    connect::Api,
    error::Failure,
    human, json, names,
    output::{Console, Format},
    retry::{Backoff, Stop},
};

/// About a quarter of an hour: longer than a server takes to be upgraded, and not for ever.
const ATTEMPTS: u32 = 60;

/// Follows a rollout until it ends, or until it is paused if that is asked for.
///
/// # Errors
/// [`Failure::BadOutcome`] when it ended without success; else why it could not be followed.
pub async fn run(name: &str, exit_on_pause: bool, api: &Api, console: &Console) -> Result<(), Failure> {
    let mut follower = Follower::default();
    let mut view = View::new(console);
    let mut backoff = Backoff::default();
    let rollout = loop {
        let stop =
            match follow(name, exit_on_pause, api, console, &mut follower, &mut view, &mut backoff).await {
                Ok(rollout) => break rollout,
                Err(stop) => stop,
            };
        backoff.pause_stream(stop, ATTEMPTS, console).await?;
    };
    view.end();
    match rollout.state() {
        RolloutState::Succeeded => Ok(()),
        _ => {
            let why = if rollout.state_reason.is_empty() { "" } else { ": " };
            console.say(&format!(
                "rollout {} is {}{why}{}",
                names::short(&rollout.name),
                state(&rollout),
                rollout.state_reason
            ));
            Err(Failure::BadOutcome)
        }
    }
}

/// One stream, until the rollout ends or the stream breaks.
async fn follow(
    name: &str,
    exit_on_pause: bool,
    api: &Api,
    console: &Console,
    follower: &mut Follower,
    view: &mut View,
    backoff: &mut Backoff,
) -> Result<v1::Rollout, Stop> {
    let request = v1::WatchRolloutRequest { name: name.to_owned() };
    let mut stream = api.rollouts().watch_rollout(request).await?.into_inner();
    while let Some(change) = stream.message().await? {
        backoff.reset();
        let lines = follower.lines(&change, console.clock.now());
        match console.format {
            Format::Json => console.json_line(&json::message("WatchRolloutResponse", &change)?)?,
            Format::Table => view.show(&change, lines, console)?,
        }
        let Some(rollout) = change.rollout else { continue };
        if is_over(rollout.state(), exit_on_pause) {
            return Ok(rollout);
        }
    }
    Err(Status::unavailable("the server ended the stream").into())
}

fn is_over(state: RolloutState, exit_on_pause: bool) -> bool {
    match state {
        RolloutState::Succeeded | RolloutState::Failed | RolloutState::Aborted | RolloutState::RolledBack => {
            true
        }
        RolloutState::Paused => exit_on_pause,
        RolloutState::Running | RolloutState::RollingBack | RolloutState::Unspecified => false,
    }
}

/// Turns snapshots into lines, one for each thing that is not as it was told last.
#[derive(Default)]
struct Follower {
    told: HashMap<String, String>,
    /// The time of the line that was told last, as seconds and nanoseconds.
    latest: (i64, i32),
}

impl Follower {
    fn lines(&mut self, change: &v1::WatchRolloutResponse, now: i64) -> Vec<String> {
        let mut lines = Vec::new();
        let mut updates: Vec<_> = change.updates.iter().collect();
        updates.sort_by_key(|update| update.update_time.map(|time| (time.seconds, time.nanos)));
        for update in updates {
            let mut words = update_state(update.state());
            if let Some(reason) = &update.reason {
                words.push_str(&format!(", {}", reason_words(reason)));
            }
            let subject = format!("{} {}", device_of(update), names::short(&update.release));
            self.tell(&mut lines, subject, words, update.update_time.as_ref(), now);
        }
        if let Some(rollout) = &change.rollout {
            let time = rollout.update_time.as_ref();
            for (wave, number) in rollout.waves.iter().zip(1..) {
                let subject = format!("wave {number} ({}%)", human::number(wave.percent));
                self.tell(&mut lines, subject, wave_words(wave), time, now);
            }
            let mut words = state(rollout);
            if !rollout.state_reason.is_empty() {
                words.push_str(&format!(", {}", rollout.state_reason));
            }
            self.tell(&mut lines, format!("rollout {}", names::short(&rollout.name)), words, time, now);
        }
        lines
    }

    fn tell(
        &mut self,
        lines: &mut Vec<String>,
        subject: String,
        words: String,
        time: Option<&prost_types::Timestamp>,
        now: i64,
    ) {
        if self.told.get(&subject) != Some(&words) {
            // The column never goes back: what is told late carries the time of the line before it.
            let time = time.copied().unwrap_or_else(|| human::timestamp(now));
            self.latest = self.latest.max((time.seconds, time.nanos));
            let time = human::absolute(&prost_types::Timestamp { seconds: self.latest.0, nanos: 0 });
            lines.push(format!("{time}  {subject}: {words}"));
            self.told.insert(subject, words);
        }
    }
}

fn wave_words(wave: &v1::Wave) -> String {
    format!(
        "{}, {} in flight, {} ok, {} failed of {}",
        wave_state(wave),
        wave.in_flight,
        wave.succeeded,
        wave.failed,
        human::counted(u64::from(wave.devices.max(wave.admitted)), "device")
    )
}

/// Bars on a terminal that is drawn again; lines everywhere else.
struct View {
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
}

impl View {
    fn new(console: &Console) -> Self {
        let target = || MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { bars: console.live.then(|| (target(), Vec::new())) }
    }

    fn show(
        &mut self,
        change: &v1::WatchRolloutResponse,
        lines: Vec<String>,
        console: &Console,
    ) -> Result<(), Failure> {
        let Some((multi, bars)) = &mut self.bars else {
            return lines.iter().try_for_each(|line| console.print(line));
        };
        // What the bars show is not repeated as lines above them.
        for line in lines.iter().filter(|line| !line.contains("  wave ")) {
            multi.suspend(|| console.print(line))?;
        }
        let waves = change.rollout.iter().flat_map(|rollout| &rollout.waves);
        for (i, wave) in waves.enumerate() {
            if bars.len() == i {
                bars.push(multi.add(bar(i + 1)));
            }
            bars[i].set_length(u64::from(wave.devices.max(wave.admitted)));
            bars[i].set_position(u64::from(wave.succeeded + wave.failed));
            bars[i].set_message(wave_words(wave));
        }
        Ok(())
    }

    /// Leaves the last state of the bars on the screen.
    fn end(&mut self) {
        for bar in self.bars.iter().flat_map(|(_, bars)| bars) {
            bar.abandon();
        }
    }
}

fn bar(number: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:24}] {msg}");
    let bar = ProgressBar::new(0).with_prefix(format!("wave {number}"));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_356_185_000;

    fn change(state: RolloutState, in_flight: u32, succeeded: u32) -> v1::WatchRolloutResponse {
        let wave = v1::Wave {
            percent: 100.0,
            state: v1::WaveState::Open.into(),
            devices: 2,
            in_flight,
            succeeded,
            ..v1::Wave::default()
        };
        let rollout = v1::Rollout {
            name: "rollouts/r1".into(),
            state: state.into(),
            waves: vec![wave],
            update_time: Some(human::timestamp(NOW)),
            ..v1::Rollout::default()
        };
        v1::WatchRolloutResponse { rollout: Some(rollout), updates: vec![] }
    }

    #[test]
    fn only_what_changed_becomes_a_line() {
        let mut follower = Follower::default();
        assert_eq!(
            follower.lines(&change(RolloutState::Running, 0, 0), NOW),
            [
                "2026-11-22 14:03:05Z  wave 1 (100%): open, 0 in flight, 0 ok, 0 failed of 2 devices",
                "2026-11-22 14:03:05Z  rollout r1: running",
            ]
        );
        assert!(follower.lines(&change(RolloutState::Running, 0, 0), NOW).is_empty());
        let mut failed = change(RolloutState::Running, 1, 0);
        let downloading = v1::Update {
            name: "devices/pump-02/updates/u".into(),
            release: "releases/pump/2.1.0".into(),
            state: v1::UpdateState::Downloading.into(),
            update_time: Some(human::timestamp(NOW + 2_000)),
            ..v1::Update::default()
        };
        failed.updates.push(downloading);
        failed.updates.push(v1::Update {
            name: "devices/pump-01/updates/u".into(),
            release: "releases/pump/2.1.0".into(),
            state: v1::UpdateState::RolledBack.into(),
            reason: Some(v1::Reason { code: "HEALTH_CHECK_FAILED".into(), detail: "exit code 1".into() }),
            update_time: Some(human::timestamp(NOW - 1_000)),
            ..v1::Update::default()
        });
        assert_eq!(
            follower.lines(&failed, NOW),
            [
                // It happened at :04, and is told after something of :05.
                "2026-11-22 14:03:05Z  pump-01 pump/2.1.0: rolled back, HEALTH_CHECK_FAILED: exit code 1",
                "2026-11-22 14:03:07Z  pump-02 pump/2.1.0: downloading",
                "2026-11-22 14:03:07Z  wave 1 (100%): open, 1 in flight, 0 ok, 0 failed of 2 devices",
            ]
        );
    }

    #[test]
    fn a_pause_ends_the_watch_only_when_asked() {
        assert!(!is_over(RolloutState::Paused, false));
        assert!(is_over(RolloutState::Paused, true));
        assert!(is_over(RolloutState::RolledBack, false));
        assert!(!is_over(RolloutState::RollingBack, true));
    }
}

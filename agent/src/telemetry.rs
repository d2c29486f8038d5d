//! Readings from the machine to the link: collected, allowed by the owner, kept, handed out.
//!
//! Nothing here talks to the server, and nothing leaves that the owner does not allow: the answer is
//! read anew each time, applied before a reading is kept and again before it is handed out.

use std::{path::Path, time::Duration};

use slipway_proto::v1::{DataClass, Reading, SendTelemetryRequest};

use crate::{
    clock::Clock,
    collect::{
        BootError, Boots, Collector, Quiet, SYSTEM, Sink, Sysroot,
        dictionary::{AGENT_WRITTEN, CLOCK_OFFSET, METRICS_REFUSED, SPOOL_DROPPED, SPOOL_WAITING},
    },
    config::StateDir,
    consent::{Consent, ConsentError},
    durable,
    link::chain,
    machine::Reason,
    readings::Readings,
    replay::Series,
    rng,
    socket::{Intake, Settings},
    spool::{Limits, Recovered, Spool, SpoolError},
};

/// What is kept is made durable at least this often, in milliseconds. A power cut costs one minute of
/// readings, and the flash is spared a write for each.
const SYNC: i64 = 60_000;

/// Readings cannot be taken or kept.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// See [`SpoolError`].
    #[error("readings are not kept")]
    Spool(#[from] SpoolError),
    /// See [`BootError`].
    #[error("boots are not counted")]
    Boots(#[from] BootError),
    /// See [`ConsentError`].
    #[error("only essential data leaves the device")]
    Consent(#[from] ConsentError),
}

impl TelemetryError {
    /// The stable reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Spool(error) => error.code(),
            Self::Boots(_) => "STATE_IO_FAILED",
            Self::Consent(_) => "CONSENT_INVALID",
        }
    }

    fn reason(&self) -> Reason {
        Reason::new(self.code(), chain(self))
    }
}

/// The telemetry of one device.
#[derive(Debug)]
pub struct Telemetry {
    state: StateDir,
    interval: Duration,
    collector: Collector,
    quiet: Quiet,
    boots: Boots,
    clock: Option<Clock>,
    /// The boot, and when in it the agent started: what counts from then on counts within this.
    run_id: String,
    /// What programs of the device tell.
    intake: Option<Intake>,
    spool: Spool,
    consent: Consent,
    synced: i64,
}

impl Telemetry {
    /// Reads the machine below `sysroot` (`/` but in tests) and keeps readings in the state folder;
    /// `now` in milliseconds.
    ///
    /// # Errors
    /// When the spool or the count of boots cannot be opened. A wrong `consent.toml` is no error
    /// here: it allows nothing, and the first sample says so.
    pub fn open(
        state: &StateDir,
        sysroot: &Path,
        interval: Duration,
        now: i64,
    ) -> Result<(Self, Recovered), TelemetryError> {
        let seed = u64::try_from(now / 1000).unwrap_or(0);
        let (spool, recovered) =
            Spool::open(&state.path().join("spool"), Limits::default(), seed, rng::from_kernel)?;
        let collector = Collector::new(Sysroot::new(sysroot));
        let telemetry = Self {
            state: state.clone(),
            interval,
            run_id: format!("{}.{now:x}", collector.boot_id()),
            collector,
            quiet: Quiet::default(),
            clock: None,
            intake: None,
            boots: Boots::open(state.path().join("boots"))?,
            spool,
            consent: Consent::read(&consent_path(state)).unwrap_or_default(),
            synced: now,
        };
        Ok((telemetry, recovered))
    }

    /// Tells how wrong this clock is, as far as the server lets it know.
    #[must_use]
    pub fn with_clock(self, clock: &Clock) -> Self {
        Self { clock: Some(clock.clone()), ..self }
    }

    /// Listens to the programs of the device from now on, where `settings` say so.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn with_sockets(self, settings: &Settings) -> Self {
        let intake = Intake::open(settings, &self.run_id);
        Self { intake, ..self }
    }

    /// Adds a recorded series, its last row at `now`; says how many readings the owner allowed.
    ///
    /// # Errors
    /// When they cannot be kept.
    pub fn replay(&mut self, series: &Series, now: i64) -> Result<usize, TelemetryError> {
        self.read_consent()?;
        let readings = series.readings(now);
        let kept = self.keep(readings, now)?;
        self.spool.sync()?;
        Ok(kept)
    }

    fn try_sample(&mut self, now: i64, boot_id: &str) -> Result<(), TelemetryError> {
        // Whatever goes wrong, the essential readings are kept; the first trouble is what is told.
        let consent = self.read_consent();
        let kernel = self.collector.boot_id();
        let mut sink = Sink::new(now, &kernel).in_run(&self.run_id);
        let boots = self.boots.read(boot_id, &kernel, &mut sink);
        self.collector.read(&mut sink);
        self.read_self(&mut sink);
        let told = self.read_programs(&mut sink);
        let mut readings = sink.into_readings();
        // What is the machine's own no program can say.
        let own = readings.len();
        for told in told {
            let is_own = |own: &Reading| own.metric == told.metric && own.component == told.component;
            if !readings[..own].iter().any(is_own) {
                readings.push(told);
            }
        }
        self.consent.filter(&mut readings);
        self.quiet.filter(&mut readings, now);
        self.keep(readings, now)?;
        boots?;
        consent
    }

    /// What programs told since.
    fn read_programs(&self, sink: &mut Sink) -> Vec<Reading> {
        let Some(intake) = &self.intake else { return Vec::new() };
        let (readings, refused) = intake.drain(sink.now());
        sink.take(SYSTEM, METRICS_REFUSED, refused as f64);
        readings
    }

    /// What the agent knows of itself.
    fn read_self(&self, sink: &mut Sink) {
        sink.take(SYSTEM, AGENT_WRITTEN, durable::written() as f64);
        sink.take(SYSTEM, SPOOL_WAITING, self.spool.waiting() as f64);
        sink.take(SYSTEM, SPOOL_DROPPED, self.spool.dropped() as f64);
        let offset = self.clock.as_ref().and_then(Clock::offset);
        sink.take_some(SYSTEM, CLOCK_OFFSET, offset.map(|millis| millis as f64 / 1000.0));
    }

    fn keep(&mut self, mut readings: Vec<Reading>, now: i64) -> Result<usize, TelemetryError> {
        self.consent.filter(&mut readings);
        let count = readings.len();
        self.spool.append(readings)?;
        // The clock may have gone back: then it is time too.
        if !(0..SYNC).contains(&(now - self.synced)) {
            self.spool.sync()?;
            self.synced = now;
        }
        Ok(count)
    }

    fn read_consent(&mut self) -> Result<(), TelemetryError> {
        let read = Consent::read(&consent_path(&self.state));
        self.consent = read.as_ref().copied().unwrap_or_default();
        read.map(drop).map_err(Into::into)
    }

    /// What the owner took back since a reading was kept is taken out; a batch of which nothing is
    /// left is passed over.
    fn try_batch(&mut self) -> Result<Option<SendTelemetryRequest>, TelemetryError> {
        let _ = self.read_consent();
        while let Some(mut batch) = self.spool.batch()? {
            self.consent.filter(&mut batch.readings);
            if !batch.readings.is_empty() {
                return Ok(Some(batch));
            }
            self.spool.acknowledge(batch.sequence)?;
        }
        Ok(None)
    }
}

impl Readings for Telemetry {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn sample(&mut self, now: i64, boot_id: &str) -> Result<(), Reason> {
        self.try_sample(now, boot_id).map_err(|error| error.reason())?;
        self.intake.as_ref().and_then(Intake::trouble).map_or(Ok(()), Err)
    }

    fn batch(&mut self) -> Option<SendTelemetryRequest> {
        // A disk that fails is told with the next sample; there is nothing to send until it recovers.
        self.try_batch().unwrap_or_default()
    }

    fn acknowledge(&mut self, sequence: u64) {
        // If this is not written down, the batch is sent again after a restart, and dropped there.
        let _ = self.spool.acknowledge(sequence);
    }

    fn consent(&self) -> Vec<DataClass> {
        self.consent.classes()
    }

    fn stop(&mut self) {
        // If neither can be written down, the next start counts a power cut, which is nearly what it was.
        let _ = self.boots.stop();
        let _ = self.spool.sync();
        self.intake = None;
    }
}

/// The owner's answer in a state folder.
pub fn consent_path(state: &StateDir) -> std::path::PathBuf {
    state.path().join("consent.toml")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: i64 = 1_795_305_600_000;
    const MINUTE: Duration = Duration::from_secs(60);

    struct Machine {
        _folder: tempfile::TempDir,
        state: StateDir,
        root: std::path::PathBuf,
    }

    fn machine() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(&folder.path().join("state"));
        fs::create_dir_all(state.path()).unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("proc")).unwrap();
        fs::write(root.join("proc/loadavg"), "0.5 0.6 0.7 1/2 3\n").unwrap();
        fs::write(root.join("proc/uptime"), "10.0 20.0\n").unwrap();
        Machine { _folder: folder, state, root }
    }

    fn open(machine: &Machine, now: i64) -> Telemetry {
        Telemetry::open(&machine.state, &machine.root, MINUTE, now).unwrap().0
    }

    fn metrics(batch: Option<SendTelemetryRequest>) -> Vec<String> {
        batch.unwrap_or_default().readings.into_iter().map(|reading| reading.metric).collect()
    }

    fn allow(machine: &Machine, diagnostic: bool) {
        Consent { diagnostic, ..Consent::default() }.write(&consent_path(&machine.state)).unwrap();
    }

    #[test]
    fn nothing_but_essential_data_without_the_owners_word() {
        let machine = machine();
        let mut telemetry = open(&machine, NOW);
        telemetry.sample(NOW, "boot-1").unwrap();
        assert_eq!(metrics(telemetry.batch()), ["slipway.boots", "system.uptime"]);
        assert_eq!(telemetry.consent(), [DataClass::Essential]);
    }

    #[test]
    fn what_the_owner_allows_is_sent_and_what_he_takes_back_is_not() {
        let machine = machine();
        allow(&machine, true);
        let mut telemetry = open(&machine, NOW);
        telemetry.sample(NOW, "boot-1").unwrap();
        let sent = telemetry.batch().unwrap();
        assert_eq!(sent.readings.len(), 8);
        allow(&machine, false);
        let again = telemetry.batch().unwrap();
        assert_eq!(
            (again.sequence, metrics(Some(again))),
            (sent.sequence, metrics(open(&machine, NOW).batch()))
        );
        assert_eq!(telemetry.consent(), [DataClass::Essential]);
        telemetry.acknowledge(sent.sequence);
        assert_eq!(telemetry.batch(), None);
    }

    #[test]
    fn a_batch_of_which_nothing_may_leave_is_passed_over() {
        let machine = machine();
        fs::remove_file(machine.root.join("proc/uptime")).unwrap();
        allow(&machine, true);
        let mut telemetry = open(&machine, NOW);
        telemetry.sample(NOW, "").unwrap();
        allow(&machine, false);
        assert_eq!(telemetry.batch(), None);
        allow(&machine, true);
        assert_eq!(telemetry.batch(), None, "taken back is taken back");
    }

    #[test]
    fn a_wrong_answer_allows_nothing_and_is_told() {
        let machine = machine();
        fs::write(consent_path(&machine.state), "diagnostic = maybe\n").unwrap();
        let mut telemetry = open(&machine, NOW);
        let told = telemetry.sample(NOW, "boot-1").unwrap_err();
        assert_eq!(told.code, "CONSENT_INVALID");
        assert!(told.detail.contains("consent.toml"), "{}", told.detail);
        assert_eq!(metrics(telemetry.batch()), ["slipway.boots", "system.uptime"]);
    }

    #[test]
    fn a_recorded_series_is_added_as_far_as_the_owner_allows() {
        let machine = machine();
        allow(&machine, true);
        let path = machine.root.join("series.csv");
        let rows: String = (0..2500).map(|n| format!("{n},filter,pressure,Pa,diagnostic,{n}\n")).collect();
        let text = format!("seconds,component,metric,unit,class,value\n{rows}2500,x,place,deg,location,1\n");
        fs::write(&path, text).unwrap();
        let series = Series::read(&path).unwrap();
        let mut telemetry = open(&machine, NOW);
        assert_eq!(telemetry.replay(&series, NOW).unwrap(), 2500);
        let mut sizes = Vec::new();
        let mut last = NOW / 1000;
        while let Some(batch) = telemetry.batch() {
            assert!(batch.readings.iter().all(|reading| reading.component == "filter"));
            assert_eq!(batch.sequence, last as u64 + 1);
            last += 1;
            sizes.push(batch.readings.len());
            telemetry.acknowledge(batch.sequence);
        }
        assert_eq!(sizes, [1000, 1000, 500]);
    }

    #[test]
    fn a_restart_goes_on_where_it_was() {
        let machine = machine();
        let mut telemetry = open(&machine, NOW);
        telemetry.sample(NOW, "boot-1").unwrap();
        let batch = telemetry.batch().unwrap();
        drop(telemetry);
        let mut telemetry = open(&machine, NOW + 5_000);
        assert_eq!(telemetry.batch(), Some(batch.clone()));
        telemetry.acknowledge(batch.sequence);
        telemetry.sample(NOW + 60_000, "boot-2").unwrap();
        let next = telemetry.batch().unwrap();
        assert_eq!(next.sequence, batch.sequence + 1);
        assert_eq!(next.readings[0].value, 2.0, "the second boot");
    }
}

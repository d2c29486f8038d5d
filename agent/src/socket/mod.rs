//! The owner's own metrics: programs of the device tell them by StatsD or by OTLP over HTTP, on Unix sockets or on
//! the loopback interface.
//!
//! Whoever may write to such a socket is some program of this machine and not to be trusted. So everything has a
//! bound (`table`, `statsd`, `http`): what it holds, what it reads, how fast. What was told lies in one table
//! until the next readings are taken, and goes the way of all readings then, through the owner's consent.

mod http;
#[cfg(test)]
mod http_tests;
mod listen;
pub mod otlp;
mod settings;
pub mod statsd;
pub mod table;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use settings::Settings;
use slipway_proto::v1::Reading;
use table::Table;
use tokio::task::JoinHandle;

use crate::{durable, machine::Reason};

/// Clones share the table.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<Table>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sockets that are open.
#[derive(Debug)]
pub struct Intake {
    table: Shared,
    tasks: Vec<JoinHandle<()>>,
    files: Vec<PathBuf>,
    /// The first that could not be opened.
    trouble: Option<Reason>,
}

impl Intake {
    /// Opens what `settings` name; none when they name nothing. One that cannot be opened does not keep the
    /// others from it. `run_id` is for what is counted from the start of the agent.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(settings: &Settings, run_id: &str) -> Option<Self> {
        if settings.is_off() {
            return None;
        }
        let table = Shared(Arc::new(Mutex::new(Table::new(settings, run_id))));
        let mut intake = Self { table, tasks: Vec::new(), files: Vec::new(), trouble: None };
        for (protocol, addresses) in [(Protocol::StatsD, &settings.statsd), (Protocol::Otlp, &settings.otlp)]
        {
            for address in addresses {
                match listen::open(protocol, address, &intake.table) {
                    Ok(task) => intake.tasks.push(task),
                    Err(error) => {
                        let detail = format!("cannot listen on {address}: {error}");
                        intake.trouble.get_or_insert(Reason::new("METRICS_SOCKET_UNUSABLE", detail));
                        continue;
                    }
                }
                if address.starts_with('/') {
                    intake.files.push(PathBuf::from(address));
                }
            }
        }
        Some(intake)
    }

    /// What was told since, as of `now` in milliseconds, and how much was refused so far.
    pub fn drain(&self, now: i64) -> (Vec<Reading>, u64) {
        let mut table = self.table.lock();
        (table.drain(now), table.refused())
    }

    /// What is wrong: with a socket, or with what was told since this was asked last.
    pub fn trouble(&self) -> Option<Reason> {
        let complaint = self.table.lock().complaint();
        self.trouble.clone().or_else(|| complaint.map(|detail| Reason::new("METRIC_REFUSED", detail)))
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        for file in &self.files {
            // Left behind, it is replaced at the next start.
            let _ = durable::remove(file);
        }
    }
}

/// How programs talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Datagrams.
    StatsD,
    /// HTTP/1.1.
    Otlp,
}

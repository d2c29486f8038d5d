//! Does the new version work? Asked during its trial.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    time::timeout,
};

use crate::{config::StateDir, machine::Reason};

/// So much of what a failing command said goes into the report.
const SAID: usize = 400;

/// What is on trial.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Run with `sh -c`; empty means that the agent's own start is check enough.
    pub command: String,
    /// How long it may take.
    pub deadline: Duration,
    /// Content of the slot that runs.
    pub slot: std::path::PathBuf,
    /// Version on trial.
    pub version: String,
    /// Component on trial.
    pub component: String,
}

/// Runs the checks: the agent runs (or this would not), its storage can be written, and the health
/// command says so.
///
/// # Errors
/// The first check that failed.
pub async fn check(state: &StateDir, trial: &Trial) -> Result<(), Reason> {
    storage_writable(&state.path().join("writable")).map_err(|error| {
        Reason::new("STATE_NOT_WRITABLE", format!("cannot write to {}: {error}", state.path().display()))
    })?;
    if trial.command.is_empty() {
        return Ok(());
    }
    run(trial).await
}

fn storage_writable(probe: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(probe)?;
    file.write_all(b"can be written\n")?;
    file.sync_all()?;
    std::fs::remove_file(probe)
}

async fn run(trial: &Trial) -> Result<(), Reason> {
    let cannot = |error: io::Error| {
        Reason::new("HEALTH_COMMAND_UNUSABLE", format!("cannot run the health command: {error}"))
    };
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(&trial.command)
        .env("SLIPWAY_SLOT", &trial.slot)
        .env("SLIPWAY_VERSION", &trial.version)
        .env("SLIPWAY_COMPONENT", &trial.component)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let said = Arc::new(Mutex::new(Vec::new()));
    let listener = child.stderr.take().map(|stderr| tokio::spawn(listen(stderr, said.clone())));
    let ended = timeout(trial.deadline, child.wait()).await;
    // Whatever it started goes with it, also when it ended well: a trial leaves nothing behind.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    if let Some(listener) = listener {
        // The rest of what it said is in the pipe already; a process that kept the pipe is gone.
        let _ = timeout(Duration::from_secs(1), listener).await;
    }
    let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let detail = |what: String| if said.is_empty() { what } else { format!("{what}: {said}") };
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let what = match (status.code(), status.signal()) {
                (Some(code), _) => format!("the health command ended with exit code {code}"),
                (None, signal) => {
                    format!("the health command was ended by signal {}", signal.unwrap_or_default())
                }
            };
            Err(Reason::new("HEALTH_CHECK_FAILED", detail(what)))
        }
        Ok(Err(error)) => Err(cannot(error)),
        Err(_) => Err(Reason::new(
            "HEALTH_CHECK_TIMED_OUT",
            detail(format!("the health command took more than {} s", trial.deadline.as_secs())),
        )),
    }
}

/// Keeps the last bytes that are said and never blocks who says them.
async fn listen(mut from: impl AsyncRead + Unpin, said: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 256];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&buffer[..count]);
        let surplus = said.len().saturating_sub(SAID);
        said.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn outcome(command: &str, deadline: Duration) -> Result<(), Reason> {
        let folder = tempfile::tempdir().unwrap();
        let trial = Trial {
            command: command.to_owned(),
            deadline,
            slot: folder.path().join("slot-b.img"),
            version: "2.0.0".to_owned(),
            component: "system".to_owned(),
        };
        check(&StateDir::new(folder.path()), &trial).await
    }

    #[tokio::test]
    async fn exit_code_zero_is_healthy_and_the_command_knows_what_it_judges() {
        let minute = Duration::from_secs(60);
        outcome("", minute).await.unwrap();
        let command = "test \"$SLIPWAY_VERSION\" = 2.0.0 && test \"$SLIPWAY_COMPONENT\" = system && \
                       test \"$(basename \"$SLIPWAY_SLOT\")\" = slot-b.img";
        outcome(command, minute).await.unwrap();
    }

    #[tokio::test]
    async fn a_failure_is_reported_with_what_was_said() {
        let reason = outcome("echo pump is dry >&2; exit 3", Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(reason.code, "HEALTH_CHECK_FAILED");
        assert!(reason.detail.contains("exit code 3: pump is dry"), "{}", reason.detail);
        let loud = "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1";
        let reason = outcome(loud, Duration::from_secs(60)).await.unwrap_err();
        assert!(reason.detail.len() < SAID + 100);
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended() {
        let reason = outcome("sleep 600 & wait", Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(reason.code, "HEALTH_CHECK_TIMED_OUT");
    }

    #[tokio::test]
    async fn storage_that_cannot_be_written_is_not_healthy() {
        let trial = Trial {
            command: String::new(),
            deadline: Duration::from_secs(1),
            slot: std::path::PathBuf::new(),
            version: String::new(),
            component: String::new(),
        };
        let nowhere = StateDir::new(Path::new("/proc/no-such-folder"));
        assert_eq!(check(&nowhere, &trial).await.unwrap_err().code, "STATE_NOT_WRITABLE");
    }
}

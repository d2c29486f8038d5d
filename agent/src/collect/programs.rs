//! What only other programs can say: `smartctl` of disks, `systemctl` of units that failed.
//!
//! The kernel gives out neither as files: SMART needs an ioctl, which this agent, written without `unsafe`, does
//! not do, and failed units need a talk with systemd. So where the two programs are installed they are asked, in
//! the background, seldom, each with a deadline and a limit to what it may say. Without them there are no series.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

use super::{SYSTEM, Sink, Sysroot, dictionary::FAILED_UNITS, smart};

/// Wear and failures do not happen within minutes; in milliseconds.
const PAUSE: i64 = 600_000;
/// A disk that does not answer its own diagnosis within this is not waited for.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest answers, of disks with long error logs, are some 60 kB.
const LIMIT: u64 = 256 << 10;
/// Nobody's device has more; a storage server has another agent.
const DISKS: usize = 64;
const PLACES: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// Asks, and remembers what was answered until it is told.
#[derive(Debug)]
pub(super) struct Programs {
    root: Sysroot,
    asked: Option<i64>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

#[derive(Debug)]
enum Answer {
    Disk(String, Vec<u8>),
    FailedUnits(usize),
}

impl Programs {
    pub fn new(root: &Sysroot) -> Self {
        Self { root: root.clone(), asked: None, answers: Arc::default() }
    }

    /// Tells what was answered since, and asks again when it is time. Outside of a runtime nobody is asked.
    pub fn read(&mut self, sink: &mut Sink) {
        let answers = std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        for answer in answers {
            match answer {
                Answer::Disk(disk, text) => smart::read(&disk, &text, sink),
                Answer::FailedUnits(count) => sink.take(SYSTEM, FAILED_UNITS, count as f64),
            }
        }
        let due = self.asked.is_none_or(|asked| !(0..PAUSE).contains(&(sink.now() - asked)));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // While somebody else holds the answers, those of before are still being gathered.
        if due && Arc::strong_count(&self.answers) == 1 {
            self.asked = Some(sink.now());
            runtime.spawn(ask(self.root.clone(), self.answers.clone()));
        }
    }
}

async fn ask(root: Sysroot, answers: Arc<Mutex<Vec<Answer>>>) {
    let keep = |answer| answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
    // The folder is there where systemd started the machine: sd_booted(3).
    if root.exists("run/systemd/system")
        && let Some(program) = find(&root, "systemctl")
    {
        let arguments = ["list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"];
        if let Some(said) = output(&program, &arguments).await {
            keep(Answer::FailedUnits(String::from_utf8_lossy(&said).lines().count()));
        }
    }
    let Some(program) = find(&root, "smartctl") else { return };
    for disk in root.names("sys/block").into_iter().filter(|name| has_smart(name)).take(DISKS) {
        let device = format!("/dev/{disk}");
        // A disk that sleeps is not woken.
        if let Some(said) = output(&program, &["--json=c", "--nocheck=standby", "--all", &device]).await {
            keep(Answer::Disk(disk, said));
        }
    }
}

fn has_smart(disk: &str) -> bool {
    disk.starts_with("sd") || disk.starts_with("nvme")
}

fn find(root: &Sysroot, name: &str) -> Option<PathBuf> {
    PLACES.iter().map(|place| root.path(&format!("{place}/{name}"))).find(|path| path.is_file())
}

/// What a program says on stdout; its exit code is its opinion of the disk, not of the answer.
async fn output(program: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut said = Vec::new();
    let mut stdout = child.stdout.take()?.take(LIMIT);
    let ended = timeout(DEADLINE, async {
        stdout.read_to_end(&mut said).await?;
        child.wait().await
    });
    ended.await.ok()?.ok()?;
    Some(said)
}

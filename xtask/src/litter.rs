//! What a command leaves behind must be gone when it ends, however it ends: every child process and temporary directory
//! is on one list, which is worked off at the end of its scope, on a panic, and on Ctrl-C.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::clock::Stopwatch;

/// How long a child may take to end by itself when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Exit code of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

#[derive(Default)]
struct Litter {
    children: BTreeMap<u32, Signal>,
    dirs: Vec<PathBuf>,
}

static LITTER: Mutex<Litter> = Mutex::new(Litter { children: BTreeMap::new(), dirs: Vec::new() });

fn litter() -> MutexGuard<'static, Litter> {
    // A panic while the list was held leaves it as good as it was.
    LITTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on Ctrl-C, a closed terminal and `kill` end this program only after it has cleaned up.
pub fn clean_up_on_signals() -> Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .context("cannot listen for signals")?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            // The list stays locked: nothing new can be started meanwhile.
            let mut litter = litter();
            for (id, signal) in std::mem::take(&mut litter.children) {
                send(id, signal);
                await_end(id);
            }
            for dir in litter.dirs.drain(..) {
                let _ = fs::remove_dir_all(dir);
            }
            eprintln!("interrupted; everything that was started is stopped and removed");
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}

/// A child process that ends with its owner.
#[derive(Debug)]
pub struct Process {
    child: Option<Child>,
    stop: Signal,
}

impl Process {
    /// Starts a command in a process group of its own, so that a Ctrl-C in the terminal reaches only us. `stop` is the
    /// signal that asks it to end.
    pub fn start(command: &mut Command, stop: Signal) -> Result<Self> {
        use std::os::unix::process::CommandExt;
        let program = command.get_program().to_string_lossy().into_owned();
        let mut litter = litter();
        let child = command.process_group(0).spawn().with_context(|| format!("cannot start {program}"))?;
        litter.children.insert(child.id(), stop);
        Ok(Self { child: Some(child), stop })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> Option<&mut Child> {
        self.child.as_mut()
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let child = self.child.as_mut().context("the process was released")?;
        Ok(child.wait()?)
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok()?
    }

    /// Lets it run on after us.
    pub fn release(mut self) {
        if let Some(child) = self.child.take() {
            litter().children.remove(&child.id());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if matches!(child.try_wait(), Ok(None)) {
            send(child.id(), self.stop);
            let watch = Stopwatch::start();
            while matches!(child.try_wait(), Ok(None)) && watch.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        litter().children.remove(&child.id());
    }
}

/// A temporary directory that ends with its owner.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    keep: bool,
}

impl Dir {
    /// Makes one where the system keeps them, readable by us alone.
    pub fn new() -> Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    /// Makes one below a directory.
    pub fn new_in(parent: &Path) -> Result<Self> {
        let path = tempfile::Builder::new()
            .prefix("slipway-")
            .tempdir_in(parent)
            .context("cannot make a temporary directory")?
            .keep();
        litter().dirs.push(path.clone());
        Ok(Self { path, keep: false })
    }

    /// A directory that somebody named: made if it is missing, refused if something is in it, and never removed.
    pub fn given(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        let path = path.canonicalize()?;
        if fs::read_dir(&path)?.next().is_some() {
            bail!("{} is not empty: name an empty directory, or one that does not exist", path.display());
        }
        Ok(Self { path, keep: true })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it there after us.
    pub fn keep(&mut self) {
        self.keep = true;
        litter().dirs.retain(|dir| *dir != self.path);
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !self.keep {
            litter().dirs.retain(|dir| *dir != self.path);
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Sends a signal to a child and to everything it started: it leads a process group.
fn send(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Waits until a process, perhaps not reaped yet, runs no more; then makes sure.
fn await_end(id: u32) {
    let watch = Stopwatch::start();
    while watch.elapsed() < PATIENCE {
        let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let state = state.rsplit(") ").next().unwrap_or_default();
        if state.is_empty() || state.starts_with('Z') {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    send(id, Signal::KILL);
}

//! The three programs as processes, for tests that kill them.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// A program of this workspace, built beside the test that asks.
///
/// # Panics
///
/// When it was not built: `cargo build --workspace --bins` does it, and `cargo xtask test` calls that.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the running test");
    let folder = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let program = folder.join(name);
    assert!(
        program.is_file(),
        "{} is missing: run `cargo build --workspace --bins` first",
        program.display()
    );
    program
}

/// A port that was free a moment ago, for a server that has to come back on the same one.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A child that does not outlive the test.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl From<Child> for Process {
    fn from(child: Child) -> Self {
        Process(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts `slipwayd serve` and waits until it says it is ready.
pub fn serve(data: &Path, port: u16, more: &[&str]) -> Process {
    serve_with(data, port, more, &[])
}

/// The same with these variables in its environment.
pub fn serve_with(data: &Path, port: u16, more: &[&str], environment: &[(&str, &str)]) -> Process {
    let mut child = Command::new(program("slipwayd"))
        .envs(environment.iter().copied())
        .args(["serve", "--data"])
        .arg(data)
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(more)
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .expect("slipwayd starts");
    let stderr = child.stderr.take().expect("a pipe");
    let mut lines = BufReader::new(stderr).lines();
    let mut said = Vec::new();
    loop {
        match lines.next() {
            Some(Ok(line)) if line.contains("ready on https://") => break,
            Some(Ok(line)) => said.push(line),
            _ => panic!("slipwayd ended before it was ready:\n{}", said.join("\n")),
        }
    }
    // Keeps the pipe from filling up; ends with the process.
    std::thread::spawn(move || lines.for_each(drop));
    Process(child)
}

/// Starts `slipway-agent run`; what it says goes to `log`, one file for all its lives.
pub fn agent(state: &Path, log: &Path, more: &[&str]) -> Process {
    let log = File::options().create(true).append(true).open(log).expect("a log file");
    let child = Command::new(program("slipway-agent"))
        .args(["run", "--state"])
        .arg(state)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("slipway-agent starts");
    Process(child)
}

/// Runs a program to its end.
///
/// # Panics
///
/// When it fails, with what it said.
pub fn run(name: &str, arguments: &[&str]) -> String {
    let output = attempt(name, arguments);
    assert!(
        output.status.success(),
        "{name} {}\n{}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program to its end, whatever it is.
pub fn attempt(name: &str, arguments: &[&str]) -> Output {
    Command::new(program(name)).args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

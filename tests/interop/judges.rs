//! Getting the foreign tools. Where they cannot be had a test says so on standard error, past the capture of
//! the test runner, and passes; with `CI` set it fails.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What python has to have; the versions that these tests were written with.
const REQUIREMENTS: [&str; 3] = ["tuf==7.0.0", "securesystemslib[crypto]==1.4.0", "urllib3"];

/// A python with python-tuf, or nothing after a loud word.
pub fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    had("python-tuf", PYTHON.get_or_init(|| install_python("interop-venv", &REQUIREMENTS)))
        .map(PathBuf::as_path)
}

/// A python with other packages than that, in a virtual environment of its own, `interop-NAME`; or nothing after a loud
/// word. Tests of one name take turns.
pub fn python_with(name: &str, requirements: &[&str]) -> Option<PathBuf> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    had(name, &install_python(&format!("interop-{name}"), requirements)).cloned()
}

/// The reader made of `tough`, or nothing after a loud word.
pub fn tough_reader() -> Option<&'static Path> {
    static READER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    had("tough", READER.get_or_init(build_tough_reader)).map(PathBuf::as_path)
}

fn had<'a>(tool: &str, found: &'a Result<PathBuf, String>) -> Option<&'a PathBuf> {
    match found {
        Ok(path) => Some(path),
        Err(problem) => {
            assert!(std::env::var_os("CI").is_none(), "{tool} is needed: {problem}");
            // Nobody to tell when standard error is gone.
            let _ = writeln!(std::io::stderr(), "SKIPPED, {tool} cannot be had: {problem}");
            None
        }
    }
}

fn install_python(name: &str, requirements: &[&str]) -> Result<PathBuf, String> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = venv.join("bin/python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(requirements))?;
    Ok(python)
}

fn build_tough_reader() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = root.join("target/judges");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--bin", "tough-reader", "--manifest-path"]);
    run(build.arg(root.join("trust/judges/Cargo.toml")).arg("--target-dir").arg(&target))?;
    Ok(target.join("debug/tough-reader"))
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", words.trim().lines().last().unwrap_or("no reason given")))
}

//! Where things are in the checkout, and how `cargo` is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The root of the checkout.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The directory cargo builds into, also when the environment moved it.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// This tool's own corner of the target directory: downloads, images, scratch. Safe to delete.
pub fn scratch() -> PathBuf {
    target().join("xtask")
}

/// `cargo`, the same one that runs this tool, in the root of the checkout.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command with its output on the terminal; a failure names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let line = display(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Runs a command and returns what it printed; a failure carries what it complained about.
pub fn output(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&output_bytes(command)?).into_owned())
}

/// Like [`output`], for output that is not text.
pub fn output_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let line = display(command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed: {}\n{}", output.status, complaint.trim());
    }
    Ok(output.stdout)
}

/// The three programs, built.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `slipwayd`
    pub server: PathBuf,
    /// `slipway-agent`
    pub agent: PathBuf,
    /// `slipway`
    pub cli: PathBuf,
}

/// Builds the programs with a cargo profile (`dev`, `release`) and says where they are.
///
/// All of the workspace is named, as `cargo test --workspace` does, because cargo then settles on the same features of
/// every dependency and builds it once for both.
pub fn build(profile: &str) -> Result<Binaries> {
    run(cargo().args(["build", "--workspace", "--bins", "--profile", profile]))?;
    let dir = profile_dir(profile);
    Ok(Binaries { server: dir.join("slipwayd"), agent: dir.join("slipway-agent"), cli: dir.join("slipway") })
}

/// Where cargo puts what it builds with a profile.
pub fn profile_dir(profile: &str) -> PathBuf {
    target().join(if profile == "dev" { "debug" } else { profile })
}

fn display(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

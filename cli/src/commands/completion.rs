//! `slipway completion`: commands and flags in a shell. Names of devices and alerts are not completed: each would be a call.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::{
    args::{Args, ShellName},
    error::Failure,
    output::Console,
};

/// Prints the script.
///
/// # Errors
/// Nobody reads stdout any more.
pub fn run(shell: ShellName, console: &Console) -> Result<(), Failure> {
    console.print(&script(shell))
}

fn script(shell: ShellName) -> String {
    let shell = match shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    let mut out = Vec::new();
    generate(shell, &mut Args::command(), "slipway", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_commands_and_flags() {
        for (shell, beginning) in [
            (ShellName::Bash, "_slipway() {"),
            (ShellName::Zsh, "#compdef slipway"),
            (ShellName::Fish, "# Print an optspec"),
        ] {
            let script = script(shell);
            assert!(script.starts_with(beginning), "{shell:?}: {}", &script[..80]);
            for word in ["telemetry", "silence", "take-over", "profile"] {
                assert!(script.contains(word), "{shell:?}: {word}");
            }
            let is_shown = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
            assert!(script.chars().all(is_shown), "{shell:?}: the console would change it");
        }
    }
}

//! Pages of the documentation whose commands are run as they stand.

use std::{env, fs, path::Path, process::Command};

use slipway_tests::{processes::program, world::World};

/// The lines of all blocks of shell commands of `docs/PAGE`, at least `least`.
pub fn commands(page: &str, least: usize) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => lines.push(line.to_owned()),
            _ => {}
        }
    }
    assert!(lines.len() > least, "only {} commands were found", lines.len());
    lines
}

/// Runs commands in the folder of a world, in one shell, as a person has; the first that fails ends it. Returns
/// what they said on stdout.
pub fn shell(folder: &str, lines: &[String]) -> String {
    let programs = program("slipway").parent().map(Path::to_path_buf).expect("a folder");
    let path = format!("{}:{}", programs.display(), env::var("PATH").unwrap_or_default());
    let said = tokio::task::block_in_place(|| {
        Command::new("sh")
            .args(["-c", &format!("set -ex\n{}", lines.join("\n"))])
            .current_dir(folder)
            .env("PATH", path)
            .env("SLIPWAY_PROFILE", Path::new(folder).join("server/client.toml"))
            .output()
            .expect("a shell")
    });
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// Runs every command of `docs/PAGE`, at least `least` lines, from top to bottom in the folder of `world`; returns
/// what they said on stdout.
pub fn run(world: &World, page: &str, least: usize) -> String {
    shell(&world.path(""), &commands(page, least))
}

//! Every command of `docs/keys.md`, run as it stands, from top to bottom, beside a real server.

use std::{env, fs, path::Path, process::Command};

use slipway_tests::{processes::program, world::World};

/// The lines of all blocks of shell commands.
fn commands(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => lines.push(line),
            _ => {}
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_ceremony_works() {
    let world = World::start().await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/keys.md");
    let text = fs::read_to_string(page).expect("docs/keys.md");
    let lines = commands(&text);
    assert!(lines.len() > 30, "only {} commands were found", lines.len());
    let programs = program("slipway").parent().map(Path::to_path_buf).expect("a folder");
    let path = format!("{}:{}", programs.display(), env::var("PATH").unwrap_or_default());
    let said = tokio::task::block_in_place(|| {
        // One shell for all of it, as a person has; the first command that fails ends it.
        Command::new("sh")
            .args(["-c", &format!("set -ex\n{}", lines.join("\n"))])
            .current_dir(world.path(""))
            .env("PATH", path)
            .env("SLIPWAY_PROFILE", world.path("server/client.toml"))
            .output()
            .expect("a shell")
    });
    let (out, talk) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{talk}");
    assert!(out.contains("1.0.0 (withdrawn)"), "{out}");
    let shown = world.slipway(&["trust", "show"]);
    assert!(shown.starts_with("root      version 4"), "{shown}");
    world.stop().await;
}

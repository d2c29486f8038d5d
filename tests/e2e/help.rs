//! What the help shows as an example works as it stands, and every list that takes a filter shows one.

use std::{
    env,
    path::Path,
    process::{Command, Output},
};

use slipway_tests::{
    processes::{program, run},
    world::World,
};

/// The words of the section `Commands:`.
fn commands(help: &str) -> Vec<&str> {
    let section = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    // What is indented deeper goes on describing the command above.
    let entries = section.take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
    let words = entries.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next());
    words.filter(|word| *word != "help").collect()
}

/// What stands below `Example:`, a command of one or several lines.
fn example(help: &str) -> Option<&str> {
    let (_, example) = help.split_once("\nExample:\n")?;
    Some(example.trim())
}

/// As somebody would who copies the line into a shell.
fn typed(line: &str, folder: &str, profile: &str) -> Output {
    let programs = program("slipway").parent().map(Path::to_path_buf).expect("a folder");
    let path = env::var("PATH").unwrap_or_default();
    tokio::task::block_in_place(|| {
        Command::new("sh")
            .args(["-c", line])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("SLIPWAY_PROFILE", profile)
            .output()
            .expect("a shell")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_help_works() {
    let world = World::start().await;
    world.init_trust();
    world.publish(b"an image", "2.0.0");
    world.member("pump-1", &[("site", "north")]).await.settle().await;
    let mut tried = 0;
    let top = run("slipway", &["--help"]);
    for noun in commands(&top) {
        let help = run("slipway", &[noun, "--help"]);
        for verb in commands(&help) {
            let help = run("slipway", &[noun, verb, "--help"]);
            let Some(line) = example(&help) else {
                assert!(!help.contains("--filter"), "`slipway {noun} {verb}` shows no filter:\n{help}");
                continue;
            };
            assert!(line.contains("--filter") || !help.contains("--filter <"), "{line}");
            assert!(line.starts_with(&format!("slipway {noun} {verb} ")), "{line}");
            let output = typed(line, &world.path(""), &world.path("server/client.toml"));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{line}\n{said}");
            tried += 1;
        }
    }
    assert!(tried >= 10, "only {tried} examples were found");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_variable_is_no_variable_and_an_empty_flag_is_a_mistake() {
    let world = World::start().await;
    let (folder, profile) = (world.path(""), world.path("server/client.toml"));
    let line = format!("SLIPWAY_SERVER= SLIPWAY_CA= slipway --profile '{profile}' token whoami");
    let output = typed(&line, &folder, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = typed("HOME=/nowhere XDG_CONFIG_HOME= slipway token whoami", &folder, "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("no server is given") && said.contains("/nowhere/.config/slipway/profile.toml"),
        "{said}"
    );
    let output = typed("slipway --profile \"$NOT_SET\" token whoami", &folder, &profile);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("error: --profile is empty\n") && said.contains("hint: "), "{said}");
    let output = typed("slipway claim create --hardware gw-a --uses 0", &folder, &profile);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("'0' for '--uses <N>'") && said.contains("1 or more"), "{said}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_usage_names_what_is_missing_and_no_profile() {
    let world = World::start().await;
    let (folder, profile) = (world.path(""), world.path("server/client.toml"));
    for line in ["slipway device label", "slipway limit set x", "slipway alert silence create"] {
        let output = typed(line, &folder, &profile);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("Usage: slipway ") && !said.contains("--profile"), "{said}");
    }
    let output = typed("slipway --profile nosuch device list", &folder, &profile);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("error: cannot read the profile that --profile names, nosuch: "), "{said}");
    let output = typed("slipway device list", &folder, "/nosuch");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.starts_with("error: cannot read the profile that SLIPWAY_PROFILE names, /nosuch: "),
        "{said}"
    );
    world.stop().await;
}

/// What Bash offers after these words, as the script of `slipway completion bash` says.
const OFFERED: &str = "\
    . ./slipway.bash
    COMP_WORDS=(slipway alert si) COMP_CWORD=2 COMPREPLY=()
    _slipway slipway si alert
    echo \"${COMPREPLY[@]}\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_completes_commands() {
    let world = World::start().await;
    let folder = world.path("");
    let made = typed("slipway completion bash > slipway.bash", &folder, "/nosuch");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let offered = tokio::task::block_in_place(|| {
        Command::new("bash").args(["-c", OFFERED]).current_dir(&folder).output().expect("bash")
    });
    let said = String::from_utf8_lossy(&offered.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&offered.stdout).trim(), "silence", "{said}");
    world.stop().await;
}

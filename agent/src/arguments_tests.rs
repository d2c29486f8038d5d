//! The command line: what it takes, and what it says of the rest.

use super::*;

fn parsed(line: &str) -> Result<Command, Misuse> {
    parse(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from))
}

#[test]
fn reads_what_the_help_says() {
    let line = "enroll --claim c.json --state=s --slots d --hardware gw-a --slot-size 4096";
    let Ok(Command::Enroll(order)) = parsed(line) else { panic!("{line}") };
    assert_eq!((order.state, order.slots), (PathBuf::from("s"), PathBuf::from("d")));
    assert_eq!((order.hardware.as_str(), order.component.as_str()), ("gw-a", "system"));
    assert_eq!((order.slot_size, order.device_id, order.server), (4096, None, None));
    let line =
        "enroll --claim c --state s --slots d --hardware h --manufacturer-cert a.pem --manufacturer-key b";
    let Ok(Command::Enroll(order)) = parsed(line) else { panic!("{line}") };
    assert_eq!(order.manufacturer, Some((PathBuf::from("a.pem"), PathBuf::from("b"))));
    assert!(matches!(parsed("key --state s"), Ok(Command::Key { key_store: None, .. })));
    let Ok(Command::Run(run)) = parsed("run --state s --telemetry-interval 5") else { panic!("run") };
    assert_eq!((run.telemetry_interval, run.sysroot), (Some(5), PathBuf::from("/")));
    let line = "install --state s --bundle /mnt/b.tar";
    let Ok(Command::Install { bundle, .. }) = parsed(line) else { panic!("{line}") };
    assert_eq!(bundle, PathBuf::from("/mnt/b.tar"));
    assert!(matches!(parsed("status --output json --state s"), Ok(Command::Status { json: true, .. })));
    assert!(matches!(parsed("diagnose --state s"), Ok(Command::Diagnose { json: false, .. })));
    let line = "consent --state s --refuse usage --allow diagnostic,usage --allow location";
    let Ok(Command::Consent { changes, .. }) = parsed(line) else { panic!("{line}") };
    let (allowed, last) = changes.split_at(3);
    assert!(allowed.iter().all(|(_, allowed)| *allowed));
    assert_eq!(last, [(Class::Usage, false)], "a refusal has the last word");
}

#[test]
fn every_option_is_in_the_help_and_every_help_is_found() {
    for spec in COMMANDS {
        for (name, value) in spec.options.iter().filter(|(name, _)| *name != "sysroot") {
            assert!(spec.help.contains(&format!("--{name} <{value}>")), "{name}");
        }
        assert!(spec.help.lines().all(|line| line.len() <= 100), "{}", spec.name);
        for line in [format!("help {}", spec.name), format!("{} --state x -h", spec.name)] {
            assert!(matches!(parsed(&line), Ok(Command::Show(text)) if text == spec.help), "{line}");
        }
    }
    for line in ["help", "--help", "-h"] {
        assert!(matches!(parsed(line), Ok(Command::Show(text)) if text == HELP), "{line}");
    }
    assert!(matches!(parsed("-V"), Ok(Command::Show(text)) if text.starts_with("slipway-agent 0")));
}

#[test]
fn says_what_is_wrong_and_what_would_be_right() {
    for (line, problem) in [
        ("", "a command is missing"),
        (
            "start",
            "there is no command \"start\"; there are enroll, key, run, install, status, diagnose, consent",
        ),
        ("run", "--state <DIR> is missing"),
        ("run --state", "--state needs a value: --state <DIR>"),
        ("run --state a --state b", "--state is given twice"),
        ("run --state a b", "unexpected argument \"b\"; run knows --state"),
        ("status --sate a", "invalid option '--sate'; status knows --state, --output"),
        ("status --state a --output xml", "--output is \"xml\"; it has to be table or json"),
        (
            "run --state a --telemetry-interval 0",
            "--telemetry-interval is \"0\"; it has to be a whole number from 1 to 86400",
        ),
        ("consent --state a --allow all", "--allow is \"all\"; it has to be diagnostic, usage or location"),
        ("enroll --state a --claim b --slots c", "--hardware <MODEL> is missing"),
        (
            "enroll --state a --claim b --slots c --hardware d --key-store tmp",
            "--key-store is \"tmp\"; it has to be file or tpm",
        ),
        ("key --state a --key-store TPM", "--key-store is \"TPM\"; it has to be file or tpm"),
    ] {
        let misuse = parsed(line).expect_err(line);
        assert!(misuse.problem.starts_with(problem), "{line}: {}", misuse.problem);
        assert!(misuse.usage.starts_with("Usage: slipway-agent"), "{line}: {}", misuse.usage);
    }
}

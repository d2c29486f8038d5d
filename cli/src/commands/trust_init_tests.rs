use std::fs;

use slipway_trust::SecretKey;

use super::*;
use crate::passphrase::Source;

const NOW: i64 = 1_795_356_185_000;

fn server(first: u8) -> v1::Trust {
    let key = |role: &str, n: u8| v1::OnlineKey {
        role: role.into(),
        public_key: SecretKey::from_seed([n; 32]).public_key().to_string(),
        ..v1::OnlineKey::default()
    };
    let online_keys = vec![key("timestamp", first), key("snapshot", first + 1), key("director", first + 2)];
    v1::Trust { online_keys, ..v1::Trust::default() }
}

fn run(dir: &std::path::Path, trust: &v1::Trust, now: i64) -> Result<Prepared, Failure> {
    run_with(dir, trust, now, KeyCounts::default())
}

fn run_with(
    dir: &std::path::Path,
    trust: &v1::Trust,
    now: i64,
    counts: KeyCounts,
) -> Result<Prepared, Failure> {
    let mut keys = KeyDir::new(dir, Source::Terminal);
    check_server(trust, keys.root_file().read()?.as_deref(), &keys)?;
    prepare(&mut keys, None, Counts::read(&counts)?, &OnlineKeys::read(trust)?, now)
}

#[test]
fn a_run_that_was_cut_goes_on_with_the_same_keys() {
    let dir = tempfile::tempdir().unwrap();
    let first = run(dir.path(), &server(1), NOW).unwrap();
    let again = run(dir.path(), &server(1), NOW + 86_400_000).unwrap();
    assert_eq!(first.root, again.root);

    // Cut after the first key, and before the root was stored.
    let root_key = fs::read(dir.path().join("root.pem")).unwrap();
    for file in ["targets.pem", "publisher.pem", "root.json"] {
        fs::remove_file(dir.path().join(file)).unwrap();
    }
    run(dir.path(), &server(1), NOW).unwrap();
    assert_eq!(fs::read(dir.path().join("root.pem")).unwrap(), root_key);
    assert!(dir.path().join("root.json").exists());
}

#[test]
fn a_key_that_was_lost_is_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &server(1), NOW).unwrap();
    fs::remove_file(dir.path().join("targets.pem")).unwrap();
    assert_eq!(run(dir.path(), &server(1), NOW).unwrap_err().reason_code(), Some("KEY_MALFORMED"));
    assert!(!dir.path().join("targets.pem").exists());
}

#[test]
fn a_server_that_took_the_root_before_the_cut_is_ours() {
    let dir = tempfile::tempdir().unwrap();
    let made = run(dir.path(), &server(1), NOW).unwrap();
    let keys = KeyDir::new(dir.path(), Source::Terminal);
    let trust = v1::Trust { root: made.root.clone(), ..server(1) };
    check_server(&trust, Some(&made.root), &keys).unwrap();
}

#[test]
fn keys_of_another_server_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let made = run(dir.path(), &server(1), NOW).unwrap();
    let before = fs::read(dir.path().join("root.json")).unwrap();
    assert_eq!(run(dir.path(), &server(11), NOW).unwrap_err().reason_code(), Some("ROOT_FOREIGN"));

    let elsewhere = tempfile::tempdir().unwrap();
    let theirs = run(elsewhere.path(), &server(11), NOW).unwrap();
    let trust = v1::Trust { root: theirs.root, ..server(11) };
    let keys = KeyDir::new(dir.path(), Source::Terminal);
    let refusal = check_server(&trust, Some(&made.root), &keys).unwrap_err();
    assert_eq!(refusal.reason_code(), Some("ROOT_FOREIGN"));
    let refusal = check_server(&trust, None, &keys).unwrap_err();
    assert_eq!(refusal.reason_code(), Some("TRUST_ALREADY_INITIALIZED"));
    assert_eq!(fs::read(dir.path().join("root.json")).unwrap(), before);
}

#[test]
fn several_keys_sign_together() {
    let dir = tempfile::tempdir().unwrap();
    let counts = KeyCounts {
        root_keys: Some(3),
        targets_keys: Some(2),
        publisher_keys: Some(3),
        publisher_threshold: Some(2),
        ..KeyCounts::default()
    };
    let made = run_with(dir.path(), &server(1), NOW, counts).unwrap();
    let root = slipway_trust::Root::parse(&made.root).unwrap();
    let shape = |keys: &slipway_trust::RoleKeys| (keys.key_ids.len(), keys.threshold);
    assert_eq!((shape(&root.root), shape(&root.targets)), ((3, 2), (2, 2)));
    let publishers = KeyDir::new(dir.path(), Source::Terminal).publishers().unwrap();
    assert_eq!((publishers.keys.len(), publishers.threshold), (3, 2));
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("root"))
        .collect();
    names.sort();
    let expected =
        ["root-1.pem", "root-1.pub", "root-2.pem", "root-2.pub", "root-3.pem", "root-3.pub", "root.json"];
    assert_eq!(names, expected);

    // Cut after the second key.
    for name in ["root-3.pem", "root-3.pub", "root-2.pub", "root.json"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let again = run_with(dir.path(), &server(1), NOW, counts).unwrap();
    assert_ne!(again.root, made.root);
    assert!(dir.path().join("root-2.pub").exists());
}

#[test]
fn a_threshold_that_nobody_reaches_is_refused() {
    let counts = KeyCounts { root_keys: Some(2), root_threshold: Some(3), ..KeyCounts::default() };
    let refusal = counts.of(KeyRole::Root, 1).unwrap_err();
    assert_eq!((refusal.reason_code(), refusal.exit_code()), (Some("THRESHOLD_INVALID"), 2));
    let of = |keys| KeyCounts { root_keys: Some(keys), ..KeyCounts::default() }.of(KeyRole::Root, 1);
    let majorities: Vec<u32> = (1..=5).map(|keys| of(keys).unwrap().threshold).collect();
    assert_eq!(majorities, [1, 2, 2, 3, 3]);
}

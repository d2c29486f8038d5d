use std::os::unix::fs::PermissionsExt as _;

use slipway_trust::{SecretKey, Targets, repo::RoleSpec};
use zeroize::Zeroizing;

use super::*;
use crate::{clock::Clock, output::Format};

fn file(keys: &KeyDir, role: KeyRole) -> KeyFile {
    keys.first(role, 1).remove(0)
}

#[test]
fn keys_are_private_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let console = Console::to_writers(io::sink(), io::sink(), Format::Table, Clock::Fixed(0));
    let keys = KeyDir::new(&path, Source::Terminal);
    keys.prepare(&console).unwrap();
    let passphrase = Zeroizing::new("correct horse".to_owned());
    let (root, publisher) = (file(&keys, KeyRole::Root), file(&keys, KeyRole::Publisher));
    let plain = root.create(None).unwrap();
    let secret = publisher.create(Some(&passphrase)).unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!((mode(root.path()), mode(publisher.path())), (0o600, 0o600));
    let pem = fs::read_to_string(publisher.path()).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{pem}");
    assert_eq!(read_public(&path.join("publisher.pub")).unwrap(), secret);

    let words = dir.path().join("passphrase");
    fs::write(&words, "correct horse\n").unwrap();
    let mut again = KeyDir::new(&path, Source::File(words.clone()));
    assert_eq!(again.load(&root).unwrap().public_key(), plain);
    assert_eq!(again.load(&publisher).unwrap().public_key(), secret);
    // A directory of a former version has no public halves beside its keys.
    fs::remove_file(path.join("publisher.pub")).unwrap();
    assert_eq!(again.all_public(KeyRole::Publisher).unwrap(), [secret]);

    fs::write(&words, "wrong horse\n").unwrap();
    let refusal = KeyDir::new(&path, Source::File(words)).load(&publisher).err().unwrap();
    assert_eq!(refusal.reason_code(), Some("PASSPHRASE_WRONG"));
    fs::write(root.path(), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let refusal = again.load(&root).err().unwrap().to_string().replace(&path.display().to_string(), "DIR");
    assert_eq!(
        refusal,
        "error: the key DIR/root.pem cannot be used: it is not an ed25519 private key, or it is damaged\n\
         hint: restore it from the copy that you keep elsewhere\n\
         see docs/errors/KEY_MALFORMED.md"
    );
    fs::write(root.path(), SecretKey::from_seed([9; 32]).to_pem().unwrap().as_bytes()).unwrap();
    assert_eq!(again.load(&root).err().unwrap().reason_code(), Some("KEY_MALFORMED"), "exchanged");
}

#[test]
fn several_keys_of_a_role_are_found_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = KeyDir::new(dir.path(), Source::Terminal);
    let made: Vec<PublicKey> =
        keys.first(KeyRole::Publisher, 3).iter().map(|file| file.create(None).unwrap()).collect();
    assert_eq!(keys.all_public(KeyRole::Publisher).unwrap(), made);
    assert_eq!(keys.further(KeyRole::Publisher, 1).unwrap()[0].name(), "publisher-4.pem");
    assert_eq!(keys.further(KeyRole::Root, 1).unwrap()[0].name(), "root-1.pem");

    let authority = |spec: &RoleSpec| {
        let mut targets = Targets::empty(1, slipway_trust::Date::from_unix(0));
        targets.delegate_product("pump", spec).unwrap();
        targets.authority("pump").unwrap()
    };
    let spec = RoleSpec { keys: made.clone(), threshold: 2 };
    assert_eq!(keys.signers(KeyRole::Publisher, &authority(&spec)).unwrap().len(), 2);
    assert_eq!(keys.publishers().unwrap().threshold, 1, "nobody said otherwise");
    keys.store_publishers(&spec).unwrap();
    assert_eq!(keys.publishers().unwrap(), spec);

    for number in [1, 3] {
        fs::remove_file(dir.path().join(format!("publisher-{number}.pem"))).unwrap();
    }
    let refusal = keys.signers(KeyRole::Publisher, &authority(&spec)).err().unwrap();
    assert_eq!(refusal.reason_code(), Some("SIGNATURES_MISSING"));
    assert!(refusal.to_string().contains("2 keys of publisher have to sign"), "{refusal}");
    let other = RoleSpec::single(SecretKey::from_seed([9; 32]).public_key());
    let refusal = keys.signers(KeyRole::Publisher, &authority(&other)).err().unwrap();
    assert_eq!(refusal.reason_code(), Some("PUBLISHER_NOT_AUTHORIZED"));
}

#[test]
fn new_keys_take_names_that_neither_half_of_a_key_has() {
    let dir = tempfile::tempdir().unwrap();
    let keys = KeyDir::new(dir.path(), Source::Terminal);
    let made: Vec<PublicKey> =
        keys.first(KeyRole::Publisher, 2).iter().map(|file| file.create(None).unwrap()).collect();
    // Their holders took the private halves home.
    for number in [1, 2] {
        fs::remove_file(dir.path().join(format!("publisher-{number}.pem"))).unwrap();
    }
    let names: Vec<String> = keys.further(KeyRole::Publisher, 2).unwrap().iter().map(KeyFile::name).collect();
    assert_eq!(names, ["publisher-3.pem", "publisher-4.pem"]);
    fs::write(dir.path().join("publisher-4294967295.pub"), "").unwrap();
    assert!(keys.further(KeyRole::Publisher, 1).is_err(), "no number is left");

    let first = KeyFile::new(&dir.path().join("publisher-1.pem"));
    assert_eq!(first.create(None).unwrap_err().reason_code(), Some("FILE_UNUSABLE"));
    assert!(!first.exists(), "half a key");
    assert_eq!(read_public(&dir.path().join("publisher-1.pub")).unwrap(), made[0]);
}

#[test]
fn drafted_publishers_get_new_products_only_once_they_are_published() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = KeyDir::new(dir.path(), Source::Terminal);
    let spec = |n: u8| RoleSpec::single(SecretKey::from_seed([n; 32]).public_key());
    let published = |spec: &RoleSpec| {
        let mut targets = Targets::empty(1, slipway_trust::Date::from_unix(0));
        targets.delegate_director(&RoleSpec::single(SecretKey::from_seed([7; 32]).public_key()));
        targets.delegate_product("pump", spec).unwrap();
        targets
    };
    file(&keys, KeyRole::Publisher).create(None).unwrap();
    // The key of the first day has no publishers.json; a draft that stays a draft gives it no company.
    keys.draft_publishers(&spec(1), &spec(2)).unwrap();
    keys.draft_publishers(&spec(1), &spec(3)).unwrap();
    assert_eq!(keys.publishers().unwrap(), spec(1));
    assert_eq!(keys.publishers_after(&published(&spec(1))).unwrap(), spec(1));
    // Either draft may be the one that is published.
    assert_eq!(keys.publishers_after(&published(&spec(2))).unwrap(), spec(2));
    assert_eq!(keys.publishers_after(&published(&spec(3))).unwrap(), spec(3));
    keys.draft_publishers(&spec(3), &spec(4)).unwrap();
    assert_eq!(keys.publishers().unwrap(), spec(3));
    assert_eq!(keys.publishers_after(&published(&spec(4))).unwrap(), spec(4));
    keys.store_publishers(&spec(4)).unwrap();
    assert_eq!(keys.publishers_after(&published(&spec(3))).unwrap(), spec(4));
}

#[test]
fn publishers_of_nothing_get_a_new_product_only_when_they_are_meant() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = KeyDir::new(dir.path(), Source::Terminal);
    let spec = |n: u8| RoleSpec::single(SecretKey::from_seed([n; 32]).public_key());
    let mut targets = Targets::empty(1, slipway_trust::Date::from_unix(0));
    // A copy of the folder from before publisher 1 was replaced, because its key was stolen.
    keys.store_publishers(&spec(1)).unwrap();
    assert_eq!(keys.publishers_of_new(&targets, false).unwrap(), spec(1), "the first product");
    targets.delegate_product("pump", &spec(2)).unwrap();
    let refused = keys.publishers_of_new(&targets, false).err().unwrap();
    assert_eq!(refused.reason_code(), Some("PUBLISHER_NOT_AUTHORIZED"));
    assert!(refused.to_string().contains("--new-publishers"), "{refused}");
    assert_eq!(keys.publishers_of_new(&targets, true).unwrap(), spec(1));
    keys.store_publishers(&spec(2)).unwrap();
    assert_eq!(keys.publishers_of_new(&targets, false).unwrap(), spec(2));
}

#[test]
fn a_key_that_cannot_be_read_matters_only_when_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = KeyDir::new(dir.path(), Source::Terminal);
    let key = file(&keys, KeyRole::Publisher).create(None).unwrap();
    let targets = RoleSpec::single(key);
    let authority = {
        let mut published = Targets::empty(1, slipway_trust::Date::from_unix(0));
        published.delegate_product("pump", &targets).unwrap();
        published.authority("pump").unwrap()
    };
    // A run that was cut off left a key without its public half.
    fs::write(dir.path().join("publisher-2.pem"), "no key").unwrap();
    assert_eq!(keys.signers(KeyRole::Publisher, &authority).unwrap().len(), 1);
    fs::remove_file(dir.path().join("publisher.pem")).unwrap();
    fs::remove_file(dir.path().join("publisher.pub")).unwrap();
    let text = keys.signers(KeyRole::Publisher, &authority).err().unwrap().to_string();
    assert!(text.contains("publisher-2.pem"), "{text}");
}

#[test]
fn a_missing_key_says_what_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = KeyDir::new(dir.path(), Source::Terminal);
    let mut refusal = || {
        let text = keys.publishers().err().unwrap().to_string();
        text.replace(&dir.path().display().to_string(), "DIR")
    };
    assert_eq!(
        refusal(),
        "error: there is no key DIR/publisher.pem\n\
         hint: name the directory that `slipway trust init` filled with --keys; \
         for a server that has no keys yet, make them: slipway trust init --keys DIR\n\
         see docs/errors/KEY_MALFORMED.md"
    );
    fs::write(dir.path().join("root.json"), "{}").unwrap();
    assert_eq!(
        refusal(),
        "error: there is no key DIR/publisher.pem\n\
         hint: the server trusts that key and no other: bring it back from its copy: cp COPY/publisher.pem DIR/\n\
         see docs/errors/KEY_MALFORMED.md"
    );
}

#[test]
fn a_key_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = KeyDir::new(dir.path(), Source::Terminal);
    let root = file(&keys, KeyRole::Root);
    let first = root.create(None).unwrap();
    assert!(root.create(None).is_err());
    assert_eq!(keys.load(&root).unwrap().public_key(), first);
}

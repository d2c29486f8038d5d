//! What a start makes, what it finds, and what it will not touch.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

#[test]
fn a_first_start_makes_what_the_second_finds() {
    let temp = TempDir::new().unwrap();
    let root = temp.path().join("data");
    let mut first = DataDir::open(&root).unwrap();
    let ca = first.pki(NOW, &KnownKeys::default()).unwrap().server_ca_pem().to_owned();
    assert_eq!(first.made().len(), 5, "{:?}", first.made());
    drop(first);
    let mut second = DataDir::open(&root).unwrap();
    assert_eq!(second.pki(NOW, &KnownKeys::default()).unwrap().server_ca_pem(), ca);
    assert!(second.made().is_empty(), "{:?}", second.made());
    let mode = |name: &str| fs::metadata(root.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("keys"), mode("keys/device-ca.pem")), (0o700, 0o600));
}

#[test]
fn a_start_that_was_killed_is_completed() {
    let temp = TempDir::new().unwrap();
    let whole = temp.path().join("whole");
    DataDir::open(&whole).unwrap().pki(NOW, &KnownKeys::default()).unwrap();
    for missing in ["version", "server-ca.pem", "device-ca.pem", "keys/server-ca.pem", "keys/device-ca.pem"] {
        fs::remove_file(whole.join(missing)).unwrap();
        if let Some(certificate) = missing.strip_prefix("keys/") {
            fs::remove_file(whole.join(certificate)).unwrap();
        }
        fs::write(whole.join(format!("{missing}.new")), "torn").unwrap();
        let mut dir = DataDir::open(&whole).unwrap();
        dir.pki(NOW, &KnownKeys::default()).unwrap();
        assert!(!dir.made().is_empty(), "{missing}");
    }
}

#[test]
fn an_authority_is_its_key_and_no_other() {
    let temp = TempDir::new().unwrap();
    let mut dir = DataDir::open(temp.path()).unwrap();
    let known = dir.pki(NOW, &KnownKeys::default()).unwrap().ids();
    let known = KnownKeys::relied_on(known.map(|(name, id)| (name.to_owned(), vec![id.to_string()])));
    assert!(dir.pki(NOW, &known).is_ok());
    for name in [DEVICE_CA, SERVER_CA] {
        let (key, certificate) = (dir.path(&format!("keys/{name}.pem")), dir.path(&format!("{name}.pem")));
        let good = [fs::read(&key).unwrap(), fs::read(&certificate).unwrap()];
        let other = AuthorityPem::generate("another", NOW).unwrap();
        fs::write(&key, &other.key).unwrap();
        // Beside its certificate it is the wrong key though nobody relies on either yet.
        let refused = dir.pki(NOW, &KnownKeys::default()).unwrap_err();
        assert!(matches!(refused, DataDirError::KeyReplaced { .. }), "{refused}");
        fs::write(&certificate, &other.certificate).unwrap();
        let refused = dir.pki(NOW, &known).unwrap_err();
        assert!(matches!(&refused, DataDirError::KeyReplaced { path, .. } if *path == key), "{refused}");
        fs::remove_file(&key).unwrap();
        fs::remove_file(&certificate).unwrap();
        let refused = dir.pki(NOW, &known).unwrap_err();
        assert!(matches!(&refused, DataDirError::KeyGone { path, .. } if *path == key), "{refused}");
        assert!(!key.exists() && !certificate.exists(), "nothing was made in its place");
        fs::write(&key, &good[0]).unwrap();
        assert!(dir.pki(NOW, &known).is_ok(), "a certificate can be made again for its key");
        fs::write(&certificate, &good[1]).unwrap();
    }
}

#[test]
fn one_process_at_a_time() {
    let temp = TempDir::new().unwrap();
    let _first = DataDir::open(temp.path()).unwrap();
    let second = DataDir::open(temp.path()).unwrap_err();
    assert!(
        matches!(&second, DataDirError::InUse { holder, .. }
        if *holder == std::process::id().to_string()),
        "{second}"
    );
}

#[test]
fn newer_and_foreign_directories_are_refused() {
    let temp = TempDir::new().unwrap();
    fs::write(temp.path().join("photo.jpg"), "x").unwrap();
    assert!(matches!(DataDir::open(temp.path()), Err(DataDirError::Foreign { .. })));
    fs::write(temp.path().join("version"), "2\n").unwrap();
    assert!(matches!(DataDir::open(temp.path()), Err(DataDirError::Newer { found: 2, .. })));
}

//! What a start makes, what it finds, and what it will not touch.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use crate::{
    model::time::Timestamp,
    pki::{AuthorityPem, DEVICE_CA, Pki, SERVER_CA, read_anchors},
    service::known_keys::KnownKeys,
};

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
    let known = relied_on(known);
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

fn relied_on(ids: Vec<(String, slipway_trust::Sha256)>) -> KnownKeys {
    KnownKeys::relied_on(ids.into_iter().map(|(name, id)| (name, vec![id.to_string()])))
}

/// Whether a client that pinned `pem` believes a server with these keys.
fn is_believed(pki: &Pki, pem: &str) -> bool {
    pki.is_believed_by(&read_anchors(pem.as_bytes()).unwrap(), NOW).unwrap()
}

#[test]
fn a_generation_follows_the_one_before_and_whoever_pinned_either_comes_along() {
    let temp = TempDir::new().unwrap();
    let mut dir = DataDir::open(temp.path()).unwrap();
    assert!(matches!(dir.next_generation(NOW), Err(DataDirError::NoServer { .. })));
    let first = dir.pki(NOW, &KnownKeys::default()).unwrap();
    let (one, known) = (first.server_ca_pem().to_owned(), relied_on(first.ids()));
    assert_eq!(dir.next_generation(NOW).unwrap(), 2);
    let second = dir.pki(NOW, &known).unwrap();
    let both = second.server_ca_pem().to_owned();
    assert_eq!(dir.read("server-ca.pem").unwrap().as_deref(), Some(both.as_str()));
    assert!(both.ends_with(&one) && both.len() > one.len(), "{both}");
    let two = both.strip_suffix(&one).unwrap();
    for pinned in [&one, two, &both] {
        assert!(is_believed(&second, pinned));
    }
    assert!(!is_believed(&first, two), "before the next start");
    // Cut off after the key was written: this one is finished, and no third begun.
    fs::remove_file(dir.path("keys/server-ca-2.cross.pem")).unwrap();
    assert_eq!(dir.next_generation(NOW).unwrap(), 2);
    assert!(!dir.path("keys/server-ca-3.pem").exists());
    let names: Vec<_> = second.ids().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["device-ca", "server-ca", "server-ca-2"]);
    assert_eq!(second.server_ids().len(), 2);
    // A replica that was given the keys, and made the rest by itself.
    for derived in ["server-ca.pem", "keys/server-ca-2.cross.pem"] {
        fs::remove_file(dir.path(derived)).unwrap();
        let again = dir.pki(NOW, &known).unwrap();
        assert!(is_believed(&again, &one) && is_believed(&again, two), "{derived}");
    }
}

#[test]
fn a_generation_goes_out_of_use_and_its_cross_certificate_stays() {
    let temp = TempDir::new().unwrap();
    let mut dir = DataDir::open(temp.path()).unwrap();
    let one = dir.pki(NOW, &KnownKeys::default()).unwrap().server_ca_pem().to_owned();
    dir.next_generation(NOW).unwrap();
    let known = relied_on(dir.pki(NOW, &KnownKeys::default()).unwrap().ids());
    for wrong in [0, 2, 3] {
        assert!(matches!(dir.retire_generation(wrong, NOW), Err(DataDirError::Generation { .. })), "{wrong}");
    }
    dir.retire_generation(1, NOW).unwrap();
    assert!(dir.retire_generation(1, NOW).is_err(), "it is not in use");
    let pki = dir.pki(NOW, &known).unwrap();
    assert!(!pki.server_ca_pem().contains(&one) && is_believed(&pki, &one));
    assert_eq!(pki.server_ids().len(), 2, "devices that know the first still sign for it");
    // From here on nothing can make up for the cross certificate.
    let cross = dir.path("keys/server-ca-2.cross.pem");
    let kept = fs::read(&cross).unwrap();
    fs::remove_file(&cross).unwrap();
    for known in [&known, &KnownKeys::default()] {
        let refused = dir.pki(NOW, known).unwrap_err();
        assert!(matches!(&refused, DataDirError::KeyGone { path, .. } if *path == cross), "{refused}");
    }
    fs::write(&cross, &kept).unwrap();
    dir.next_generation(NOW).unwrap();
    let third = dir.pki(NOW, &known).unwrap();
    assert!(is_believed(&third, &one), "over two cross certificates");
}

#[test]
fn a_generation_that_is_lost_or_another_s_is_missed() {
    let temp = TempDir::new().unwrap();
    let mut dir = DataDir::open(temp.path()).unwrap();
    dir.pki(NOW, &KnownKeys::default()).unwrap();
    dir.next_generation(NOW).unwrap();
    let known = relied_on(dir.pki(NOW, &KnownKeys::default()).unwrap().ids());
    let (key, cross) = (dir.path("keys/server-ca-2.pem"), dir.path("keys/server-ca-2.cross.pem"));
    let good = [fs::read(&key).unwrap(), fs::read(&cross).unwrap()];
    fs::remove_file(&key).unwrap();
    let refused = dir.pki(NOW, &known).unwrap_err();
    assert!(matches!(&refused, DataDirError::KeyGone { path, .. } if *path == key), "{refused}");
    let refused = dir.next_generation(NOW).unwrap_err();
    assert_eq!(refused.page(), Some("SERVER_KEY_LOST"), "{refused}");
    fs::write(&key, AuthorityPem::new_key().unwrap()).unwrap();
    let refused = dir.pki(NOW, &known).unwrap_err();
    assert!(matches!(&refused, DataDirError::KeyReplaced { path, .. } if *path == key), "{refused}");
    let refused = dir.pki(NOW, &KnownKeys::default()).unwrap_err();
    assert!(matches!(&refused, DataDirError::KeyReplaced { path, .. } if *path == cross), "{refused}");
    fs::write(&key, &good[0]).unwrap();
    // The right key, and another authority's word for it.
    let other = TempDir::new().unwrap();
    let mut stranger = DataDir::open(other.path()).unwrap();
    stranger.pki(NOW, &KnownKeys::default()).unwrap();
    fs::write(stranger.path("keys/server-ca-2.pem"), &good[0]).unwrap();
    stranger.pki(NOW, &KnownKeys::default()).unwrap();
    fs::copy(stranger.path("keys/server-ca-2.cross.pem"), &cross).unwrap();
    assert!(matches!(dir.pki(NOW, &known), Err(DataDirError::Damaged { .. })));
    fs::write(&cross, &good[1]).unwrap();
    dir.pki(NOW, &known).unwrap();
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

#[test]
fn nothing_is_made_by_a_clock_that_is_evidently_wrong() {
    let temp = TempDir::new().unwrap();
    let mut dir = DataDir::open(temp.path()).unwrap();
    let later = NOW.after(std::time::Duration::from_secs(100 * 86_400));
    dir.pki(later, &KnownKeys::default()).unwrap();
    let before = fs::read(dir.path("server-ca.pem")).unwrap();
    for (now, event) in [(Timestamp::from_seconds(60), "was made"), (NOW, "server-ca.pem begins")] {
        let refused = dir.next_generation(now).unwrap_err();
        assert!(matches!(refused, DataDirError::Clock { .. }), "{refused}");
        assert!(refused.to_string().contains(event), "{refused}");
        assert!(!dir.path("keys/server-ca-2.pem").exists());
    }
    assert!(matches!(dir.retire_generation(1, Timestamp::from_seconds(60)), Err(DataDirError::Clock { .. })));
    assert_eq!(fs::read(dir.path("server-ca.pem")).unwrap(), before);
    assert_eq!(dir.next_generation(later).unwrap(), 2);
}

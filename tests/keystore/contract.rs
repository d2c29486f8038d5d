//! What every key store has to do.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{CertificateSigningRequestParams, PublicKeyData as _};
use rustls::{SignatureScheme, crypto::ring, pki_types::CertificateSigningRequestDer};
use slipway_agent::{
    StateDir,
    identity::{self, IdentityError},
    keystore::{FileKeys, Key, KeyStore, Keys, Place},
};

/// A store on a folder that outlives it, as a disk outlives a start.
struct Kept {
    folder: tempfile::TempDir,
    open: Box<dyn Fn(&StateDir) -> Keys>,
    path: fn(&Path, Place) -> PathBuf,
}

impl Kept {
    fn new(open: impl Fn(&StateDir) -> Keys + 'static, path: fn(&Path, Place) -> PathBuf) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), open: Box::new(open), path }
    }

    fn keys(&self) -> Keys {
        (self.open)(&StateDir::new(self.folder.path()))
    }

    fn path(&self, place: Place) -> PathBuf {
        (self.path)(self.folder.path(), place)
    }
}

fn files() -> Kept {
    let path = |folder: &Path, place| {
        folder.join(match place {
            Place::Current => "key.pem",
            Place::Next => "key-next.pem",
        })
    };
    Kept::new(|state| Keys::File(FileKeys::new(state)), path)
}

fn keeps_its_keys(new: &dyn Fn() -> Kept) {
    let kept = new();
    for place in [Place::Current, Place::Next] {
        assert!(matches!(kept.keys().load(place), Err(IdentityError::Missing { .. })), "{place:?}");
    }
    let first = kept.keys().load_or_make().expect("a key");
    assert_eq!(kept.keys().load_or_make().expect("the key").public(), first.public());
    let next = kept.keys().load_or_make_next().expect("a second key");
    assert_ne!(next.public(), first.public());
    assert_eq!(kept.keys().load_or_make_next().expect("it").public(), next.public());
    assert_eq!(kept.keys().load(Place::Current).expect("the key").public(), first.public());
    for place in [Place::Current, Place::Next] {
        let mode = fs::metadata(kept.path(place)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{place:?}");
    }
}

fn a_damaged_key_is_not_replaced(new: &dyn Fn() -> Kept) {
    let kept = new();
    kept.keys().load_or_make().expect("a key");
    let next = kept.keys().load_or_make_next().expect("a second key");
    let whole = fs::read(kept.path(Place::Current)).expect("a file");
    for damage in [b"".to_vec(), b"not a key".to_vec(), whole[..whole.len() / 2].to_vec(), vec![0xff; 300]] {
        fs::write(kept.path(Place::Current), &damage).expect("a file");
        assert!(matches!(kept.keys().load_or_make(), Err(IdentityError::Damaged { .. })));
        fs::write(kept.path(Place::Next), &damage).expect("a file");
        assert_ne!(kept.keys().load_or_make_next().expect("another").public(), next.public());
    }
    fs::write(kept.path(Place::Current), &whole).expect("a file");
    kept.keys().load_or_make().expect("the key");
}

/// Whether a signature is one of the key, as whoever checks it sees it.
fn holds(key: &Key, message: &[u8], signature: &[u8]) -> bool {
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let (_, algorithms) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == SignatureScheme::ECDSA_NISTP256_SHA256)
        .expect("P-256");
    // By P-256 or by P-384: the first fits the key.
    algorithms.iter().any(|by| by.verify_signature(key.der_bytes(), message, signature).is_ok())
}

fn signs_for_whoever_asks(new: &dyn Fn() -> Kept) {
    let kept = new();
    let key = kept.keys().load_or_make().expect("a key");
    for message in [&b""[..], b"slipway-renew/v1\n", &[7; 5000]] {
        let signature = key.sign(message).expect("a signature");
        assert!(holds(&key, message, &signature));
        assert!(!holds(&key, b"something else", &signature));
    }

    let request = identity::signing_request(&key, "pump-1").expect("a request");
    let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request));
    assert_eq!(request.expect("a signed request").public_key.der_bytes(), key.der_bytes());

    let tls = key.for_tls().expect("a key for TLS");
    assert_eq!(tls.public_key().expect("its public key").as_ref(), key.public());
    assert!(tls.choose_scheme(&[SignatureScheme::ED25519, SignatureScheme::RSA_PSS_SHA256]).is_none());
    let offered = [SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256];
    let signer = tls.choose_scheme(&offered).expect("a scheme");
    assert_eq!(signer.scheme(), SignatureScheme::ECDSA_NISTP256_SHA256);
    assert!(holds(&key, b"a handshake", &signer.sign(b"a handshake").expect("a signature")));
}

fn changes_its_key_wherever_it_is_cut(new: &dyn Fn() -> Kept) {
    // Adopted so often, as after so many power cuts on the way.
    for times in 1..=3 {
        let kept = new();
        kept.keys().load_or_make().expect("a key");
        let next = kept.keys().load_or_make_next().expect("a second key");
        for _ in 0..times {
            kept.keys().adopt_next().expect("adopted");
            assert_eq!(kept.keys().load(Place::Current).expect("a key").public(), next.public());
            assert_eq!(kept.keys().load(Place::Next).expect("until it is forgotten").public(), next.public());
        }
        for _ in 0..times {
            kept.keys().forget_next().expect("forgotten");
            assert!(matches!(kept.keys().load(Place::Next), Err(IdentityError::Missing { .. })));
        }
        kept.keys().adopt_next().expect("nothing to do");
        let key = kept.keys().load(Place::Current).expect("the key");
        assert_eq!(key.public(), next.public());
        assert!(holds(&key, b"message", &key.sign(b"message").expect("a signature")));
    }
}

fn keeps_the_contract(new: &dyn Fn() -> Kept) {
    keeps_its_keys(new);
    a_damaged_key_is_not_replaced(new);
    signs_for_whoever_asks(new);
    changes_its_key_wherever_it_is_cut(new);
}

#[test]
fn keys_in_files_keep_the_contract() {
    keeps_the_contract(&files);
}

#[cfg(feature = "tpm")]
#[test]
fn keys_in_a_tpm_keep_the_contract() {
    use slipway_agent::keystore::tpm::TpmKeys;
    use slipway_tests::{processes::free_port, swtpm::SoftTpm};

    let mut tpm = SoftTpm::start();
    let keys = |address: &str| {
        let address: slipway_agent::keystore::tpm::Address = address.parse().expect("an address");
        move || {
            let address = address.clone();
            let path = |folder: &Path, place| {
                TpmKeys::new(&StateDir::new(folder), "/dev/null".parse().expect("a path")).path(place)
            };
            Kept::new(move |state| Keys::Tpm(TpmKeys::new(state, address.clone())), path)
        }
    };
    keeps_the_contract(&keys(&tpm.address()));
    assert_eq!(tpm.hold().loaded(), 0, "nothing stays in the TPM");
    let port = free_port();
    tpm.switch_on_at(port);
    signs_for_whoever_asks(&keys(&format!("swtpm:127.0.0.1:{port}")));
}

//! TPMs that do not do what they are asked: each is told by name, with what to do, and nothing is left behind.

use std::{io::Write as _, os::unix::net::UnixListener, thread};

use slipway_agent::{
    StateDir,
    identity::{self, IdentityError},
    keystore::{
        Key, KeyStore as _,
        tpm::{TpmError, TpmKeys},
    },
};
use slipway_tests::swtpm::SoftTpm;

/// A folder with a key of the TPM.
fn enrolled(tpm: &SoftTpm) -> (tempfile::TempDir, Key) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = keys(&folder, &tpm.address()).load_or_make().expect("a key");
    (folder, key)
}

fn keys(folder: &tempfile::TempDir, address: &str) -> TpmKeys {
    TpmKeys::new(&StateDir::new(folder.path()), address.parse().expect("an address"))
}

/// Why it does not sign: the same for a handshake, a challenge and a signing request.
fn trouble(key: &Key) -> TpmError {
    let error = match key.sign(b"message") {
        Err(IdentityError::Tpm(error)) => error,
        other => panic!("{other:?}"),
    };
    let request = identity::signing_request(key, "pump-1").expect_err("no signature");
    assert!(matches!(request, IdentityError::Tpm(_)), "{request:?}");
    assert_eq!(request.code(), error.code());
    let signer =
        key.for_tls().expect("a key").choose_scheme(&[rustls::SignatureScheme::ECDSA_NISTP256_SHA256]);
    let handshake = signer.expect("a scheme").sign(b"message").expect_err("no signature");
    let (code, words) = slipway_agent::keystore::of_handshake(&handshake).expect("a reason");
    assert_eq!(code, error.code());
    assert!(words.contains(error.hint()), "{words}");
    error
}

#[test]
fn a_tpm_that_was_cleared_or_is_another_does_not_know_the_key() {
    let tpm = SoftTpm::start();
    let (folder, key) = enrolled(&tpm);
    let other = SoftTpm::start();
    let moved = keys(&folder, &other.address()).load_or_make().expect("the file is whole");
    assert_eq!(trouble(&moved), TpmError::KeyLost { tpm: other.address() });
    assert_eq!(other.hold().loaded(), 0);

    key.sign(b"message").expect("its own TPM knows it");
    tpm.hold().clear();
    assert_eq!(trouble(&key), TpmError::KeyLost { tpm: tpm.address() });
    assert_eq!(tpm.hold().loaded(), 0);
    // Enrolling again does not put another key in the place of the one that the fleet knows.
    let again = keys(&folder, &tpm.address()).load_or_make().expect("the file is whole");
    assert_eq!(again.public(), key.public());
}

#[test]
fn a_tpm_that_is_not_there_is_not_needed_to_read_the_key() {
    let mut tpm = SoftTpm::start();
    let (folder, key) = enrolled(&tpm);
    tpm.switch_off();
    let again = keys(&folder, &tpm.address()).load_or_make().expect("the file is there");
    assert_eq!(again.public(), key.public());
    assert_eq!(trouble(&again).code(), "TPM_UNAVAILABLE");
    let nowhere = keys(&folder, "/dev/no-such-tpm");
    let error = trouble(&nowhere.load_or_make().expect("the file is there"));
    assert!(error.to_string().contains("/dev/no-such-tpm cannot be used: No such file"), "{error}");
    tpm.switch_on();
    again.sign(b"message").expect("it is back");
}

#[test]
fn what_is_no_tpm_is_not_believed() {
    let (folder, _) = enrolled(&SoftTpm::start());
    let strange = tempfile::tempdir().expect("a folder");
    let socket = strange.path().join("socket");
    let listener = UnixListener::bind(&socket).expect("a socket");
    // Nothing, a wrong length, a success without what belongs to it, a code that there is not.
    let answers: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0x80, 2, 0, 0, 0, 14, 0, 0, 0, 0, 0x80, 0, 0, 0],
        &[0x80, 1, 0, 0, 0, 10, 0xff, 0xff, 0xff, 0xff],
    ];
    let speaker = thread::spawn(move || {
        for answer in answers {
            // A connection each for the three that ask for a signature.
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().expect("a caller");
                stream.write_all(answer).expect("a listener");
            }
        }
    });
    let key = keys(&folder, &socket.display().to_string()).load_or_make().expect("the file is whole");
    for answer in answers {
        assert_eq!(trouble(&key).code(), "TPM_UNAVAILABLE", "{answer:?}");
    }
    speaker.join().expect("no panic");
}

#[test]
fn a_tpm_that_others_use_is_busy() {
    let tpm = SoftTpm::start();
    let (_folder, key) = enrolled(&tpm);
    let mut held = tpm.hold();
    let error = key.sign(b"message").expect_err("somebody has it");
    assert_eq!(error.code(), "TPM_BUSY", "{error}");
    held.fill();
    drop(held);
    let error = trouble(&key);
    assert!(error.to_string().contains("it has no room left"), "{error}");
}

#[test]
fn a_tpm_whose_owner_has_a_password_refuses() {
    let tpm = SoftTpm::start();
    let (folder, key) = enrolled(&tpm);
    tpm.hold().lock();
    let error = trouble(&key);
    assert_eq!(error.code(), "TPM_REFUSED");
    assert!(error.to_string().contains("refused to make its storage key: "), "{error}");
    let error = keys(&folder, &tpm.address()).load_or_make_next().expect_err("no second key");
    assert_eq!(error.code(), "TPM_REFUSED");
    assert_eq!(tpm.hold().loaded(), 0);
}

//! A set that is offered, and every point at which the power can go.

use std::{
    fs,
    sync::{Mutex, atomic::AtomicI64},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use slipway_proto::v1::TrustDelta;
use slipway_trust::{
    Date, Signer, Targets,
    fake::{self, DEVICE, Delta, Fake, PRODUCT},
};

use super::*;
use crate::{clock::Clock, link::GetError, verify::TrustStore};

fn certificate(is_ca: IsCa) -> String {
    let mut params = CertificateParams::new(vec!["one".to_owned()]).unwrap();
    params.is_ca = is_ca;
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn authority() -> String {
    certificate(IsCa::Ca(BasicConstraints::Unconstrained))
}

/// A server that has these bytes, or nothing, and keeps what it was asked for.
#[derive(Default)]
struct Server {
    has: Option<Vec<u8>>,
    asked: Mutex<Vec<String>>,
}

impl Source for Server {
    async fn get(&self, path: &str, into: &mut Vec<u8>, limit: usize) -> Result<(), GetError> {
        self.asked.lock().unwrap().push(path.to_owned());
        let path = path.to_owned();
        match &self.has {
            None => Err(GetError::Status { status: 404, path }),
            Some(bytes) if bytes.len() > limit => Err(GetError::TooLong { path, limit }),
            Some(bytes) => {
                into.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

async fn offered(signed: &[u8], has: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let server = Server { has: has.map(<[u8]>::to_vec), ..Server::default() };
    let fetched = fetch(&server, &Target::of(signed)).await;
    let asked = format!("/tuf/targets/_trust/{}.server-ca.pem", Sha256::of(signed));
    assert!(server.asked.lock().unwrap().iter().all(|path| *path == asked));
    fetched.map_err(|reason| reason.code)
}

#[tokio::test]
async fn only_what_the_owners_signed_is_taken_and_only_if_it_is_of_use() {
    let good = [authority(), authority()].concat().into_bytes();
    assert_eq!(offered(&good, Some(&good)).await.as_deref(), Ok(&good[..]));
    let refused = Err("SERVER_CA_REFUSED".to_owned());
    let other = [authority(), authority()].concat().into_bytes();
    assert_eq!(offered(&good, Some(&other[..good.len().min(other.len())])).await, refused, "another file");
    assert_eq!(offered(&good, Some(&good[1..])).await, refused, "a shorter one");
    let unavailable = Err("SERVER_CA_UNAVAILABLE".to_owned());
    assert_eq!(offered(&good, Some(&[&good[..], b"\n"].concat())).await, unavailable, "a longer one");
    assert_eq!(offered(&good, None).await, unavailable);
    // What the owners signed by mistake.
    let leaf = [authority(), certificate(IsCa::NoCa)].concat();
    let torn = authority().replacen("MII", "M!I", 1);
    for nonsense in ["", "words", &leaf, &torn, &authority().repeat(17), &" ".repeat(65 << 10)] {
        let bytes = nonsense.as_bytes();
        assert_eq!(offered(bytes, Some(bytes)).await, refused, "{} bytes", bytes.len());
    }
    let nameless = Target { sha256: None, ..Target::of(&good) };
    let server = Server { has: Some(good), ..Server::default() };
    assert!(fetch(&server, &nameless).await.is_err() && server.asked.lock().unwrap().is_empty());
}

fn sets(state: &StateDir) -> (usize, usize) {
    let (set, _) = Authorities::load(state).unwrap();
    (set.now.len(), set.before.len())
}

#[test]
fn the_set_before_counts_until_it_is_settled_wherever_the_power_goes() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(folder.path());
    assert!(Authorities::load(&state).is_err());
    let (one, two, three) = (authority(), authority().repeat(2), authority().repeat(3));
    fs::write(state.server_ca(), &one).unwrap();
    assert_eq!(sets(&state), (1, 0));
    // Between the two writes: both hold the old set.
    fs::write(state.server_ca_before(), &one).unwrap();
    assert_eq!(sets(&state), (1, 1));
    store(&state, two.as_bytes()).unwrap();
    assert_eq!(sets(&state), (2, 1));
    assert_eq!(digest(&state), Some(Sha256::of(two.as_bytes())));
    // Another one before the second was of any use: the first is what is known to work.
    store(&state, three.as_bytes()).unwrap();
    assert_eq!(sets(&state), (3, 1));
    settle(&state).unwrap();
    settle(&state).unwrap();
    assert_eq!(sets(&state), (3, 0));
    store(&state, two.as_bytes()).unwrap();
    assert_eq!(sets(&state), (2, 3), "the copy is of what was in use");
    // Either file may go bad.
    fs::write(state.server_ca_before(), "torn").unwrap();
    assert_eq!(sets(&state), (2, 0));
    fs::write(state.server_ca_before(), &three).unwrap();
    fs::write(state.server_ca(), "torn").unwrap();
    let (set, remark) = Authorities::load(&state).unwrap();
    assert_eq!((set.now.len(), remark.unwrap().code.as_str()), (3, "STATE_DAMAGED"));
    store(&state, one.as_bytes()).unwrap();
    assert_eq!(sets(&state), (1, 3), "what is damaged is not copied over what is not");
}

#[test]
fn a_device_names_every_server_that_it_would_believe() {
    let ids = |pem: &str| Authorities::from(&read(pem.as_bytes()).unwrap()[..]).ids();
    let (one, two) = (authority(), authority());
    let mut set = Authorities::from(&read(one.as_bytes()).unwrap()[..]);
    set.before = read(two.as_bytes()).unwrap();
    assert_eq!(set.ids(), [ids(&one), ids(&two)].concat());
}

/// 2027-01-15, after the agent's build time.
const NOW: i64 = 1_800_000_000;

/// The repository with other targets, signed by `by`, and everything else of it by the server's own keys.
fn naming(fake: &mut Fake, file: &[u8], by: &dyn Signer) -> TrustDelta {
    let mut body = Targets::parse("targets", &fake.repository.targets).unwrap();
    body.version += 1;
    body.targets.insert(SERVER_CA.to_owned(), Target::of(file));
    fake.repository.targets = fake::signed(&body, &[by]);
    fake.sign_online(2);
    let Delta { roots, timestamp, snapshot, targets, product, assignment } =
        fake.delta(fake.assignment(1, None));
    TrustDelta { roots, timestamp, snapshot, targets, product, assignment }
}

#[test]
fn whoever_has_all_keys_of_the_server_names_no_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (state, shown) = (StateDir::new(folder.path()), Arc::new(AtomicI64::new(NOW * 1000)));
    let clock = Clock::from_source({
        let shown = shown.clone();
        Arc::new(move || shown.load(Ordering::Relaxed))
    });
    let mut fake = Fake::new(Date::from_unix(NOW));
    TrustStore::pin(&state, &fake.repository.roots[0]).unwrap();
    let (mut trust, _) = TrustStore::open(&state, PRODUCT, DEVICE, &clock).unwrap();
    let keys = Fake::new(Date::from_unix(NOW)).keys;
    for thief in [&keys.director, &keys.timestamp, &keys.snapshot] {
        let mut stolen = Fake::new(Date::from_unix(NOW));
        let forged = naming(&mut stolen, b"the thief's", thief);
        assert!(trust.apply(&forged).is_err());
        assert!(trust.server_ca().is_none());
    }
    let mut honest = naming(&mut fake, b"the owners'", &keys.targets);
    fake.sign_online(3);
    let Delta { timestamp, snapshot, .. } = fake.delta(fake.assignment(1, None));
    (honest.timestamp, honest.snapshot) = (timestamp, snapshot);
    trust.apply(&honest).unwrap();
    assert!(trust.server_ca().is_some_and(|named| named.is(b"the owners'")));
    // What has expired may have been replaced long ago.
    shown.fetch_add(400 * 86_400_000, Ordering::Relaxed);
    assert!(trust.server_ca().is_none());
}

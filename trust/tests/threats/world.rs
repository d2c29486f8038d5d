//! A device that believes an honest repository, and the three things that are asked of every refusal.

use slipway_trust::fake::{self, Attack, DEVICE, Delta, Fake, PRODUCT};
use slipway_trust::{Change, Date, Error, Signer, Targets, TrustedSet};

/// When everything was signed.
pub const NOW: Date = Date::from_unix(1_795_305_600);
/// As far as a version goes.
pub const FAR: u64 = (1 << 53) - 1;

/// Declares one test for each attack of the directory: its rows in the attack table, and its name there.
macro_rules! attacks {
    ($( $(#[$doc:meta])* $test:ident: $name:literal, )*) => {
        /// Names of the attacks that are tested here.
        pub const ATTACKS: &[&str] = &[$($name),*];
        $( $(#[$doc])* #[test] fn $test() { crate::world::World::new().refuses_attack($name); } )*
    };
}
pub(crate) use attacks;

/// An honest repository, and a device that believes it and was assigned release 1.
pub struct World {
    /// The repository with everybody's keys.
    pub fake: Fake,
    /// The device.
    pub device: TrustedSet,
}

impl World {
    /// Everything signed at [`NOW`].
    pub fn new() -> Self {
        Self::of(Fake::new(NOW))
    }

    /// A device that believes this repository.
    pub fn of(fake: Fake) -> Self {
        let device = fake.device();
        Self { fake, device }
    }

    /// A device that was assigned the release of a counter, or hold, in this version.
    pub fn assigned(fake: Fake, version: u64, counter: Option<u64>) -> Self {
        let mut world = Self::of(fake);
        let bytes = world.fake.assignment(version, counter);
        assert_eq!(world.device.update_assignment(DEVICE, &bytes, NOW), Ok(Change::Accepted));
        world
    }

    /// A step is refused with this code and changes nothing; the next honest publication is believed.
    pub fn refuses<T>(&mut self, code: &str, step: impl FnOnce(&mut TrustedSet) -> Result<T, Error>) {
        self.refuses_step(code, step);
        self.believes_the_next_publication();
    }

    /// The first half of [`refuses`](Self::refuses), where what follows is a part of the threat.
    pub fn refuses_step<T>(&mut self, code: &str, step: impl FnOnce(&mut TrustedSet) -> Result<T, Error>) {
        let before = held(&self.device);
        let answer = step(&mut self.device).map(drop);
        assert_eq!(answer.as_ref().map_err(Error::code), Err(code), "{answer:?}");
        assert!(Error::CODES.contains(&code));
        assert_eq!(held(&self.device), before, "a refusal changes nothing");
    }

    /// The attack of that name in the directory.
    pub fn refuses_attack(&mut self, name: &str) {
        let attack = fake::attacks(&self.fake).into_iter().find(|attack| attack.name == name);
        let Attack { delta, code, .. } = attack.unwrap_or_else(|| panic!("no attack is called {name:?}"));
        self.refuses_delta(code, &delta);
    }

    /// Offers the pieces in order until one is refused, and then asks what is assigned. The pieces before it
    /// were honest by themselves.
    pub fn refuses_delta(&mut self, code: &str, delta: &Delta) {
        for (offer, bytes) in pieces(delta) {
            let mut tried = self.device.clone();
            if offer(&mut tried, bytes).is_err() {
                self.refuses(code, |device| offer(device, bytes));
                return;
            }
            self.device = tried;
        }
        self.refuses(code, |device| device.assigned(PRODUCT, DEVICE, NOW));
    }

    /// The owners answer with newer versions of everything: a liar with online keys may have spent some.
    pub fn believes_the_next_publication(&mut self) {
        let mut later = self.fake.clone();
        let mut top = Targets::parse("targets", &later.repository.targets).expect("its own bytes");
        let mut product = later.product();
        (top.version, product.version) = (top.version + 8, product.version + 7);
        later.repository.targets = fake::signed(&top, &[&later.keys.targets]);
        later.set_product(&product, 9);
        let honest = later.delta(later.assignment(9, Some(2))).feed(&mut self.device, NOW);
        assert_eq!(honest, Ok(Some(later.release(2).clone())), "the next honest step");
    }
}

type Offer = fn(&mut TrustedSet, &[u8]) -> Result<(), Error>;

/// What a delta carries, in the order in which an agent offers it.
fn pieces(delta: &Delta) -> Vec<(Offer, &[u8])> {
    let mut pieces: Vec<(Offer, &[u8])> = Vec::new();
    for root in &delta.roots {
        pieces.push((|device, bytes| device.update_root(bytes).map(drop), root));
    }
    pieces.push((|device, bytes| device.update_timestamp(bytes, NOW).map(drop), &delta.timestamp));
    pieces.push((|device, bytes| device.update_snapshot(bytes, NOW).map(drop), &delta.snapshot));
    pieces.push((|device, bytes| device.update_targets(bytes, NOW).map(drop), &delta.targets));
    pieces.push((|device, bytes| device.update_product(PRODUCT, bytes, NOW).map(drop), &delta.product));
    pieces.push((|device, bytes| device.update_assignment(DEVICE, bytes, NOW).map(drop), &delta.assignment));
    pieces.retain(|(_, bytes)| !bytes.is_empty());
    pieces
}

/// Everything that a device holds, byte by byte.
pub fn held(set: &TrustedSet) -> [Option<Vec<u8>>; 6] {
    [
        Some(set.root().bytes.clone()),
        set.timestamp().map(|held| held.bytes.clone()),
        set.snapshot().map(|held| held.bytes.clone()),
        set.targets().map(|held| held.bytes.clone()),
        set.product(PRODUCT).map(|held| held.bytes.clone()),
        set.assignment().map(|held| held.bytes.clone()),
    ]
}

/// Root `version` with the repository's present keys, signed by the two root keys that never change here.
pub fn root(fake: &Fake, version: u64, expires: Date) -> Vec<u8> {
    let body = slipway_trust::repo::root(version, expires, &fake::root_keys(&fake.keys));
    let signers: [&dyn Signer; 2] = [&fake.keys.root[0], &fake.keys.root[2]];
    fake::signed(&body, &signers)
}

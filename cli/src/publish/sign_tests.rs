use std::{fs, io};

use slipway_trust::{SecretKey, Sha256, TARGETS, repo::RootKeys};

use super::*;
use crate::{clock::Clock, keys::RootFile, output::Format, passphrase::Source, publish::current::Published};

const NOW: i64 = 1_795_356_185;

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

fn now() -> Date {
    Date::from_unix(NOW)
}

/// What a server has after `trust init` with the keys of this directory, whose root is kept in it.
struct Company {
    keys: KeyDir,
    root: RootFile,
    published: Published,
    _dir: tempfile::TempDir,
}

impl Company {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, n) in [("targets", 2), ("publisher", 6)] {
            fs::write(dir.path().join(format!("{name}.pem")), key(n).to_pem().unwrap().as_bytes()).unwrap();
        }
        let spec = |n| RoleSpec::single(key(n).public_key());
        let roles = RootKeys { root: spec(1), targets: spec(2), snapshot: spec(3), timestamp: spec(4) };
        let root = repo::sign(&repo::root(1, now().plus_days(400), &roles), &[&key(1)]).unwrap();
        let targets = repo::targets(1, now().plus_days(365), &spec(5), &[]).unwrap();
        let keys = KeyDir::new(dir.path(), Source::Terminal);
        keys.root_file().store(&root).unwrap();
        let targets = repo::sign(&targets, &[&key(2)]).unwrap();
        let published = Published { roots: vec![root], documents: [(TARGETS.to_owned(), targets)].into() };
        Self { root: keys.root_file(), keys, published, _dir: dir }
    }

    fn current(&self) -> Current {
        Current::verify(self.published.clone(), &self.root).unwrap()
    }

    fn publish(&mut self, plan: &Plan) -> Result<Signed, Failure> {
        self.publish_at(plan, now())
    }

    fn publish_at(&mut self, plan: &Plan, now: Date) -> Result<Signed, Failure> {
        let console = Console::to_writers(io::sink(), io::sink(), Format::Table, Clock::Fixed(0));
        let current = self.current();
        let signed = Hands::take(&mut self.keys, &current, &plan.product, false, now, &console)?
            .sign(&current, plan, now)?;
        if !signed.targets.is_empty() {
            self.published.documents.insert(TARGETS.to_owned(), signed.targets.clone());
        }
        self.published.documents.insert(plan.product.clone(), signed.product.clone());
        Ok(signed)
    }

    fn versions(&self) -> (u64, u64) {
        let current = self.current();
        (current.targets.version, current.product("pump").unwrap().version)
    }
}

fn plan(version: &str) -> Plan {
    Plan {
        product: "pump".into(),
        version: version.parse().unwrap(),
        artifact: Artifact {
            component: "system".into(),
            hardware: vec!["gw-a".into()],
            size: 8,
            digest: Sha256::of(b"firmware"),
            segment_size: slipway_payload::SEGMENT_SIZE,
            segments: vec![Sha256::of(b"firmware")],
        },
        floor: None,
        min_from: 0,
    }
}

#[test]
fn the_first_release_brings_the_delegation_and_the_second_does_not() {
    let mut company = Company::new();
    company.publish(&plan("1.0.0")).unwrap();
    assert_eq!(company.versions(), (2, 1));
    assert_eq!(company.publish(&plan("2.0.0")).unwrap().counter, 2);
    assert_eq!(company.versions(), (2, 2));
}

#[test]
fn targets_that_end_soon_are_signed_again_where_their_keys_are() {
    let mut company = Company::new();
    company.publish(&plan("1.0.0")).unwrap();
    let later = now().plus_days(330);
    company.publish_at(&plan("2.0.0"), later).unwrap();
    assert_eq!(company.versions(), (3, 2));
    fs::remove_file(company.keys.path().join("targets.pem")).unwrap();
    company.publish_at(&plan("3.0.0"), later.plus_days(330)).unwrap();
    assert_eq!(company.versions(), (3, 3), "the publishers can do without");
    let other = Plan { product: "valve".into(), ..plan("1.0.0") };
    assert_eq!(company.publish(&other).unwrap_err().reason_code(), Some("KEY_MALFORMED"));
}

#[test]
fn refusals_come_before_anything_is_sent() {
    let mut company = Company::new();
    company.publish(&plan("2.0.0")).unwrap();
    assert_eq!(
        company.publish(&plan("2.0.0")).unwrap_err().to_string(),
        "error: version 2.0.0 of pump is not newer than 2.0.0, which is published\n\
         hint: choose a version above 2.0.0; what is published is never replaced\n\
         see docs/errors/VERSION_NOT_NEWER.md"
    );
    assert_eq!(
        company.publish(&plan("2.0.0+again")).unwrap_err().to_string(),
        "error: version 2.0.0+again of pump is the same as 2.0.0, which is published, in another spelling\n\
         hint: choose a version above 2.0.0; what follows a '+' does not count\n\
         see docs/errors/VERSION_NOT_NEWER.md"
    );
    for (bad, reason) in [
        (Plan { floor: Some(3), ..plan("2.1.0") }, "MANIFEST_INVALID"),
        (Plan { min_from: 2, ..plan("2.1.0") }, "MANIFEST_INVALID"),
        (Plan { product: "root".into(), ..plan("1.0.0") }, "MANIFEST_INVALID"),
    ] {
        assert_eq!(company.publish(&bad).unwrap_err().reason_code(), Some(reason));
    }
    let mut short = Company::new();
    short.publish(&plan("5.0")).unwrap();
    assert_eq!(short.publish(&plan("5.0.0")).unwrap_err().reason_code(), Some("VERSION_NOT_NEWER"));
    let path = company.keys.path().join("publisher.pem");
    fs::write(path, key(7).to_pem().unwrap().as_bytes()).unwrap();
    let refusal = company.publish(&plan("2.1.0")).unwrap_err();
    assert_eq!(refusal.reason_code(), Some("PUBLISHER_NOT_AUTHORIZED"));
}

#[test]
fn a_floor_stays_until_it_is_raised() {
    let mut company = Company::new();
    company.publish(&Plan { floor: Some(1), ..plan("1.0.0") }).unwrap();
    company.publish(&plan("2.0.0")).unwrap();
    assert_eq!(company.current().newest("pump").unwrap().unwrap().floor, 1);
}

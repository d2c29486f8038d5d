use slipway_trust::{
    Date, SERVER_CA, SecretKey, Sha256, Signer as _, Target, Targets,
    repo::{self, RoleSpec, RootKeys},
};

use super::*;
use crate::keys::RootFile;

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

fn spec(keys: &[u8], threshold: u32) -> RoleSpec {
    RoleSpec { keys: keys.iter().map(|n| key(*n).public_key()).collect(), threshold }
}

fn ends(year: i64) -> Date {
    Date::from_unix(1_795_356_185).plus_days(365 * year)
}

fn roles(root: &[u8]) -> RootKeys {
    RootKeys {
        root: spec(root, 2),
        targets: spec(&[11, 12, 13], 2),
        snapshot: spec(&[21], 1),
        timestamp: spec(&[22], 1),
    }
}

fn top() -> Targets {
    repo::targets(3, ends(1), &spec(&[23], 1), &[("pump".to_owned(), spec(&[31, 32, 33], 2))]).unwrap()
}

/// A company of threes, and a draft that says `product` of the pump next.
fn drafted(folder: &Path, product: &Targets) -> (Draft, RootFile) {
    let root = repo::sign(&repo::root(1, ends(1), &roles(&[1, 2, 3])), &[&key(1), &key(2)]).unwrap();
    let targets = repo::sign(&top(), &[&key(11), &key(12)]).unwrap();
    let kept = RootFile::new(&folder.join("root.json"));
    kept.store(&root).unwrap();
    let published = Published { roots: vec![root], documents: [(TARGETS.to_owned(), targets)].into() };
    let documents = [("pump".to_owned(), repo::sign(product, &[]).unwrap())].into();
    let about = About { product: "pump".into(), ..About::new(Purpose::Release) };
    (Draft { about, documents, manifest: Vec::new(), server_ca: Vec::new(), published }, kept)
}

fn missing(review: &Review, draft: &Draft) -> usize {
    review.seats(draft).unwrap().iter().map(|seat| seat.signatures.missing()).sum()
}

#[test]
fn a_draft_goes_from_hand_to_hand_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let (draft, kept) = drafted(dir.path(), &Targets::empty(1, ends(1)));
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    draft.write(&one).unwrap();
    draft.write(&two).unwrap();
    assert!(draft.write(&one).is_err(), "never over another");
    assert!(Draft::is_at(&one) && !Draft::is_at(dir.path()));
    let mut first = Draft::read(&one).unwrap();
    assert_eq!(first, draft);

    let review = Review::new(&first, &kept).unwrap();
    assert_eq!(missing(&review, &first), 2);
    assert_eq!(review.sign(&mut first, &key(33)).unwrap(), ["pump"]);
    first.store(&one, "pump").unwrap();
    let mut second = Draft::read(&two).unwrap();
    review.sign(&mut second, &key(31)).unwrap();
    second.store(&two, "pump").unwrap();
    assert_eq!((missing(&review, &first), missing(&review, &second)), (1, 1));

    let mut both = Draft::read(&two).unwrap();
    both.merge(&Draft::read(&one).unwrap()).unwrap();
    assert_eq!(missing(&review, &both), 0);

    let stranger = review.sign(&mut both, &key(99)).unwrap_err();
    assert_eq!(stranger.reason_code(), Some("KEY_NOT_NAMED"));
    assert!(
        stranger.to_string().contains(&format!("pump of targets 3: {}", key(32).public_key())),
        "{stranger}"
    );
    let (other, _) = drafted(dir.path(), &Targets::empty(1, ends(2)));
    assert_eq!(both.merge(&other).unwrap_err().reason_code(), Some("DRAFT_INVALID"));
}

#[test]
fn a_root_is_signed_by_those_it_replaces_and_by_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (mut draft, kept) = drafted(dir.path(), &Targets::empty(1, ends(1)));
    let next = repo::root(2, ends(2), &roles(&[2, 3, 4]));
    draft.documents = [("root".to_owned(), repo::sign(&next, &[]).unwrap())].into();
    let review = Review::new(&draft, &kept).unwrap();
    let changes = review.changes().unwrap().join("\n");
    assert_eq!(
        changes,
        format!(
            "root: version 1 -> 2, ends 2028-11-21 (was 2027-11-22)\n  ~ root: 2 of 3 keys to sign (was 2 of 3 keys to sign)\n\
             \x20     + key {}\n      - key {}",
            key(4).public_key(),
            key(1).public_key()
        )
    );
    let state = |draft: &Draft| -> Vec<usize> {
        review.seats(draft).unwrap().iter().map(|seat| seat.signatures.missing()).collect()
    };
    assert_eq!(state(&draft), [2, 2]);
    for (n, expected) in [(1, [1, 2]), (4, [1, 1]), (3, [0, 0])] {
        review.sign(&mut draft, &key(n)).unwrap();
        assert_eq!(state(&draft), expected, "{n}");
    }
}

/// The certificate of a CA, PEM.
fn authority() -> Vec<u8> {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().into_bytes()
}

#[test]
fn who_signs_sees_which_cas_of_the_server_devices_will_know() {
    let dir = tempfile::tempdir().unwrap();
    let (mut draft, kept) = drafted(dir.path(), &Targets::empty(1, ends(1)));
    let file = authority();
    let mut next = top();
    next.version += 1;
    next.targets.insert(SERVER_CA.to_owned(), Target::of(&file));
    draft.documents = [(TARGETS.to_owned(), repo::sign(&next, &[]).unwrap())].into();
    draft.server_ca = file.clone();
    let path = dir.path().join("draft");
    draft.write(&path).unwrap();
    assert_eq!(Draft::read(&path).unwrap(), draft);
    let changes = Review::new(&draft, &kept).unwrap().changes().unwrap().join("\n");
    assert!(changes.contains(&format!("file {}", Sha256::of(&file))), "{changes}");
    assert!(changes.contains("+ CA with SHA-256 ") && !changes.contains("no device asks for"), "{changes}");
    // Who exchanges the file, or sends it along unseen, gets no signature.
    for other in [authority(), Vec::new(), b"words".to_vec()] {
        let refused = Review::new(&Draft { server_ca: other, ..draft.clone() }, &kept).unwrap_err();
        assert_eq!(refused.reason_code(), Some("DRAFT_INVALID"));
    }
    next.targets.insert(SERVER_CA.to_owned(), Target::of(b"words"));
    let mut nonsense = Draft { server_ca: b"words".to_vec(), ..draft.clone() };
    nonsense.documents = [(TARGETS.to_owned(), repo::sign(&next, &[]).unwrap())].into();
    assert_eq!(Review::new(&nonsense, &kept).unwrap_err().reason_code(), Some("SERVER_CA_REFUSED"));
    nonsense.documents =
        [(TARGETS.to_owned(), repo::sign(&Targets { version: 4, ..top() }, &[]).unwrap())].into();
    assert_eq!(Review::new(&nonsense, &kept).unwrap_err().reason_code(), Some("DRAFT_INVALID"));
    assert!(draft.merge(&Draft { server_ca: authority(), ..draft.clone() }).is_err());
}

#[test]
fn what_cannot_be_shown_or_does_not_follow_is_not_signed() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = |change: &dyn Fn(&mut Draft)| {
        let (mut draft, kept) = drafted(dir.path(), &Targets::empty(1, ends(1)));
        change(&mut draft);
        Review::new(&draft, &kept).unwrap_err().reason_code().unwrap_or_default().to_owned()
    };
    let put = |role: &str, bytes: Vec<u8>| {
        let role = role.to_owned();
        move |draft: &mut Draft| drop(draft.documents.insert(role.clone(), bytes.clone()))
    };
    let later = repo::sign(&Targets::empty(2, ends(1)), &[]).unwrap();
    assert_eq!(refusal(&put("pump", later.clone())), "DRAFT_INVALID");
    assert_eq!(
        refusal(&put("valve", repo::sign(&Targets::empty(1, ends(1)), &[]).unwrap())),
        "DRAFT_INVALID"
    );
    let hidden = String::from_utf8(repo::sign(&Targets::empty(1, ends(1)), &[]).unwrap()).unwrap();
    let hidden = hidden.replace("\"version\":1", "\"version\":1,\"x-hidden\":true").into_bytes();
    assert_eq!(refusal(&put("pump", hidden)), "DRAFT_INVALID");
    assert_eq!(refusal(&put("pump", b"{".to_vec())), "METADATA_MALFORMED");
    // What it says is published was signed by nobody we trust.
    let forged = repo::sign(&top(), &[&key(11), &key(99)]).unwrap();
    let refused =
        refusal(&|draft| drop(draft.published.documents.insert(TARGETS.to_owned(), forged.clone())));
    assert_eq!(refused, "SIGNATURES_MISSING");
    assert_eq!(refusal(&|draft| draft.published.roots.clear()), "TRUST_NOT_INITIALIZED");
}

#[test]
fn a_folder_that_is_no_draft_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let reason = |path: &Path| Draft::read(path).unwrap_err().reason_code().unwrap_or_default().to_owned();
    assert_eq!(reason(dir.path()), "DRAFT_INVALID");
    let (draft, _) = drafted(dir.path(), &Targets::empty(1, ends(1)));
    let path = dir.path().join("draft");
    draft.write(&path).unwrap();
    fs::write(path.join("sign/director.json"), "{}").unwrap();
    assert_eq!(reason(&path), "DRAFT_INVALID");
    fs::remove_file(path.join("sign/director.json")).unwrap();
    fs::write(path.join("draft.json"), "{\"_type\": \"slipway-draft/v9\", \"purpose\": \"trust\"}").unwrap();
    assert_eq!(reason(&path), "DRAFT_INVALID");
}

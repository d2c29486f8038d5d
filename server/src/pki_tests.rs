//! What is issued, and to whom not.

use rcgen::{BasicConstraints, IsCa};

use super::*;
use crate::model::time::DAY;

const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

fn request(pair: &KeyPair, name: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    // What a device asks for beside its key has no effect.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.subject_alt_names = vec![SanType::DnsName("admin.example".try_into().unwrap())];
    params.serialize_request(pair).unwrap().der().to_vec()
}

#[test]
fn only_the_key_of_a_request_counts() {
    let pki = Pki::in_memory(NOW).unwrap();
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let key = read_request(&request(&pair, "pump-1")).unwrap();
        assert_eq!(key.common_name, "pump-1");
        let issued = pki.issue_device("pump-1", &key, [0xff; 16], NOW).unwrap();
        let leaf = CertificateDer::from(issued.chain[0].clone());
        assert_eq!(spki_sha256(&leaf), Some(key.spki_sha256));
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        assert!(!parsed.is_ca());
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        assert_eq!(parsed.validity().not_after.timestamp(), issued.not_after.seconds());
    }
}

#[test]
fn requests_that_are_refused() {
    let pair = KeyPair::generate().unwrap();
    let good = request(&pair, "pump-1");
    assert!(matches!(read_request(b"hello"), Err(PkiError::NotARequest)));
    assert!(matches!(read_request(&[good.as_slice(), b"x"].concat()), Err(PkiError::NotARequest)));
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(read_request(&forged), Err(PkiError::NotSigned)));
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    assert!(matches!(read_request(&request(&p384, "pump-1")), Err(PkiError::WrongKey(_))));
    let mut nameless = CertificateParams::default();
    nameless.distinguished_name = DistinguishedName::new();
    let nameless = nameless.serialize_request(&pair).unwrap();
    assert!(matches!(read_request(nameless.der()), Err(PkiError::Nameless)));
}

/// A first generation and `more` that followed it.
fn generations(more: u32) -> Generations {
    let mut all = Generations::generate(NOW).unwrap();
    for number in 2..=1 + more {
        let (key, title) = (AuthorityPem::new_key().unwrap(), generation_title(number));
        all.cross.insert(0, all.newest.cross_sign(&key, &title, NOW).unwrap());
        let begins = starts(&all.newest.certificate).unwrap();
        all.newest = AuthorityPem::from_key(key, &title, Below::Authorities, begins, NOW).unwrap();
        all.pinned.insert(0, all.newest.certificate.clone());
        all.ids.insert(0, AuthorityPem::key_id(&all.newest.key).unwrap());
    }
    all
}

fn device_ca() -> AuthorityPem {
    AuthorityPem::generate("Slipway device CA", NOW).unwrap()
}

#[test]
fn a_stored_authority_issues_as_before() {
    let text = device_ca();
    let title = "Slipway device CA";
    let again = AuthorityPem::from_key(text.key.clone(), title, Below::Leaves, NOW, NOW).unwrap();
    let server = generations(0);
    let pki = Pki::new(&again, &server).unwrap();
    let identity = pki.issue_server(&["localhost".to_owned(), "::1".to_owned()], [1; 16], NOW).unwrap();
    assert_eq!(identity.chain.len(), 1);
    assert_eq!(pki.server_ca_pem(), server.newest.certificate);
}

#[test]
fn whoever_pinned_any_generation_follows_to_the_newest() {
    for more in 0..GENERATIONS {
        let stored = generations(more);
        let pki = Pki::new(&device_ca(), &stored).unwrap();
        assert_eq!(pki.server_ids().len(), stored.pinned.len());
        for pinned in &stored.pinned {
            let anchors = read_anchors(pinned.as_bytes()).unwrap();
            assert!(pki.is_believed_by(&anchors, NOW).unwrap(), "one of {}", more + 1);
            // Where the first began, and shortly before the end of what is shown.
            let starts = NOW.before(BACK_DATED);
            assert!(pki.is_believed_by(&anchors, starts).unwrap(), "at its begin");
        }
        let stranger = read_anchors(generations(0).newest.certificate.as_bytes()).unwrap();
        assert!(!pki.is_believed_by(&stranger, NOW).unwrap());
    }
}

#[test]
fn without_a_cross_certificate_the_way_ends_there() {
    let whole = generations(2);
    for missing in 0..2 {
        let mut stored = whole.clone();
        stored.cross.remove(missing);
        let pki = Pki::new(&device_ca(), &stored).unwrap();
        for (number, pinned) in stored.pinned.iter().enumerate() {
            let anchors = read_anchors(pinned.as_bytes()).unwrap();
            assert_eq!(
                pki.is_believed_by(&anchors, NOW).unwrap(),
                number <= missing,
                "{number} of {missing}"
            );
        }
    }
}

#[test]
fn nothing_that_is_shown_ends_before_the_leaf() {
    let pki = Pki::new(&device_ca(), &generations(1)).unwrap();
    let late = NOW.after(Duration::from_secs(25 * 365 * 24 * 3600));
    let shown = pki.issue_server(&["localhost".to_owned()], [1; 16], late).unwrap();
    let ends: Vec<_> = shown.chain.iter().map(|one| authority::life(one).unwrap().1).collect();
    assert!(ends[0] <= ends[1], "{ends:?}");
}

#[test]
fn no_certificate_is_made_that_holds_at_no_time() {
    let (first, ages) = (generations(0), 31 * 365 * DAY);
    let refused = first.newest.cross_sign(&AuthorityPem::new_key().unwrap(), "two", NOW.before(2 * DAY));
    assert!(matches!(refused, Err(PkiError::Life { .. })));
    let own = AuthorityPem::from_key(
        AuthorityPem::new_key().unwrap(),
        "two",
        Below::Authorities,
        NOW,
        NOW.before(ages),
    );
    assert!(matches!(own, Err(PkiError::Life { .. })));
}

#[test]
fn what_is_no_file_of_authorities_is_refused() {
    let all = generations(1);
    let good = all.pinned.concat();
    assert_eq!(read_anchors(good.as_bytes()).unwrap().len(), 2);
    assert_eq!(split_pem(&good).unwrap().len(), 2);
    let pki = Pki::new(&device_ca(), &all).unwrap();
    let leaf = pki.issue_server(&["localhost".to_owned()], [1; 16], NOW).unwrap().chain.remove(0);
    let leaf = pem_of(&leaf);
    let many = all.newest.certificate.repeat(17);
    let long = format!("{}{good}", " ".repeat(64 << 10));
    let torn = good.replacen("MII", "M!I", 1);
    for (what, text) in [
        ("nothing", ""),
        ("words", "this is no PEM"),
        ("a torn one", torn.as_str()),
        ("a key", &format!("{good}{}", all.newest.key)),
        ("a leaf", &format!("{good}{leaf}")),
        ("too many", &many),
        ("too long", &long),
    ] {
        assert!(read_anchors(text.as_bytes()).is_err(), "{what}");
    }
}

fn pem_of(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

#[test]
fn a_registered_key_is_one_that_somebody_can_have() {
    use rcgen::PublicKeyData as _;
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
        let good = KeyPair::generate_for(algorithm).unwrap().subject_public_key_info();
        assert_eq!(read_public_key(&good).unwrap(), Sha256::of(&good));
    }
    // The last bytes are those of a coordinate.
    let mut beside = KeyPair::generate().unwrap().subject_public_key_info();
    *beside.last_mut().unwrap() ^= 1;
    let refused = read_public_key(&beside).unwrap_err().to_string();
    assert!(refused.contains("no point of its curve"), "{refused}");
}

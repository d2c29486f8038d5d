//! What a chain costs whose every certificate a stranger chose.

use std::{cell::Cell, sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms},
    pki_types::{
        AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime,
        alg_id,
    },
    server::WebPkiClientVerifier,
};

use super::*;
use crate::{limits, manufacturer::check_chain, model::time::Timestamp};

/// 2026-01-01.
const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

thread_local! {
    /// Signatures that [`Counting`] looked at in this test.
    static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

/// ECDSA on P-256 with SHA-256 that finds no signature good: then every way is tried to its end.
#[derive(Debug)]
struct Counting;

impl SignatureVerificationAlgorithm for Counting {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }

    fn verify_signature(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        LOOKED_AT.set(LOOKED_AT.get() + 1);
        Err(InvalidSignature)
    }
}

/// How many signatures a verifier looks at before it gives the chain up.
fn cost(chain: &[Vec<u8>], authority: &[u8]) -> usize {
    static ALGORITHMS: WebPkiSupportedAlgorithms =
        WebPkiSupportedAlgorithms { all: &[&Counting], mapping: &[] };
    let ring = rustls::crypto::ring::default_provider();
    let provider = Arc::new(CryptoProvider { signature_verification_algorithms: ALGORITHMS, ..ring });
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority)).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let ders: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(NOW.seconds().unsigned_abs()));
    LOOKED_AT.set(0);
    assert!(verifier.verify_client_cert(&ders[0], &ders[1..], at).is_err());
    LOOKED_AT.get()
}

/// A certificate in which `issuer` says of `subject` that it is an authority, or a machine. Whose keys these
/// are matters to nobody who counts.
fn says(issuer: &str, subject: &str, is_authority: bool) -> Vec<u8> {
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        params
    };
    let mut params = named(subject);
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    }
    let issuer = Issuer::new(named(issuer), KeyPair::generate().unwrap());
    params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().to_vec()
}

/// A machine by the first, the first by the second and so on, as the pairs say.
fn chain(authorities: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let machine = says(authorities.first().map_or("Root", |(subject, _)| subject), "sn-17", false);
    let above = authorities.iter().map(|(subject, issuer)| says(issuer, subject, true));
    std::iter::once(machine).chain(above).collect()
}

#[test]
fn a_name_that_is_there_twice_is_refused_before_any_signature_is_checked() {
    let root = says("Root", "Root", true);
    let alike = chain(&[("Root", "Root"); limits::CHAIN - 1]);
    assert!(cost(&alike, &root) > 10 * limits::CHAIN, "what a verifier makes of it");
    let in_turns = [("A", "B"), ("B", "A"), ("A", "B"), ("B", "Root"), ("B", "A"), ("A", "Root"), ("B", "A")];
    for tangled in [alike, chain(&in_turns), chain(&[("sn-17", "Root")])] {
        assert_eq!(check_chain(&tangled, &root, NOW), Err(ManufacturerError::SameSubject));
    }
}

#[test]
fn what_is_not_refused_costs_a_signature_or_two_for_each_certificate() {
    let root = says("Root", "Root", true);
    let straight = [("A", "B"), ("B", "C"), ("C", "D"), ("D", "E"), ("E", "F"), ("F", "G"), ("G", "Root")];
    let with_root =
        [("A", "B"), ("B", "C"), ("C", "D"), ("D", "E"), ("E", "F"), ("F", "Root"), ("Root", "Root")];
    let circle = [("A", "B"), ("B", "C"), ("C", "D"), ("D", "E"), ("E", "F"), ("F", "G"), ("G", "A")];
    let fan = [
        ("A", "Root"),
        ("B", "Root"),
        ("C", "Root"),
        ("D", "Root"),
        ("E", "Root"),
        ("F", "Root"),
        ("G", "Root"),
    ];
    for (what, pairs) in [("straight", straight), ("with root", with_root), ("circle", circle), ("fan", fan)]
    {
        let chain = chain(&pairs);
        Path::of(&chain).unwrap();
        let cost = cost(&chain, &root);
        assert!(cost <= 2 * limits::CHAIN, "{what}: {cost}");
    }
}

#[test]
fn the_way_passes_those_who_issued_something_on_it_and_nobody_else() {
    let chain = chain(&[("A", "B"), ("B", "Root"), ("Z", "Elsewhere")]);
    let path = Path::of(&chain).unwrap();
    for (name, is_on_it) in [("A", true), ("B", true), ("Root", true), ("Z", false), ("Elsewhere", false)] {
        assert_eq!(path.may_lead_to(&says("anybody", name, true)), is_on_it, "{name}");
    }
    assert!(!path.may_lead_to(b"hello"));
    assert_eq!(Path::of(&[b"hello".to_vec()]).unwrap_err(), ManufacturerError::NotACertificate);
}

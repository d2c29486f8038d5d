//! Which certificates of a server are believed, and when.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use slipway_trust::Date;

use super::*;

fn authority() -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), Issuer::new(params, key))
}

/// A certificate for `server`, valid during 2027.
fn leaf(issuer: &Issuer<'static, KeyPair>) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["server".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2027, 1, 1), date_time_ymd(2028, 1, 1));
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
}

fn millis(date: &str) -> i64 {
    date.parse::<Date>().unwrap().millis()
}

#[test]
fn the_authorities_before_count_beside_those_in_use_and_prove_nothing() {
    let ((old, by_old), (new, by_new)) = (authority(), authority());
    let clock = Clock::from_source(Arc::new(|| millis("2027-06-01T00:00:00Z")));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let judge = |before: &[CertificateDer<'static>], leaf: &CertificateDer<'_>| {
        let mut set = Authorities::from(&[new.clone()][..]);
        set.before = before.to_vec();
        let verifier = EitherTime::new(&set, &clock, Dates::Count, &provider).unwrap();
        let name = ServerName::try_from("server").unwrap();
        let now = TrustedTime(clock.clone()).current_time().unwrap();
        let judged = verifier.verify_server_cert(leaf, &[], &name, &[], now);
        (judged.is_ok(), set.is_proved())
    };
    let before = [old];
    assert_eq!(judge(&before, &leaf(&by_new)), (true, true));
    assert_eq!(judge(&before, &leaf(&by_old)), (true, false), "the way back");
    assert_eq!(judge(&[], &leaf(&by_old)), (false, false));
    assert_eq!(judge(&before, &leaf(&authority().1)), (false, false));
    assert_eq!(judge(&[CertificateDer::from(vec![0])], &leaf(&by_new)), (true, true), "a bad copy");
}

#[test]
fn a_certificate_holds_by_trusted_time_or_by_the_system_s() {
    let (ca, issuer) = authority();
    let (_, stranger) = authority();
    let (good, foreign) = (leaf(&issuer), leaf(&stranger));
    let judge_by = |dates, system: &str, proved: &str, certificate: &CertificateDer<'_>, name: &str| {
        let system = millis(system);
        let clock = Clock::from_source(Arc::new(move || system));
        clock.raise_floor(millis(proved));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = Authorities::from(&[ca.clone()][..]);
        let verifier = EitherTime::new(&authorities, &clock, dates, &provider).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = TrustedTime(clock).current_time().unwrap();
        verifier.verify_server_cert(certificate, &[], &name, &[], now).is_ok()
    };
    let judge = |system: &str, proved: &str, certificate: &CertificateDer<'_>, name: &str| {
        judge_by(Dates::Count, system, proved, certificate, name)
    };
    let (before, during, after) = ("2026-12-01T00:00:00Z", "2027-06-01T00:00:00Z", "2029-01-01T00:00:00Z");
    assert!(judge(during, before, &good, "server"), "an honest world");
    assert!(judge("1970-01-01T00:00:00Z", during, &good, "server"), "a clock that forgot the year");
    assert!(judge(during, after, &good, "server"), "a proof beyond the certificate");
    assert!(!judge(after, before, &good, "server"), "expired by both");
    assert!(!judge(before, after, &good, "server"), "neither is within");
    for (system, proved) in [(during, before), (during, after)] {
        assert!(!judge(system, proved, &foreign, "server"), "another CA");
        assert!(!judge(system, proved, &good, "another"), "another name");
    }
    for (system, proved) in [(after, before), (before, after), (during, during)] {
        let ignoring = |certificate, name| judge_by(Dates::Ignored, system, proved, certificate, name);
        assert!(ignoring(&good, "server"), "dates do not count");
        assert!(!ignoring(&foreign, "server") && !ignoring(&good, "another"), "everything else does");
    }
}

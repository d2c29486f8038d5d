//! Which certificates of manufacturers are good for something.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::*;

/// 2026-01-01.
const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// CN=pump-1, as `openssl x509 -req` makes it unless it is given extensions: of version 1.
const OF_VERSION_1: &str = "\
MIIBHTCBwwIUHglw4clw1Yw/AJJ/9EkH3FWDk4QwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEQUNNRTAgFw0yNjExMjIxMTQ2MDJa\
GA8yMDUxMDcxNDExNDYwMlowETEPMA0GA1UEAwwGcHVtcC0xMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETiKish0oVfRfkFME\
fI7NC8cwceGFZQ6EPVIQaFMUanGTLzpkiEuP4LMSGl34N8YI1WIu8ZV42p53RnKiH9ZknDAKBggqhkjOPQQDAgNJADBGAiEAtg76\
NlY0PvDt41cxmCKuQZYsEXeqkab//9YelM47uVACIQDeCnLxVQxGiksj1jHVtYegluc5jOQiXMUeR95LngncqQ==";

struct Ca {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn named(name: &str, serial: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if !serial.is_empty() {
        let oid = DnType::CustomDnType(vec![2, 5, 4, 5]);
        params.distinguished_name.push(oid, serial);
    }
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(9999, 12, 31));
    params
}

fn ca(change: impl FnOnce(&mut CertificateParams), above: Option<&Ca>) -> Ca {
    let mut params = named("ACME devices", "");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = match above {
        Some(above) => params.signed_by(&key, &above.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Ca { der: certificate.der().to_vec(), issuer: Issuer::new(params, key) }
}

fn leaf(ca: &Ca, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = named("pump", "SN-17");
    change(&mut params);
    params.signed_by(&KeyPair::generate().unwrap(), &ca.issuer).unwrap().der().to_vec()
}

#[test]
fn the_serial_number_is_the_id_else_the_name() {
    let ca = ca(|_| {}, None);
    assert_eq!(device_id(&leaf(&ca, |_| {})), Ok("sn-17".to_owned()));
    assert_eq!(device_id(&leaf(&ca, |params| *params = named("PUMP-1", ""))), Ok("pump-1".to_owned()));
    assert_eq!(device_id(&leaf(&ca, |params| *params = named("pump-1", "no id"))), Ok("pump-1".to_owned()));
    let nameless = leaf(&ca, |params| *params = named("A pump", "17/3"));
    assert_eq!(device_id(&nameless), Err(ManufacturerError::Nameless));
    assert_eq!(device_id(b"hello"), Err(ManufacturerError::NotACertificate));
    assert_eq!(device_id(&[leaf(&ca, |_| {}), vec![0]].concat()), Err(ManufacturerError::NotACertificate));
    assert_eq!(device_id(&vec![0x30; limits::CERTIFICATE + 1]), Err(ManufacturerError::TooLarge));
}

#[test]
fn a_chain_leads_to_its_authority_and_to_no_other() {
    let (root, other) = (ca(|_| {}, None), ca(|_| {}, None));
    let middle = ca(|params| params.distinguished_name.push(DnType::CommonName, "Line 3"), Some(&root));
    let machine = leaf(&middle, |_| {});
    let chain = [machine.clone(), middle.der.clone()];
    assert_eq!(check_chain(&chain, &root.der, NOW), Ok(()));
    assert_eq!(check_chain(&[machine.clone(), middle.der.clone(), root.der.clone()], &root.der, NOW), Ok(()));
    assert_eq!(check_chain(&chain[..1], &middle.der, NOW), Ok(()), "an authority need not be a root");
    assert_eq!(check_chain(&chain[..1], &root.der, NOW), Err(ManufacturerError::OtherIssuer));
    // Of the same name, and yet another.
    assert!(check_chain(&chain, &other.der, NOW).is_err());
    assert!(check_chain(&[], &root.der, NOW).is_err());
    assert!(check_chain(&[b"hello".to_vec()], &root.der, NOW).is_err());
}

#[test]
fn what_is_wrong_with_a_chain() {
    let good = ca(|_| {}, None);
    let ended = |params: &mut CertificateParams| params.not_after = date_time_ymd(2025, 12, 31);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2027, 1, 1);
    let for_servers = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    for (leaf, words) in [
        (leaf(&good, ended), "it is not valid at this time"),
        (leaf(&good, early), "it is not valid at this time"),
        (
            ca(|_| {}, Some(&good)).der,
            "it is the certificate of an authority, not of a machine; the machine's has to come first",
        ),
        (
            leaf(&good, for_servers),
            "its extended key usage does not let it prove who a client is (clientAuth)",
        ),
    ] {
        assert_eq!(check_chain(&[leaf], &good.der, NOW).unwrap_err().to_string(), words);
    }
    let middle = ca(ended, Some(&good));
    assert_eq!(
        check_chain(&[leaf(&middle, |_| {}), middle.der], &good.der, NOW).unwrap_err().to_string(),
        "certificate 2 of the file leads nowhere: it is not valid at this time"
    );
    let dead = ca(ended, None);
    assert_eq!(check_chain(&[leaf(&dead, |_| {})], &dead.der, NOW), Err(ManufacturerError::Dates));
    // A machine's certificate does not issue others.
    let key = KeyPair::generate().unwrap();
    let params = named("pump", "sn-17");
    let machine = params.signed_by(&key, &good.issuer).unwrap().der().to_vec();
    let forger = Ca { der: machine.clone(), issuer: Issuer::new(params, key) };
    let forged = leaf(&forger, |params| *params = named("pump", "sn-18"));
    assert!(check_chain(&[forged, machine], &good.der, NOW).is_err(), "issued by a machine");
}

#[test]
fn a_certificate_without_a_place_for_extensions_is_told_by_its_version() {
    let der = BASE64.decode(OF_VERSION_1).unwrap();
    let old = ManufacturerError::OldVersion(1);
    assert!(
        old.to_string()
            .starts_with("it is an X.509 certificate of version 1, and one of version 3 is needed")
    );
    assert_eq!(device_id(&der), Err(old));
    let good = ca(|_| {}, None);
    assert_eq!(
        check_chain(std::slice::from_ref(&der), &good.der, NOW),
        Err(ManufacturerError::OldVersion(1))
    );
    assert_eq!(check_authority(&der, NOW), Err(ManufacturerError::OldVersion(1)));
    let named_so = ca(|params| params.distinguished_name.push(DnType::CommonName, "pump-1"), None);
    let above = check_chain(&[leaf(&named_so, |_| {}), der], &good.der, NOW).unwrap_err();
    assert!(
        above.to_string().starts_with("certificate 2 of the file leads nowhere: it is an X.509"),
        "{above}"
    );
}

#[test]
fn what_can_be_an_authority() {
    let good = ca(|_| {}, None);
    let described = check_authority(&good.der, NOW).unwrap();
    assert_eq!(described.subject, "CN=ACME devices");
    assert_eq!(describe(&good.der), Some(described));
    let machine = leaf(&good, |_| {});
    assert_eq!(check_authority(&machine, NOW), Err(ManufacturerError::NotAnAuthority));
    let signs_lists = ca(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign], None);
    assert_eq!(check_authority(&signs_lists.der, NOW), Err(ManufacturerError::NotAnAuthority));
    let dead = ca(|params| params.not_after = date_time_ymd(2025, 12, 31), None);
    assert_eq!(check_authority(&dead.der, NOW), Err(ManufacturerError::Dates));
    assert_eq!(check_authority(b"hello", NOW), Err(ManufacturerError::NotACertificate));
}

/// An authority (CN=Old) with a key of RSA with 1,024 bits.
const RSA_1024: &str = "\
MIIB+jCCAWOgAwIBAgIUJwhPmMPW0Z1oza6vP+mjArssLlAwDQYJKoZIhvcNAQELBQAwDjEMMAoGA1UEAwwDT2xkMCAXDTI2MTEyMjEy\
NDAxN1oYDzIwNTEwNzE0MTI0MDE3WjAOMQwwCgYDVQQDDANPbGQwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBALlyNuj1l9fKUfbH\
Zg0EAxilhC6of45U6bwLzONET/KDKx55I8PqDnQ0Cs5Tr53TtmZUDNiz5X1E9Ag7ZD7Hm6/DyLEr2zX2CGkKedlZ066QaYiHLnXVuvfc\
keA/cwqD9U5X5paGyN2x7WyWkCPQpGeU8urV9UwSiLiOEYenBtv3AgMBAAGjUzBRMB0GA1UdDgQWBBQH9r0r3GLkSd1M6pxtos+DL3ez\
YzAfBgNVHSMEGDAWgBQH9r0r3GLkSd1M6pxtos+DL3ezYzAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUAA4GBALb6hSXyDf/x\
JmWyDgPlpvVnzCf88FiVe2Fgo6jPc0KLVsxpsCpsjHeBb32YdJ2KSE+j4E3m7tuvoQHJB8cmwTqMOE2+q6J7RFgtry2F0u+WFak6gQr0\
xuRnu/MVEgI0MwfNwhHFiK3HiUSDKFueKuIg3WtdhpDjp3qOS4Elzcub";
/// An authority (CN=Wide) with a key on P-521.
const P_521: &str = "\
MIIB/DCCAV6gAwIBAgIUbvAXztEi8nszQXRpZ9z2P5RUluUwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEV2lkZTAgFw0yNjExMjIxMjQw\
MTdaGA8yMDUxMDcxNDEyNDAxN1owDzENMAsGA1UEAwwEV2lkZTCBmzAQBgcqhkjOPQIBBgUrgQQAIwOBhgAEAKtmBJLHpA52vaRpYyxQ\
//DMLEmIj+Kac5nHcznSlD51N0zGZ4zSrSrQDf7ky7Uz+C/iIP1ic3ypNdFivjhd5F9DAeu3C2opFPdtrnzTmiAcVlZawlNAnfo8yxZK\
h7ZwbbQ49Y7YfOFSlBotT7QGfXzsGXmlZOQlVC94A7+AJrJfEDKFo1MwUTAdBgNVHQ4EFgQUTwuivY0siUKLarAhK6aeaewLyykwHwYD\
VR0jBBgwFoAUTwuivY0siUKLarAhK6aeaewLyykwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgOBiwAwgYcCQR+j5Bt4+/i57DAE\
YQeAk8dynXGMJkp1TndDdSNQRJsVmShN75gZYyUB1BMzL6eGz6l6eDkVOQhgj9UPN068pCPLAkIBuSBhQK5zYIPhYgIutm7almL2fGvq\
ZHTgUWOYs4meUK/QsJYmx1PYIgfHbcuSR/yPvi7Gj+CtleaN+OuftEPRtSA=";

#[test]
fn an_authority_whose_signatures_nobody_verifies_is_refused_by_the_kind_of_its_key() {
    for (text, kind) in [(RSA_1024, "RSA of 1024 bits"), (P_521, "P-521")] {
        let der = BASE64.decode(text).unwrap();
        let now = describe(&der).unwrap().not_after.before(Duration::from_secs(86_400));
        assert_eq!(check_authority(&der, now), Err(ManufacturerError::Key(kind.to_owned())));
    }
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let mut params = named("ACME", "");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let good = params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap();
        assert!(check_authority(good.der(), NOW).is_ok());
    }
}

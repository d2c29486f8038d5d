//! The facts of a certificate that the agent goes by: from when, until when, for which key, and whether it is
//! that of an authority.
//!
//! A reader of just so much DER, because a library for all of X.509 would be the larger part of the agent.
//! Nothing is believed for having been read here: whether a certificate holds is decided by TLS.

use slipway_trust::Date;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const OCTETS: u8 = 0x04;
const TRUE: [u8; 3] = [0x01, 0x01, 0xff];
/// 2.5.29.19 (RFC 5280, 4.2.1.9), with its head.
const BASIC_CONSTRAINTS: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x13];
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// "YYMMDDHHMMSSZ": two digits from here on are of the last century (RFC 5280, 4.1.2.5.1).
const LAST_CENTURY: u32 = 50;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// From when it holds, in milliseconds.
    pub not_before: i64,
    /// Until when, in milliseconds.
    pub not_after: i64,
    /// Its public key: SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
}

impl Facts {
    /// Whether it holds at that moment, in milliseconds.
    pub fn holds_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

/// Reads a certificate in DER; none when it is not one.
pub fn read(der: &[u8]) -> Option<Facts> {
    read_with_rest(der).map(|(facts, _)| facts)
}

/// Whether it is the certificate of an authority: one that says so.
pub fn is_authority(der: &[u8]) -> bool {
    read_with_rest(der).is_some_and(|(_, rest)| says_authority(rest).unwrap_or(false))
}

/// With what stands behind the key.
fn read_with_rest(der: &[u8]) -> Option<(Facts, Reader<'_>)> {
    let mut certificate = Reader(Reader(der).value(SEQUENCE)?);
    let mut body = Reader(certificate.value(SEQUENCE)?);
    if body.0.first() == Some(&VERSION) {
        body.next()?;
    }
    // Serial, signature algorithm, issuer.
    for _ in 0..3 {
        body.next()?;
    }
    let mut validity = Reader(body.value(SEQUENCE)?);
    let (not_before, not_after) = (validity.time()?, validity.time()?);
    // Subject.
    body.next()?;
    let public_key = body.next().filter(|item| item.tag == SEQUENCE)?.whole.to_vec();
    Some((Facts { not_before, not_after, public_key }, body))
}

fn says_authority(mut body: Reader<'_>) -> Option<bool> {
    let listed = loop {
        let item = body.next()?;
        if item.tag == EXTENSIONS {
            break item.content;
        }
    };
    let mut listed = Reader(Reader(listed).value(SEQUENCE)?);
    loop {
        let extension = listed.value(SEQUENCE)?;
        if let Some(rest) = extension.strip_prefix(&BASIC_CONSTRAINTS) {
            let value = Reader(rest.strip_prefix(&TRUE).unwrap_or(rest)).value(OCTETS)?;
            return Some(Reader(value).value(SEQUENCE)?.starts_with(&TRUE));
        }
    }
}

/// One element.
struct Item<'a> {
    tag: u8,
    content: &'a [u8],
    /// With its head.
    whole: &'a [u8],
}

/// What is left to read.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Item<'a>> {
        let (&tag, after_tag) = self.0.split_first()?;
        let (&first, after_length) = after_tag.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), after_length),
            // Up to 64 KiB: certificates are a few hundred bytes.
            0x81 | 0x82 => {
                let (digits, rest) = after_length.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Item { tag, content, whole })
    }

    /// The content of the next element, which has to be one of this tag.
    pub(crate) fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|item| item.tag == tag).map(|item| item.content)
    }

    /// A moment, in milliseconds.
    fn time(&mut self) -> Option<i64> {
        let item = self.next()?;
        let text = str::from_utf8(item.content).ok().filter(|text| text.is_ascii())?;
        let text = match item.tag {
            UTC_TIME => {
                let year: u32 = text.get(..2)?.parse().ok()?;
                format!("{}{text}", if year < LAST_CENTURY { "20" } else { "19" })
            }
            GENERALIZED_TIME => text.to_owned(),
            _ => return None,
        };
        let part = |from: usize, to: usize| text.get(from..to);
        let (date, time) =
            ((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(8, 10)?, part(10, 12)?, part(12, 15)?));
        let spelled = format!("{}-{}-{}T{}:{}:{}", date.0, date.1, date.2, time.0, time.1, time.2);
        spelled.parse::<Date>().ok().map(Date::millis).filter(|_| text.len() == 15)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, date_time_ymd};

    use super::*;

    fn certificate(from: i32, to: i32) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["x".repeat(63)]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 2), date_time_ymd(to, 12, 31));
        (params.self_signed(&key).unwrap().der().to_vec(), key.subject_public_key_info())
    }

    #[test]
    fn reads_what_others_write() {
        // Years up to 2049 are written with two digits, later ones with four.
        for (from, to) in [(2026, 2027), (1975, 4096), (2049, 2050), (2050, 9999)] {
            let (der, public_key) = certificate(from, to);
            let millis = |text: String| text.parse::<Date>().unwrap().millis();
            let facts = Facts {
                not_before: millis(format!("{from}-01-02T00:00:00Z")),
                not_after: millis(format!("{to}-12-31T00:00:00Z")),
                public_key,
            };
            assert_eq!(read(&der), Some(facts.clone()));
            assert!(facts.holds_at(facts.not_before) && facts.holds_at(facts.not_after));
            assert!(!facts.holds_at(facts.not_before - 1) && !facts.holds_at(facts.not_after + 1));
        }
    }

    #[test]
    fn an_authority_says_that_it_is_one() {
        use rcgen::{BasicConstraints, IsCa};
        for (is_ca, expected) in [
            (IsCa::NoCa, false),
            (IsCa::ExplicitNoCa, false),
            (IsCa::Ca(BasicConstraints::Unconstrained), true),
            (IsCa::Ca(BasicConstraints::Constrained(0)), true),
        ] {
            let mut params = CertificateParams::new(vec!["x".to_owned()]).unwrap();
            params.is_ca = is_ca;
            let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(is_authority(der.der()), expected, "{is_ca:?}");
        }
        assert!(!is_authority(b"garbage"));
    }

    #[test]
    fn whatever_it_is_given_it_ends() {
        let (der, _) = certificate(2026, 2027);
        for length in 0..der.len() {
            assert_eq!(read(&der[..length]), None, "{length} bytes");
            assert!(!is_authority(&der[..length]), "{length} bytes");
        }
        for bit in 0..der.len() * 8 {
            let mut flipped = der.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Anything but a panic.
            let _ = (read(&flipped), is_authority(&flipped));
        }
        assert_eq!(read(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}

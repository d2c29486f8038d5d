//! The two parts of a key as a file: the format that OpenSSL's providers and engines for TPM 2.0 read as well
//! (ASN.1 Specification for TPM 2.0 Key Files).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tpm2_protocol::{
    TpmMarshal, TpmUnmarshal as _, TpmWriter,
    constant::TPM_MAX_COMMAND_SIZE,
    data::{Tpm2bPrivate, Tpm2bPublic, TpmAlgId, TpmEccCurve, TpmaObject, TpmuPublicId, TpmuPublicParms},
};

use crate::{certificate::Reader, identity::to_pem};

const LABEL: &str = "TSS2 PRIVATE KEY";

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const EMPTY_AUTH: u8 = 0xa0;

/// 2.23.133.10.1.3: a key to be loaded as it is.
const LOADABLE: &[u8] = &[0x67, 0x81, 0x05, 0x0a, 0x01, 0x03];
/// The owner hierarchy, TPM_RH_OWNER; with it the format means the P-256 storage key of the TCG's template
/// (EK Credential Profile, H-2), which is the one in `commands`.
const OWNER: &[u8] = &[0x40, 0x00, 0x00, 0x01];
const TRUE: &[u8] = &[0x01, 0x01, 0xff];

/// Bytes of a coordinate of P-256.
const COORDINATE: usize = 32;

/// A key as the TPM gave it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blobs {
    pub public: Tpm2bPublic,
    pub private: Tpm2bPrivate,
}

impl Blobs {
    /// The public key, uncompressed; none when it is no P-256 key that can sign.
    pub fn point(&self) -> Option<Vec<u8>> {
        let public = &self.public.inner;
        let (TpmuPublicParms::Ecc(kind), TpmuPublicId::Ecc(point)) = (&public.parameters, &public.unique)
        else {
            return None;
        };
        let signs = public.object_attributes.contains(TpmaObject::SIGN_ENCRYPT)
            && !public.object_attributes.contains(TpmaObject::RESTRICTED);
        let is_right = public.object_type == TpmAlgId::Ecc && kind.curve_id == TpmEccCurve::NistP256 && signs;
        let mut bytes = vec![0x04];
        for coordinate in [&point.x, &point.y] {
            // A TPM may leave out leading zeros.
            let missing = COORDINATE.checked_sub(coordinate.len())?;
            bytes.resize(bytes.len() + missing, 0);
            bytes.extend_from_slice(coordinate);
        }
        is_right.then_some(bytes)
    }

    pub fn to_pem(&self) -> String {
        let mut body = element(OBJECT, LOADABLE);
        body.extend(element(EMPTY_AUTH, TRUE));
        body.extend(element(INTEGER, OWNER));
        body.extend(element(OCTETS, &wire(&self.public)));
        body.extend(element(OCTETS, &wire(&self.private)));
        to_pem(LABEL, &element(SEQUENCE, &body))
    }

    /// None when it is not such a file, or a key that needs something else than this agent has.
    pub fn from_pem(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let (_, rest) = text.split_once(&format!("-----BEGIN {LABEL}-----"))?;
        let (body, _) = rest.split_once(&format!("-----END {LABEL}-----"))?;
        let digits: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(digits).ok()?;
        let mut whole = Reader(&der);
        let mut key = Reader(whole.value(SEQUENCE)?);
        if key.value(OBJECT)? != LOADABLE || key.value(EMPTY_AUTH)? != TRUE || key.value(INTEGER)? != OWNER {
            return None;
        }
        let (public, left) = Tpm2bPublic::unmarshal(key.value(OCTETS)?).ok()?;
        let (private, right) = Tpm2bPrivate::unmarshal(key.value(OCTETS)?).ok()?;
        let is_all = left.is_empty() && right.is_empty() && key.0.is_empty() && whole.0.is_empty();
        is_all.then_some(Self { public, private })
    }
}

/// As the TPM reads it; nothing if it is longer than the TPM reads, which then says so.
fn wire(value: &impl TpmMarshal) -> Vec<u8> {
    let mut buffer = [0; TPM_MAX_COMMAND_SIZE];
    let mut writer = TpmWriter::new(&mut buffer);
    match value.marshal(&mut writer) {
        Ok(()) => writer.as_bytes().to_vec(),
        Err(_) => Vec::new(),
    }
}

/// A DER element of less than 64 KiB.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let head: &[u8] = match content.len() {
        0..=0x7f => &[tag, low],
        0x80..=0xff => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}

/// An ECDSA signature, DER (RFC 3279, 2.2.3).
pub fn signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        // A leading one would be a minus.
        let digits = [&[0], &bytes[zeros..]].concat();
        let spare = usize::from(digits.get(1).is_some_and(|byte| *byte < 0x80));
        element(INTEGER, &digits[spare..])
    };
    element(SEQUENCE, &[number(r), number(s)].concat())
}

#[cfg(test)]
mod tests {
    use tpm2_protocol::data::{Tpm2bEccParameter, TpmsEccPoint};

    use super::*;
    use crate::keystore::tpm::commands::signing_key;

    /// A key whose x begins with a zero that the TPM left out.
    fn blobs() -> Blobs {
        let number = |bytes: &[u8]| Tpm2bEccParameter::try_from(bytes).unwrap();
        let mut inner = signing_key();
        inner.unique = TpmuPublicId::Ecc(TpmsEccPoint { x: number(&[7; 31]), y: number(&[9; 32]) });
        let private = Tpm2bPrivate::try_from([5; 126].as_slice()).unwrap();
        Blobs { public: Tpm2bPublic { inner }, private }
    }

    #[test]
    fn a_key_comes_back_from_its_file() {
        let pem = blobs().to_pem();
        assert!(pem.starts_with("-----BEGIN TSS2 PRIVATE KEY-----\n"), "{pem}");
        assert_eq!(Blobs::from_pem(pem.as_bytes()), Some(blobs()));
        let point = blobs().point().unwrap();
        assert_eq!(point, [&[4, 0][..], &[7; 31], &[9; 32]].concat());
    }

    #[test]
    fn a_file_that_was_changed_is_another_key_or_none() {
        let pem = blobs().to_pem();
        for length in 0..pem.len() - 2 {
            assert_eq!(Blobs::from_pem(&pem.as_bytes()[..length]), None, "{length}");
        }
        let der =
            STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
        for place in 0..der.len() {
            for bit in [1, 0x80] {
                let mut changed = der.clone();
                changed[place] ^= bit;
                let read = Blobs::from_pem(to_pem(LABEL, &changed).as_bytes());
                assert_ne!(read, Some(blobs()), "{place}");
                read.and_then(|blobs| blobs.point());
            }
        }
    }

    #[test]
    fn only_a_key_that_signs_what_it_is_given_is_one() {
        let changed = |change: fn(&mut Tpm2bPublic)| {
            let mut blobs = blobs();
            change(&mut blobs.public);
            blobs.point()
        };
        assert!(changed(|_| ()).is_some());
        assert!(changed(|public| public.inner.object_attributes |= TpmaObject::RESTRICTED).is_none());
        assert!(changed(|public| public.inner.object_attributes = TpmaObject::DECRYPT).is_none());
        assert!(changed(|public| public.inner.unique = TpmuPublicId::Null).is_none());
        assert!(
            changed(|public| {
                let TpmuPublicParms::Ecc(kind) = &mut public.inner.parameters else { return };
                kind.curve_id = TpmEccCurve::NistP384;
            })
            .is_none()
        );
    }

    #[test]
    fn numbers_of_a_signature_are_short_and_positive() {
        let of = |r: &[u8], s: &[u8]| signature(r, s);
        assert_eq!(of(&[0, 0, 5], &[0x80, 1]), [0x30, 8, 2, 1, 5, 2, 3, 0, 0x80, 1]);
        assert_eq!(of(&[0, 0], &[0x7f]), [0x30, 6, 2, 1, 0, 2, 1, 0x7f]);
        assert_eq!(of(&[0xff; 32], &[0xff; 32]).len(), 2 + 2 * (2 + 33));
    }

    #[test]
    fn lengths_are_those_of_der() {
        for (length, head) in
            [(0x7f, vec![4, 0x7f]), (0x80, vec![4, 0x81, 0x80]), (0x1234, vec![4, 0x82, 0x12, 0x34])]
        {
            let der = element(OCTETS, &vec![7; length]);
            assert_eq!(der[..head.len()], head);
            assert_eq!(Reader(&der).value(OCTETS), Some(&vec![7; length][..]));
        }
    }
}

//! Signed metadata on the wire, read within bounds.
//!
//! Written by hand because a list of empty byte strings takes two bytes an entry on the wire and twelve
//! times as much in memory: a server that lies could make a device of little memory fall over an answer of
//! a few megabytes, before anything in it is verified.

use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut},
    encoding::{DecodeContext, WireType, bytes, skip_field},
};

/// Signed metadata the device does not hold yet, byte for byte as signed. Untrusted until verified:
/// the device feeds it to its verifier in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrustDelta {
    /// Roots following the one the device holds, in order, at most [`TrustDelta::ROOTS`] a call. Of more, one
    /// more is read: whoever counts them sees that they were too many.
    pub roots: Vec<Vec<u8>>,
    /// Timestamp; empty when the device's is current.
    pub timestamp: Vec<u8>,
    /// Snapshot; empty when the device's is current.
    pub snapshot: Vec<u8>,
    /// Top-level targets; empty when the device's is current.
    pub targets: Vec<u8>,
    /// The delegated role of the device's product; empty when the device's is current.
    pub product: Vec<u8>,
    /// The device's assignment; empty when the device's is current.
    pub assignment: Vec<u8>,
}

impl TrustDelta {
    /// Roots that one answer may carry; a device that needs more asks again at once.
    pub const ROOTS: usize = 64;

    /// Every field but the roots, with its number.
    fn documents(&self) -> [(u32, &Vec<u8>); 5] {
        let Self { roots: _, timestamp, snapshot, targets, product, assignment } = self;
        [(2, timestamp), (3, snapshot), (4, targets), (5, product), (6, assignment)]
    }
}

impl Message for TrustDelta {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        bytes::encode_repeated(1, &self.roots, buf);
        for (tag, document) in self.documents().into_iter().filter(|(_, document)| !document.is_empty()) {
            bytes::encode(tag, document, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let document = match tag {
            1 if self.roots.len() <= Self::ROOTS => {
                return bytes::merge_repeated(wire_type, &mut self.roots, buf, ctx);
            }
            2 => &mut self.timestamp,
            3 => &mut self.snapshot,
            4 => &mut self.targets,
            5 => &mut self.product,
            6 => &mut self.assignment,
            _ => return skip_field(wire_type, tag, buf, ctx),
        };
        bytes::merge(wire_type, document, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        let documents = self.documents().into_iter().filter(|(_, document)| !document.is_empty());
        let documents: usize = documents.map(|(tag, document)| bytes::encoded_len(tag, document)).sum();
        bytes::encoded_len_repeated(1, &self.roots) + documents
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::v1::{CheckInResponse, FILE_DESCRIPTOR_SET};

    #[test]
    fn is_what_the_contract_says() {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("a descriptor set");
        let messages = set.file.iter().flat_map(|file| &file.message_type);
        let delta =
            messages.into_iter().find(|message| message.name() == "TrustDelta").expect("in the contract");
        let fields: Vec<_> = delta.field.iter().map(|field| (field.number(), field.name())).collect();
        let expected = ["roots", "timestamp", "snapshot", "targets", "product", "assignment"];
        assert_eq!(fields, (1..).zip(expected).collect::<Vec<_>>());

        let trust = TrustDelta {
            roots: vec![b"2".to_vec(), b"33".to_vec()],
            timestamp: b"t".to_vec(),
            assignment: b"a".to_vec(),
            ..TrustDelta::default()
        };
        let wire = trust.encode_to_vec();
        assert_eq!(wire, *b"\x0a\x012\x0a\x0233\x12\x01t\x32\x01a");
        assert_eq!(wire.len(), trust.encoded_len());
        let answer = CheckInResponse { trust: Some(trust), ..CheckInResponse::default() };
        let mut newer = answer.encode_to_vec();
        // A field of tomorrow.
        newer.extend(*b"\xa0\x06\x01");
        assert_eq!(CheckInResponse::decode(newer.as_slice()), Ok(answer));
        assert!(TrustDelta::decode(b"\x0a\x05ab".as_slice()).is_err(), "cut short");
    }

    #[test]
    fn of_millions_of_roots_one_too_many_is_kept() {
        let wire = b"\x0a\x00".repeat(4 << 20);
        let trust = TrustDelta::decode(wire.as_slice()).expect("they are well-formed");
        assert_eq!(trust.roots.len(), TrustDelta::ROOTS + 1);
        assert!(trust.roots.capacity() < 1000);
        // Nor in parts, which add up.
        let part = CheckInResponse { trust: Some(trust), ..CheckInResponse::default() }.encode_to_vec();
        let parts = CheckInResponse::decode(part.repeat(100).as_slice()).expect("they are well-formed");
        assert_eq!(parts.trust.expect("metadata").roots.len(), TrustDelta::ROOTS + 1);
    }
}

//! One bit per segment.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which segments of an artifact are known to be right in the slot and synced. Written as hex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bitmap {
    bytes: Vec<u8>,
}

impl Bitmap {
    /// Sets the bit of a segment.
    pub fn set(&mut self, index: u32) {
        let (byte, mask) = place(index);
        if self.bytes.len() <= byte {
            self.bytes.resize(byte + 1, 0);
        }
        self.bytes[byte] |= mask;
    }

    /// Whether the bit of a segment is set.
    pub fn has(&self, index: u32) -> bool {
        let (byte, mask) = place(index);
        self.bytes.get(byte).is_some_and(|bits| bits & mask != 0)
    }

    /// How many bits are set.
    pub fn count(&self) -> u32 {
        self.bytes.iter().map(|bits| bits.count_ones()).sum()
    }
}

fn place(index: u32) -> (usize, u8) {
    ((index / 8) as usize, 1 << (index % 8))
}

impl Serialize for Bitmap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hex: String = self.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&hex)
    }
}

impl<'de> Deserialize<'de> for Bitmap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        let pairs = hex.as_bytes().chunks(2);
        let bytes = pairs
            .map(|pair| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect::<Option<Vec<u8>>>()
            .ok_or_else(|| de::Error::custom("a bitmap is written as hex digits"))?;
        Ok(Self { bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_bits_through_text() {
        let mut bits = Bitmap::default();
        for index in [0, 7, 8, 1000] {
            bits.set(index);
        }
        let text = serde_json::to_string(&bits).unwrap();
        let read: Bitmap = serde_json::from_str(&text).unwrap();
        assert_eq!(read, bits);
        assert_eq!(read.count(), 4);
        assert!(read.has(1000) && !read.has(1001) && !read.has(9) && !read.has(u32::MAX));
        assert!(serde_json::from_str::<Bitmap>("\"0g\"").is_err());
    }
}

//! `boot.env`: the boot loader's variables of the file driver, as text with a checksum.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::machine::Slot;

/// The variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Env {
    /// Boots when nothing is tried.
    pub default: Slot,
    /// Is, or was, tried.
    pub trying: Option<Slot>,
    /// Boots of it that are left.
    pub tries_left: u32,
    /// Never booted.
    pub unbootable: Option<Slot>,
    /// Runs now.
    pub running: Slot,
    /// Changes with every boot.
    pub boot_id: String,
}

impl Env {
    /// A device fresh from the factory.
    pub fn first(boot_id: String) -> Self {
        Self { default: Slot::A, trying: None, tries_left: 0, unbootable: None, running: Slot::A, boot_id }
    }

    /// What the boot loader does: the tried slot once, else the default.
    pub fn boot(&mut self, boot_id: String) {
        self.running = match self.trying {
            Some(slot) if self.tries_left > 0 && self.unbootable != Some(slot) => {
                self.tries_left -= 1;
                slot
            }
            _ => self.default,
        };
        self.boot_id = boot_id;
    }

    /// The text, with its checksum as last line.
    pub fn to_text(&self) -> String {
        let slot = |slot: Option<Slot>| slot.map_or("none", Slot::as_str);
        let mut text = format!(
            "default={}\ntry={}\ntries_left={}\nunbootable={}\nrunning={}\nboot_id={}\n",
            self.default,
            slot(self.trying),
            self.tries_left,
            slot(self.unbootable),
            self.running,
            self.boot_id,
        );
        let checksum = crc32c::crc32c(text.as_bytes());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "crc={checksum:08x}");
        text
    }

    /// Reads the text back; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (body, checksum) = text
            .strip_suffix('\n')
            .and_then(|text| text.rsplit_once("crc="))
            .ok_or("the checksum line is missing")?;
        let expected = format!("{:08x}", crc32c::crc32c(body.as_bytes()));
        if checksum != expected {
            return Err(format!("the checksum is {checksum}, the content has {expected}"));
        }
        let values: BTreeMap<&str, &str> = body.lines().filter_map(|line| line.split_once('=')).collect();
        let get = |key| values.get(key).copied().ok_or(format!("{key} is missing"));
        let number = |key| get(key)?.parse::<u64>().map_err(|_| format!("{key} is not a number"));
        let slot = |key| match get(key)? {
            "a" => Ok(Some(Slot::A)),
            "b" => Ok(Some(Slot::B)),
            "none" => Ok(None),
            other => Err(format!("{key} is {other:?}")),
        };
        let required = |key| slot(key)?.ok_or(format!("{key} is none"));
        Ok(Self {
            default: required("default")?,
            trying: slot("try")?,
            tries_left: u32::try_from(number("tries_left")?).map_err(|_| "tries_left is too large")?,
            unbootable: slot("unbootable")?,
            running: required("running")?,
            boot_id: get("boot_id")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_with_a_flipped_bit() {
        let mut env = Env::first("0123".to_owned());
        env.trying = Some(Slot::B);
        env.tries_left = 1;
        let text = env.to_text();
        assert_eq!(Env::parse(&text), Ok(env));
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(flipped) = String::from_utf8(bytes) {
                assert!(Env::parse(&flipped).is_err(), "bit {bit}");
            }
        }
        for cut in 0..text.len() {
            assert!(Env::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn tries_once_and_goes_back() {
        let mut env = Env::first("0".to_owned());
        env.trying = Some(Slot::B);
        env.tries_left = 1;
        env.boot("1".to_owned());
        assert_eq!((env.running, env.tries_left), (Slot::B, 0));
        env.boot("2".to_owned());
        assert_eq!((env.running, env.default), (Slot::A, Slot::A));
        env.tries_left = 1;
        env.unbootable = Some(Slot::B);
        env.boot("3".to_owned());
        assert_eq!(env.running, Slot::A, "an unbootable slot is not tried");
    }
}

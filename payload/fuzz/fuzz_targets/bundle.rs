//! A bundle: what is read whole has one spelling, and passing over a content takes no more than reading it.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use slipway_payload::bundle::{BLOCK, BundleError, Reader, header, padding};

/// Enough for several entries: what is larger is refused by its size alone.
const LIMIT: usize = 64 << 10;

fuzz_target!(|bytes: &[u8]| {
    let entries = count(bytes);
    let taken = read(bytes, entries, |_| true);
    if let Ok(contents) = &taken {
        assert_eq!(write(contents), bytes);
    }
    assert_eq!(read(bytes, entries, |_| false).is_ok(), taken.is_ok());
    assert_eq!(read(bytes, entries, |index| index % 2 == 0).is_ok(), taken.is_ok());
});

/// How many entries come before the first thing that is none.
fn count(bytes: &[u8]) -> usize {
    let mut reader = Reader::new(Cursor::new(bytes));
    let mut next = || {
        let entry = reader.entry()?;
        reader.pass(&entry, LIMIT)
    };
    std::iter::from_fn(|| next().ok()).count()
}

/// Reads that many entries and the end: the contents of those that are taken.
fn read(
    bytes: &[u8],
    entries: usize,
    takes: impl Fn(usize) -> bool,
) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
    let mut reader = Reader::new(Cursor::new(bytes));
    let mut contents = Vec::new();
    for index in 0..entries {
        let entry = reader.entry()?;
        if takes(index) {
            contents.push((entry.name.clone(), reader.take(&entry, LIMIT)?));
        } else {
            reader.pass(&entry, LIMIT)?;
        }
    }
    reader.finish()?;
    Ok(contents)
}

fn write(contents: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in contents {
        let size = content.len() as u64;
        bytes.extend(header(name, size).expect("what was read can be written"));
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + padding(size), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

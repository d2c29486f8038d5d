//! Writes the inputs that the fuzzers start from: `cargo run --example seeds`, in this folder.

use std::fs;
use std::io;
use std::path::Path;

use slipway_payload::bundle::{BLOCK, MANIFEST, assignment_name, header, metadata_name, padding, root_name};
use slipway_payload::encode;

fn main() -> io::Result<()> {
    let frame = encode(&[7; 4000]).map_err(io::Error::other)?;
    let entries = [
        (root_name(1), b"{}".to_vec()),
        (metadata_name("timestamp"), vec![b' '; BLOCK]),
        (assignment_name("pump-1"), vec![b' '; BLOCK + 1]),
        (MANIFEST.to_owned(), vec![b' '; BLOCK - 1]),
        (format!("segments/{}", "0".repeat(64)), frame.clone()),
    ];
    write("bundle", "whole", &archive(&entries)?)?;
    write("bundle", "one", &archive(&entries[..1])?)?;
    write("bundle", "none", &archive(&[])?)?;
    write("frame", "same", &frame)?;
    write("frame", "text", &encode(b"one two three, and again one two three").map_err(io::Error::other)?)
}

fn archive(entries: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (name, content) in entries {
        let size = content.len() as u64;
        bytes.extend(header(name, size).ok_or_else(|| io::Error::other("a name that no header holds"))?);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + padding(size), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    Ok(bytes)
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new("seeds").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

//! Writes the inputs that the fuzzers start from: `cargo run --example seeds`, in this folder.

use std::fs;
use std::io;
use std::path::Path;

use slipway_trust::fake::{DEVICE, PRODUCT, attacks};
use slipway_trust_fuzz::repository;

fn main() -> io::Result<()> {
    let fake = repository();
    let files = &fake.repository;
    let manifest = fake.manifests.values().next().map_or(&[][..], Vec::as_slice);
    let assignment = fake.assignment(2, Some(2));
    let product = &files.delegated[PRODUCT];
    for (target, name, bytes) in [
        ("root", "honest", files.roots[0].as_slice()),
        ("timestamp", "honest", &files.timestamp),
        ("snapshot", "honest", &files.snapshot),
        ("targets", "top", &files.targets),
        ("targets", "product", product),
        ("assignment", "release", &assignment),
        ("assignment", "hold", &fake.assignment(3, None)),
        ("manifest", "honest", manifest),
        ("canon", "manifest", manifest),
        ("canon", "text", br#"{"a":[true,null,-7,"\u0041\n\"\\"],"b":{}}"#),
        ("envelope", "timestamp", &files.timestamp),
        ("envelope", "root", &files.roots[0]),
        ("date", "now", fake.now.to_string().as_bytes()),
        ("version", "pair", b"1.2.3-rc.1+5\n1.2.3"),
        ("digest", "hex", &[b'0'; 64]),
        ("path", "release", b"pump/1.0.0.json\npump/*"),
        ("path", "assignment", b"assignments/pump/1.0.0.json\nassignments/*/*"),
        ("stored", "device", DEVICE.as_bytes()),
    ] {
        write(target, name, bytes)?;
    }
    for attack in attacks(fake) {
        let name = attack.name.replace(' ', "-");
        let delta = &attack.delta;
        let root = delta.roots.first().map_or(&[][..], Vec::as_slice);
        for (target, bytes) in
            [("root", root), ("timestamp", &delta.timestamp), ("assignment", &delta.assignment)]
        {
            // What is nested or long for its own sake the fuzzers find out by themselves.
            if (1..6_000).contains(&bytes.len()) && delta.product.is_empty() && delta.snapshot.is_empty() {
                write(target, &name, bytes)?;
            }
        }
    }
    Ok(())
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new("seeds").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

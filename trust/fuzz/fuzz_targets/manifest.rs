//! A release manifest: what is read is written alike.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::Manifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        let written = manifest.to_bytes().expect("what was read is valid");
        assert_eq!(Manifest::parse(&written), Ok(manifest.clone()));
        for artifact in &manifest.artifacts {
            let _ = manifest.artifact_for(&artifact.component, &artifact.hardware[0]);
        }
    }
});

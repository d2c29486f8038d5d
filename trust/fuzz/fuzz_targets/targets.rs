//! A targets file: whom it delegates to, what it matches, and the releases that it lists.

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_trust::Targets;
use slipway_trust::fake::PRODUCT;
use slipway_trust::repo::Body as _;
use slipway_trust_fuzz::{NOW, again, device};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(targets) = Targets::parse("targets", bytes) {
        again(targets.to_json(), |bytes| Ok(Targets::parse("targets", bytes)?.to_json()));
        for role in &targets.delegations.roles {
            let _ = targets.authority(&role.name);
            for path in targets.targets.keys() {
                let _ = role.paths.matches(path);
            }
        }
        let _ = targets.releases(PRODUCT);
    }
    let mut device = device();
    let _ = device.update_targets(bytes, NOW);
    let _ = device.update_product(PRODUCT, bytes, NOW);
});

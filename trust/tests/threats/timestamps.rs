//! Timestamps: replayed, frozen, forged, and lies about the time.

use slipway_trust::fake::{self, DEVICE, PRODUCT};
use slipway_trust::{Change, Error, Stored, Timestamp, TrustedSet, repo};

use crate::world::{NOW, World, attacks};

attacks! {
    /// Row 15.
    older: "timestamp older",
    /// Row 17.
    expired: "timestamp expired",
    /// Row 19.
    names_an_older_snapshot: "timestamp naming an older snapshot",
    /// Row 1, one document down.
    signed_by_a_stranger: "timestamp of a stranger",
    /// Row 23, for the online keys.
    signed_by_the_snapshot_key: "timestamp signed by the snapshot key",
    /// Row 53: an online key may not set a device's clock past all that is signed offline.
    signed_after_the_end_of_the_root: "timestamp from after the root's end",
    /// Row 53.
    signed_after_its_own_end: "timestamp signed when it had expired",
}

/// Row 16.
#[test]
fn an_equal_one_is_dropped_without_a_word() {
    let World { fake, mut device } = World::new();
    let mut other = Timestamp::parse(&fake.repository.timestamp).expect("its own bytes");
    other.expires = NOW.plus_days(900);
    let same_version = fake::signed(&other, &[&fake.keys.timestamp]);
    assert_eq!(device.update_timestamp(&same_version, NOW), Ok(Change::Unchanged));
    assert_eq!(device.timestamp().map(|held| &held.bytes), Some(&fake.repository.timestamp));
}

/// Row 18.
#[test]
fn a_stored_one_that_expired_is_followed_by_a_fresh_one() {
    let mut world = World::new();
    let old = world.fake.repository.timestamp.clone();
    let stored = Stored { timestamp: Some(&old), ..Stored::default() };
    let root = &world.fake.repository.roots[0];
    let (mut set, left_out) = TrustedSet::load(root, stored, DEVICE).expect("a root");
    assert_eq!(left_out, []);
    let later = NOW.plus_days(30);
    world.fake.now = later;
    world.fake.sign_online(3);
    assert_eq!(set.update_timestamp(&world.fake.repository.timestamp, later), Ok(Change::Accepted));
}

/// Row 56: the software runs on, and nothing is installed.
#[test]
fn a_server_that_says_unchanged_for_ever_makes_a_device_stale() {
    let device = World::new().device;
    let week = repo::lifetime::TIMESTAMP_DAYS;
    assert!(device.assigned(PRODUCT, DEVICE, NOW.plus_days(week).plus_seconds(-1)).is_ok());
    let stale = device.assigned(PRODUCT, DEVICE, NOW.plus_days(week));
    assert!(matches!(stale, Err(Error::Expired { document, .. }) if document == "timestamp"));
}

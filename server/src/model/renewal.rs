//! Whether a device gets a new certificate, and what becomes of its keys.

use std::time::Duration;

use slipway_trust::Sha256;

use super::{
    device::{Approval, Device, DeviceState},
    refusal::{Reason, Refusal},
    time::{DAY, Timestamp},
};

/// A renewal that a device asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The key that it proved to hold, as one that is on record for it.
    pub proved: Sha256,
    /// The key that the certificate shall be for, proved too.
    pub wanted: Sha256,
}

/// What becomes of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The device's from now on.
    pub current: Sha256,
    /// Announced, and good from its first use.
    pub next: Option<Sha256>,
}

/// Decides. `limit` is how long after its end a certificate is renewed without an operator's yes; with
/// zero, never. [`Reason::RenewalNeedsApproval`] means that the device has to wait for one.
pub fn decide(device: &Device, asked: &Asked, limit: Duration, now: Timestamp) -> Result<Keys, Refusal> {
    if device.state == DeviceState::Revoked {
        return Err(revoked(&device.id));
    }
    if device.state == DeviceState::Registered {
        return Err(refused("the device has not enrolled yet"));
    }
    let is_promoted = device.standing.next_key == Some(asked.proved);
    if !is_promoted && asked.proved != device.spki_sha256 {
        return Err(refused("the key that signed is not this device's"));
    }
    let late = now.since(device.certificate_not_after);
    if late > limit && device.standing.renewal != Approval::Approved {
        return Err(Refusal::new(
            Reason::RenewalNeedsApproval,
            format!(
                "the certificate of {} ended {} days ago, which is longer than it is renewed without asking",
                device.id,
                late.as_secs() / DAY.as_secs()
            ),
            format!("have an operator look into it: slipway device unquarantine {}", device.id),
        ));
    }
    let current = if is_promoted { asked.proved } else { device.spki_sha256 };
    Ok(Keys { current, next: (asked.wanted != current).then_some(asked.wanted) })
}

/// The refusal for whoever does not prove that he is the device. Strangers learn nothing else from it.
pub fn refused(what: &str) -> Refusal {
    Refusal::new(
        Reason::RenewalRefused,
        format!("the renewal is refused: {what}"),
        "ask for a new challenge and sign it with the key that the device enrolled with",
    )
}

/// The refusal for a device that was taken out of the fleet.
pub fn revoked(id: &str) -> Refusal {
    Refusal::new(
        Reason::DeviceRevoked,
        format!("the device {id} was revoked"),
        "if it should come back, enrol it under a new key and a new id",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        device::{Inventory, Standing},
        rollout_fixtures::START,
    };

    const LIMIT: Duration = Duration::from_secs(3650 * 86_400);

    fn key(name: &str) -> Sha256 {
        Sha256::of(name.as_bytes())
    }

    fn device(change: impl FnOnce(&mut Device)) -> Device {
        let mut device = Device {
            id: "pump-1".to_owned(),
            product: "pump".to_owned(),
            hardware: "gw-a".to_owned(),
            state: DeviceState::Active,
            spki_sha256: key("old"),
            standing: Standing::default(),
            certificate_serial: "01".to_owned(),
            certificate_not_after: START,
            enrolled_by: String::new(),
            labels: Default::default(),
            inventory: Inventory::default(),
            have: Default::default(),
            failures: 0,
            quarantined_until: None,
            created_at: START,
            updated_at: START,
            generation: 1,
        };
        change(&mut device);
        device
    }

    fn keys(device: &Device, proved: &str, wanted: &str) -> Result<(Sha256, Option<Sha256>), Reason> {
        let asked = Asked { proved: key(proved), wanted: key(wanted) };
        decide(device, &asked, LIMIT, START)
            .map(|keys| (keys.current, keys.next))
            .map_err(|refusal| refusal.reason)
    }

    #[test]
    fn what_becomes_of_the_keys() {
        let plain = device(|_| {});
        assert_eq!(keys(&plain, "old", "old"), Ok((key("old"), None)));
        assert_eq!(keys(&plain, "old", "new"), Ok((key("old"), Some(key("new")))));
        assert_eq!(keys(&plain, "new", "new"), Err(Reason::RenewalRefused), "not announced");
        let changing = device(|device| device.standing.next_key = Some(key("new")));
        assert_eq!(keys(&changing, "old", "new"), Ok((key("old"), Some(key("new")))), "asked again");
        assert_eq!(keys(&changing, "old", "third"), Ok((key("old"), Some(key("third")))), "thought again");
        assert_eq!(keys(&changing, "old", "old"), Ok((key("old"), None)), "given up");
        assert_eq!(keys(&changing, "new", "new"), Ok((key("new"), None)), "used");
        assert_eq!(keys(&changing, "new", "third"), Ok((key("new"), Some(key("third")))));
        assert_eq!(keys(&changing, "third", "new"), Err(Reason::RenewalRefused));
    }

    #[test]
    fn who_was_away_for_too_long_waits_for_a_yes() {
        let asked = Asked { proved: key("old"), wanted: key("old") };
        let outcome = |change: fn(&mut Device), limit, late| {
            decide(&device(change), &asked, limit, START.after(late)).err().map(|refusal| refusal.reason)
        };
        let wait = Some(Reason::RenewalNeedsApproval);
        assert_eq!(outcome(|_| {}, LIMIT, LIMIT), None);
        assert_eq!(outcome(|_| {}, LIMIT, LIMIT + DAY), wait);
        assert_eq!(outcome(|_| {}, Duration::ZERO, Duration::ZERO), None, "not expired");
        assert_eq!(outcome(|_| {}, Duration::ZERO, Duration::from_secs(1)), wait, "zero: never without");
        let late = LIMIT + DAY;
        assert_eq!(outcome(|device| device.standing.renewal = Approval::Waiting, LIMIT, late), wait);
        assert_eq!(outcome(|device| device.standing.renewal = Approval::Approved, LIMIT, late), None);
        // Who waits for a yes keeps its certificate; who has not enrolled has none to keep.
        assert_eq!(outcome(|device| device.state = DeviceState::Pending, LIMIT, LIMIT), None);
        let registered = outcome(|device| device.state = DeviceState::Registered, LIMIT, Duration::ZERO);
        assert_eq!(registered, Some(Reason::RenewalRefused));
        assert_eq!(
            outcome(|device| device.state = DeviceState::Revoked, LIMIT, late),
            Some(Reason::DeviceRevoked)
        );
    }
}

//! Claims: the right to enrol devices.

use slipway_trust::Sha256;

use super::{
    enrolment::{Grant, check_product, other_hardware},
    glob,
    label::Labels,
    refusal::{Reason, Refusal},
    time::Timestamp,
};

/// A claim; of the secret only its hash is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Its id; part of the claim text.
    pub id: String,
    /// SHA-256 of the secret part.
    pub secret_sha256: Sha256,
    /// The product its devices will belong to.
    pub product: String,
    /// Hardware models that may use it; never empty.
    pub hardware: Vec<String>,
    /// Labels its devices start with.
    pub labels: Labels,
    /// How many devices may use it.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// Only this device may use it; empty means any.
    pub device_id: String,
    /// Only devices whose ids match may use it; empty means any.
    pub device_id_pattern: String,
    /// Whether its devices wait for an operator's yes.
    pub approve: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When an operator ended it, if so.
    pub revoked_at: Option<Timestamp>,
}

/// Most devices for one claim: a production batch, not a fleet.
pub const MAX_USES: u32 = 100_000;
/// Most hardware models for one claim.
pub const MAX_HARDWARE: usize = 32;

impl Claim {
    /// Whether a device may enrol with it now, leaving open whether a use is left: a device that
    /// repeats its call needs none.
    ///
    /// `product` is what the machine expects to belong to, empty for nothing in particular.
    pub fn admits(
        &self,
        device_id: &str,
        hardware: &str,
        product: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.revoked_at.is_some() {
            return Err(Refusal::new(
                Reason::ClaimUnknown,
                "an operator ended this claim",
                "ask for a new claim: slipway claim create",
            ));
        }
        if now >= self.expires_at {
            return Err(Refusal::new(
                Reason::ClaimExpired,
                format!("the claim {} has expired", self.id),
                "ask for a new claim: slipway claim create",
            ));
        }
        if !self.device_id.is_empty() && self.device_id != device_id {
            return Err(Refusal::new(
                Reason::DeviceIdInvalid,
                format!("this claim is for the device {}, not for {device_id}", self.device_id),
                format!("enrol with --device-id {}, or ask for a claim for any device", self.device_id),
            )
            .field("device_id"));
        }
        if !self.device_id_pattern.is_empty() && !glob::matches(&self.device_id_pattern, device_id) {
            return Err(Refusal::new(
                Reason::DeviceIdInvalid,
                format!("this claim is for devices {}, not for {device_id}", self.device_id_pattern),
                "enrol with a --device-id that matches, or ask for another claim",
            )
            .field("device_id"));
        }
        if !self.hardware.iter().any(|model| model == hardware) {
            return Err(other_hardware("this claim", &self.hardware.join(", "), hardware));
        }
        check_product(product, &self.product)
    }

    /// What a device starts with that uses it.
    pub fn grant(&self) -> Grant {
        Grant {
            by: format!("claims/{}", self.id),
            product: self.product.clone(),
            labels: self.labels.clone(),
            approve: self.approve,
        }
    }

    /// Whether a use is left.
    pub fn check_uses(&self) -> Result<(), Refusal> {
        if self.used < self.uses {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::ClaimUsed,
            format!("all {} uses of this claim are spent", self.uses),
            "ask for a new claim: slipway claim create (with --uses N for several devices)",
        )
        .fact("uses", self.uses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            id: "c".into(),
            secret_sha256: Sha256::of(b""),
            product: "pump".into(),
            hardware: vec!["gw-a".into()],
            labels: Labels::new(),
            uses: 1,
            used: 0,
            device_id: String::new(),
            device_id_pattern: String::new(),
            approve: false,
            created_at: Timestamp::from_seconds(0),
            created_by: String::new(),
            expires_at: Timestamp::from_seconds(100),
            revoked_at: None,
        }
    }

    #[test]
    fn who_may_use_it() {
        let now = Timestamp::from_seconds(99);
        let reason =
            |claim: &Claim, id, hardware, now| claim.admits(id, hardware, "", now).err().map(|r| r.reason);
        assert_eq!(reason(&claim(), "a", "gw-a", now), None);
        assert_eq!(reason(&claim(), "a", "gw-b", now), Some(Reason::HardwareUnknown));
        assert_eq!(reason(&claim(), "a", "gw-a", Timestamp::from_seconds(100)), Some(Reason::ClaimExpired));
        let bound = Claim { device_id: "b".into(), ..claim() };
        assert_eq!(reason(&bound, "a", "gw-a", now), Some(Reason::DeviceIdInvalid));
        assert_eq!(reason(&bound, "b", "gw-a", now), None);
        let some = Claim { device_id_pattern: "pump-*".into(), ..claim() };
        assert_eq!(reason(&some, "valve-1", "gw-a", now), Some(Reason::DeviceIdInvalid));
        assert_eq!(reason(&some, "pump-1", "gw-a", now), None);
        let other = claim().admits("a", "gw-a", "valve", now).unwrap_err();
        assert_eq!(other.reason, Reason::ProductMismatch);
        assert!(claim().admits("a", "gw-a", "pump", now).is_ok());
        let ended = Claim { revoked_at: Some(now), ..claim() };
        assert_eq!(reason(&ended, "a", "gw-a", now), Some(Reason::ClaimUnknown));
    }

    #[test]
    fn uses_run_out() {
        assert!(claim().check_uses().is_ok());
        assert_eq!(Claim { used: 1, ..claim() }.check_uses().unwrap_err().reason, Reason::ClaimUsed);
    }
}

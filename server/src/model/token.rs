//! Bearer tokens: what they may do, and what they look like.

use slipway_trust::Sha256;

use super::{id, time::Timestamp};

/// A token; of the secret only its hash is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its id; part of the bearer text.
    pub id: String,
    /// SHA-256 of the secret part.
    pub secret_sha256: Sha256,
    /// For people; appears in the audit log.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// For roles that have one, the devices it is for, as a selector over labels; else empty.
    pub scope: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked, if so.
    pub revoked_at: Option<Timestamp>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sees devices, releases, rollouts and alerts.
    Viewer,
    /// Also schedules, labels, claims, sets limits, handles alerts.
    Operator,
    /// Sees what a viewer sees and publishes releases.
    Publisher,
    /// Everything.
    Admin,
    /// The devices in its scope, what they measure and their alerts, and nothing else.
    Client,
    /// Hands in metrics of the devices in its scope, and nothing else.
    Ingest,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 6] =
        [Role::Viewer, Role::Operator, Role::Publisher, Role::Admin, Role::Client, Role::Ingest];

    /// Whether a token of this role is for the devices of a scope; the others are for all.
    pub fn has_scope(self) -> bool {
        matches!(self, Role::Client | Role::Ingest)
    }

    /// As it is stored and written.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Publisher => "publisher",
            Role::Admin => "admin",
            Role::Client => "client",
            Role::Ingest => "ingest",
        }
    }

    /// Reads [`Role::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Role::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// Random bytes of a secret: 256 bits, so that a plain hash of it is safe to keep.
pub const SECRET_BYTES: usize = 32;

/// The bearer text of a token: `slip_<id>_<secret>`; secret scanners can find it by its prefix.
pub fn bearer(id: &str, secret: &[u8; SECRET_BYTES]) -> String {
    written("slip", id, secret)
}

/// The text of a claim: `slipclaim_<id>_<secret>`.
pub fn claim_text(id: &str, secret: &[u8; SECRET_BYTES]) -> String {
    written("slipclaim", id, secret)
}

/// What is kept of a secret.
pub fn hash(secret: &[u8; SECRET_BYTES]) -> Sha256 {
    Sha256::of(id::hex(secret).as_bytes())
}

/// Id and hash of the secret of a bearer text; none when it is not one.
pub fn read_bearer(text: &str) -> Option<(&str, Sha256)> {
    read("slip", text)
}

/// Id and hash of the secret of a claim; none when it is not one.
pub fn read_claim(text: &str) -> Option<(&str, Sha256)> {
    read("slipclaim", text)
}

/// Whether two hashes are equal, in a time that does not depend on where they differ.
pub fn same(a: &Sha256, b: &Sha256) -> bool {
    let difference = a.as_bytes().iter().zip(b.as_bytes()).fold(0_u8, |sum, (x, y)| sum | (x ^ y));
    std::hint::black_box(difference) == 0
}

fn written(prefix: &str, id: &str, secret: &[u8; SECRET_BYTES]) -> String {
    format!("{prefix}_{id}_{}", id::hex(secret))
}

fn read<'a>(prefix: &str, text: &'a str) -> Option<(&'a str, Sha256)> {
    let (id, secret) = text.strip_prefix(prefix)?.strip_prefix('_')?.split_once('_')?;
    let id_ok = !id.is_empty() && id.len() <= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let secret_ok = secret.len() == SECRET_BYTES * 2 && secret.bytes().all(|b| b.is_ascii_hexdigit());
    (id_ok && secret_ok).then(|| (id, Sha256::of(secret.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_text_is_read_back() {
        let text = bearer("0a1b", &[7; SECRET_BYTES]);
        let (id, digest) = read_bearer(&text).unwrap();
        assert_eq!(id, "0a1b");
        assert!(same(&digest, &hash(&[7; SECRET_BYTES])));
        assert!(!same(&digest, &hash(&[8; SECRET_BYTES])));
    }

    #[test]
    fn what_is_not_one() {
        let good = bearer("0a1b", &[7; SECRET_BYTES]);
        let claim = claim_text("0a1b", &[7; SECRET_BYTES]);
        for bad in ["", "slip_", "slip__", "slip_a_b", &good[1..], &good[..good.len() - 1], &claim] {
            assert!(read_bearer(bad).is_none(), "{bad}");
        }
        assert!(read_claim(&good).is_none());
    }
}

//! How long each signed role lives, and when somebody has to be told.

use std::{collections::BTreeMap, sync::Mutex};

use super::trust_set::{ONLINE_ROLES, TrustSet};
use crate::model::time::{DAY, Timestamp};

/// Days before its end at which an offline role is spoken of, the first notice first. At 0 it is over:
/// devices install nothing of what it vouches for.
const NOTICES: [i64; 4] = [60, 30, 14, 0];

/// The life of a role's newest document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// `root`, `targets`, a product, or one of the server's own.
    pub role: String,
    /// Its version.
    pub version: u64,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The server signs it anew by itself.
    pub is_online: bool,
}

impl Life {
    /// Seconds left; negative when it is over.
    pub fn seconds_left(&self, now: Timestamp) -> i64 {
        (self.expires_at.millis() - now.millis()).div_euclid(1_000)
    }

    /// The last notice that was due by now; none when its end is far.
    fn notice(&self, now: Timestamp) -> Option<i64> {
        let day = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
        let left = self.expires_at.millis() - now.millis();
        NOTICES.into_iter().filter(|days| left <= days * day).min()
    }
}

/// Every role of the set, the one that ends first at the top.
pub fn lives(set: &TrustSet) -> Vec<Life> {
    let root = &set.trusted.root().body;
    let mut lives = vec![Life {
        role: "root".to_owned(),
        version: root.version,
        expires_at: Timestamp::from_millis(root.expires.millis()),
        is_online: false,
    }];
    lives.extend(set.files().map(|file| Life {
        role: file.role.clone(),
        version: file.version,
        expires_at: file.expires_at,
        is_online: ONLINE_ROLES.contains(&file.role.as_str()),
    }));
    lives.sort_by(|a, b| (a.expires_at, &a.role).cmp(&(b.expires_at, &b.role)));
    lives
}

/// What this process has said: of each role, the version and the notice.
#[derive(Debug, Default)]
pub struct Said(Mutex<BTreeMap<String, (u64, i64)>>);

impl Said {
    /// The offline roles that a notice is due for which was not given yet.
    pub fn due(&self, lives: Vec<Life>, now: Timestamp) -> Vec<Life> {
        let mut said = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_due = |life: &Life| {
            let Some(notice) = life.notice(now).filter(|_| !life.is_online) else { return false };
            said.insert(life.role.clone(), (life.version, notice)) != Some((life.version, notice))
        };
        lives.into_iter().filter(is_due).collect()
    }

    /// Writes them into the log.
    pub fn warn(&self, set: &TrustSet, now: Timestamp) {
        for life in self.due(lives(set), now) {
            let (role, version, days_left) =
                (&life.role, life.version, life.seconds_left(now).div_euclid(86_400));
            match days_left {
                ..0 => tracing::warn!(
                    role,
                    version,
                    "an offline signature has run out: devices install nothing until it is renewed; slipway trust rotate"
                ),
                _ => tracing::warn!(
                    role,
                    version,
                    days_left,
                    "an offline signature runs out: renew it before it does; slipway trust rotate"
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Context, fake_trust::Publisher};

    #[test]
    fn each_notice_is_given_once_and_again_for_what_follows() {
        let at = |days: i64| Timestamp::from_seconds(days * 86_400);
        let life = |version, ends, is_online| Life {
            role: "root".to_owned(),
            version,
            expires_at: at(ends),
            is_online,
        };
        let said = Said::default();
        let days: Vec<i64> =
            (0..=403).filter(|day| !said.due(vec![life(1, 400, false)], at(*day)).is_empty()).collect();
        assert_eq!(days, [340, 370, 386, 400]);
        assert!(said.due(vec![life(2, 800, false)], at(404)).is_empty());
        assert_eq!(said.due(vec![life(2, 800, false)], at(745)).len(), 1);
        assert!(Said::default().due(vec![life(1, 5, true)], at(0)).is_empty(), "the server renews its own");
        assert_eq!(Said::default().due(vec![life(1, 10, false)], at(0)).len(), 1, "also right after a start");
    }

    #[tokio::test]
    async fn every_role_has_a_life() {
        let ctx = Context::for_test().await;
        let mut publisher = Publisher::initialize(&ctx).await;
        publisher.publish(&ctx, "1.0.0", 1).await;
        let lives = lives(&ctx.trust.current().unwrap());
        let roles: Vec<(&str, bool)> =
            lives.iter().map(|life| (life.role.as_str(), life.is_online)).collect();
        assert_eq!(
            roles,
            [
                ("timestamp", true),
                ("director", true),
                ("snapshot", true),
                ("pump", false),
                ("targets", false),
                ("root", false)
            ]
        );
        assert_eq!(lives[0].seconds_left(ctx.clock.now()), 7 * 86_400);
    }
}

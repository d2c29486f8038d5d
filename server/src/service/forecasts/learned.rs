//! Alerts of limits whose bound was learned from the fleet.

use super::judged::Judged;
use crate::model::{alert::Alert, learned_alert::Beside, limit::Limit, time::Timestamp};

impl Judged<'_> {
    /// The alert of a learned limit, if it changes. A series that is known for less than a day has no level yet: what
    /// was said of it stays said.
    pub(super) fn by_learned(
        &self,
        current: Option<&Alert>,
        limit: &Limit,
        mint: &impl Fn() -> String,
        now: Timestamp,
    ) -> Option<Alert> {
        let learned = limit.learned.as_ref()?;
        let (model, fence) = learned.bound_of(&**self.device, &self.row.component, &self.row.unit)?;
        let beside = Beside {
            device_id: self.device.id(),
            limit,
            model,
            fence,
            level: self.state.level()?,
            settled: self.series.settled(limit.side),
            at_ms: self.row.last_at,
            readings: self.series.readings(),
        };
        beside.advance(current, mint(), now)
    }
}

//! Limits whose bound nobody gives: it is learned from what the devices of one model have in common.

use slipway_insight::{
    Side,
    fence::{FACTOR, Fence, LEAST_DEVICES, Level, fence},
};

use super::{
    filter::Subject,
    time::{DAY, Timestamp},
};

/// Every learned limit is asked of devices over and over: a fleet needs a few.
pub const MAX_LEARNED: usize = 100;
/// Models and components of one limit whose bounds are kept; of more those with most devices.
pub const MAX_BOUNDS: usize = 50;
/// A closer fence has a good part of the devices beyond it.
const LEAST_FACTOR: f64 = 1.0;
/// Nothing is ever beyond one that is further away.
const MOST_FACTOR: f64 = 100.0;
/// A bound is looked at again after so long.
const FRESH: std::time::Duration = DAY;
/// And one that could not be, because there are no longer ten devices, is forgotten after so long.
const STALE: std::time::Duration = DAY.saturating_mul(30);

/// How a bound is learned, and what was learned by now.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// How far from what is usual the bound lies, see [`slipway_insight::fence`].
    pub factor: f64,
    /// When it was last looked; none before the first time.
    pub learned_at: Option<Timestamp>,
    /// What was learned, by model, component and unit.
    pub bounds: Vec<LearnedBound>,
}

/// Whose devices are one model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Model {
    /// Product.
    pub product: String,
    /// Hardware model.
    pub hardware: String,
    /// Component: the same place of the same model.
    pub component: String,
    /// UCUM unit of the readings.
    pub unit: String,
}

/// What was learned of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedBound {
    /// Whose.
    pub model: Model,
    /// How many devices are known.
    pub devices: u32,
    /// The bound; none while fewer than ten devices are known.
    pub fence: Option<Fence>,
    /// By which factor.
    pub factor: f64,
    /// When it was last found to hold.
    pub learned_at: Timestamp,
}

impl Default for Learned {
    fn default() -> Self {
        Learned::by(FACTOR)
    }
}

impl Learned {
    /// Nothing yet, by this factor.
    pub fn by(factor: f64) -> Self {
        Learned { factor, learned_at: None, bounds: Vec::new() }
    }

    /// What is wrong with it: the field, what, and what to do.
    pub(super) fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        let is_good = (LEAST_FACTOR..=MOST_FACTOR).contains(&self.factor);
        let hint = "give 1 to 100, or nothing for 6";
        (!is_good)
            .then(|| ("learned", format!("a bound is not learned by a factor of {}", self.factor), hint))
    }

    /// Whether it is time to look again: each day, and each time while there is no bound at all.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let is_learning = self.bounds.iter().all(|bound| bound.fence.is_none());
        is_learning || self.learned_at.is_none_or(|at| now.since(at) >= FRESH || at > now)
    }

    /// The bound that holds for a series of a device, if one is known by now.
    pub fn bound_of(&self, device: &impl Subject, component: &str, unit: &str) -> Option<(&Model, Fence)> {
        let is = |field: &str, value: &str| device.field(field).is_some_and(|own| own == value);
        let found = self.bounds.iter().find(|bound| {
            let model = &bound.model;
            model.component == component
                && model.unit == unit
                && is("product", &model.product)
                && is("hardware", &model.hardware)
        })?;
        Some((&found.model, found.fence?))
    }

    /// What is known after a look at these devices, by model. A bound stays where it is until it is clearly elsewhere, and
    /// for a month when there are no longer enough devices to say.
    pub fn relearned<'a>(
        &self,
        seen: impl IntoIterator<Item = (&'a Model, &'a [Level])>,
        side: Side,
        now: Timestamp,
    ) -> Learned {
        let known = |model: &Model| self.bounds.iter().find(|bound| bound.model == *model);
        let mut bounds: Vec<LearnedBound> = Vec::new();
        for (model, levels) in seen {
            let before = known(model).filter(|bound| bound.factor.to_bits() == self.factor.to_bits());
            if let Some(built) = fence(levels, side, self.factor) {
                let fence = built.follows(before.and_then(|bound| bound.fence));
                bounds.push(LearnedBound {
                    model: model.clone(),
                    devices: fence.devices,
                    fence: Some(fence),
                    factor: self.factor,
                    learned_at: now,
                });
            } else if before.is_none_or(|bound| bound.fence.is_none()) {
                // What is no number is no device.
                let devices = u32::try_from(levels.len().min(LEAST_DEVICES - 1)).unwrap_or(0);
                let model = model.clone();
                bounds.push(LearnedBound {
                    model,
                    devices,
                    fence: None,
                    factor: self.factor,
                    learned_at: now,
                });
            }
        }
        let is_kept = |bound: &&LearnedBound| {
            bound.fence.is_some()
                && bound.factor.to_bits() == self.factor.to_bits()
                && now.since(bound.learned_at) < STALE
                && !bounds.iter().any(|new| new.model == bound.model)
        };
        let kept: Vec<LearnedBound> = self.bounds.iter().filter(is_kept).cloned().collect();
        bounds.extend(kept);
        bounds.sort_by(|a, b| b.devices.cmp(&a.devices).then_with(|| a.model.cmp(&b.model)));
        bounds.truncate(MAX_BOUNDS);
        bounds.sort_by(|a, b| a.model.cmp(&b.model));
        Learned { factor: self.factor, learned_at: Some(now), bounds }
    }
}

#[cfg(test)]
#[path = "learned_tests.rs"]
mod tests;

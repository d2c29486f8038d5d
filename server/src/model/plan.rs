//! Plans: what an operator asks for, checked as a whole before anything is written.

use std::time::Duration;

use super::{
    gate::Gate,
    label,
    refusal::{Reason, Refusal},
    rollout::FailureAction,
    selector::Selector,
    wave::LINE,
};

/// More waves than anybody watches; each is a row and a line on the screen.
pub const MAX_WAVES: usize = 32;
/// Longer than a month is a standing rollout.
pub const MAX_SPAN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Shorter and a device that polls once a minute has no chance.
pub const MIN_TIMEOUT: Duration = Duration::from_secs(60);
/// A device that is switched off at night still makes it.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

const DEFAULT_MIN_SUCCESS_PERCENT: u32 = 95;
const DEFAULT_MAX_FAILURE_PERCENT: u32 = 5;

/// A plan as it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// `releases/{product}/{version}`.
    pub release: String,
    /// Text of the selector.
    pub selector: String,
    /// The waves.
    pub waves: Vec<WaveDraft>,
    /// Roll back when a wave fails.
    pub rolls_back: bool,
    /// Also for devices that match later.
    pub standing: bool,
    /// Also for devices that run a later release.
    pub allow_downgrade: bool,
    /// Label key to spread by; empty for the device id.
    pub spread_by: String,
    /// How long an admitted device may take; none for a day.
    pub update_timeout: Option<Duration>,
}

/// A wave as it was asked for. 0 stands for the default everywhere in the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WaveDraft {
    /// Upper end on the line, in percent.
    pub percent: f64,
    /// At most so many in flight; 0 for no limit.
    pub max_in_flight: u32,
    /// See [`Gate`].
    pub min_success_percent: u32,
    /// See [`Gate`].
    pub min_sample: u32,
    /// See [`Gate`].
    pub max_failures: u32,
    /// See [`Gate`].
    pub max_failure_percent: u32,
    /// See [`Gate`].
    pub soak: Duration,
}

/// A plan that makes sense.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Product of the release.
    pub product: String,
    /// Version of the release.
    pub version: String,
    /// Which devices.
    pub selector: Selector,
    /// What happens when a wave fails.
    pub on_failure: FailureAction,
    /// Also for devices that match later.
    pub standing: bool,
    /// Also for devices that run a later release.
    pub allow_downgrade: bool,
    /// Label key to spread by; empty for the device id.
    pub spread_by: String,
    /// How long an admitted device may take.
    pub update_timeout: Duration,
    /// Upper end on the line, limit in flight, and gate of each wave.
    pub waves: Vec<(u32, u32, Gate)>,
}

impl Plan {
    /// Checks a draft; the refusal names the field, as its path in `CreateRolloutRequest`.
    pub fn new(draft: Draft) -> Result<Self, Refusal> {
        let (product, version) = draft
            .release
            .strip_prefix("releases/")
            .and_then(|rest| rest.split_once('/'))
            .filter(|(product, version)| !product.is_empty() && !version.is_empty() && !version.contains('/'))
            .ok_or_else(|| {
                let message = format!("{:?} is not the name of a release", draft.release);
                Refusal::new(Reason::NameInvalid, message, "use releases/PRODUCT/VERSION")
                    .field("rollout.release")
            })?;
        let selector =
            Selector::parse_rollout(&draft.selector).map_err(|refusal| refusal.field("rollout.selector"))?;
        if !draft.spread_by.is_empty() {
            label::check_key(&draft.spread_by).map_err(|refusal| {
                invalid("rollout.spread_by", refusal.message, "name the key of a label")
            })?;
        }
        let update_timeout = draft.update_timeout.unwrap_or(DEFAULT_TIMEOUT);
        if !(MIN_TIMEOUT..=MAX_SPAN).contains(&update_timeout) {
            return Err(invalid(
                "rollout.update_timeout",
                format!("a device cannot be given {} s for an update", update_timeout.as_secs()),
                "give it one minute to 30 days",
            ));
        }
        Ok(Plan {
            product: product.to_owned(),
            version: version.to_owned(),
            selector,
            on_failure: if draft.rolls_back { FailureAction::RollBack } else { FailureAction::Pause },
            standing: draft.standing,
            allow_downgrade: draft.allow_downgrade,
            spread_by: draft.spread_by,
            update_timeout,
            waves: waves(&draft.waves)?,
        })
    }
}

fn waves(drafts: &[WaveDraft]) -> Result<Vec<(u32, u32, Gate)>, Refusal> {
    if drafts.is_empty() || drafts.len() > MAX_WAVES {
        return Err(invalid(
            "rollout.waves",
            format!("{} waves are not a plan", drafts.len()),
            format!("give 1 to {MAX_WAVES} waves, the last one at 100 percent"),
        ));
    }
    let mut waves = Vec::with_capacity(drafts.len());
    let mut below = 0;
    for (i, draft) in drafts.iter().enumerate() {
        let field = |name: &str| format!("rollout.waves[{i}].{name}");
        let upper = parts(draft.percent).filter(|upper| *upper > below).ok_or_else(|| {
            invalid(
                field("percent"),
                format!("wave {} cannot end at {:?} percent", i + 1, draft.percent),
                "let the waves grow: each ends above the one before, in steps of 0.0001, up to 100",
            )
        })?;
        below = upper;
        waves.push((upper, draft.max_in_flight, gate(draft, field)?));
    }
    if below != LINE {
        return Err(invalid(
            format!("rollout.waves[{}].percent", drafts.len() - 1),
            format!("the last wave ends at {} percent and leaves devices out", f64::from(below) / 10_000.0),
            "let the last wave end at 100; to leave devices out, use the selector",
        ));
    }
    Ok(waves)
}

fn gate(draft: &WaveDraft, field: impl Fn(&str) -> String) -> Result<Gate, Refusal> {
    let percent = |name: &str, value: u32, default: u32| match value {
        0 => Ok(default),
        1..=100 => Ok(value),
        _ => Err(invalid(field(name), format!("{value} percent is more than all"), "use 1 to 100")),
    };
    if draft.soak > MAX_SPAN {
        let message = format!("a soak time of {} s is too long", draft.soak.as_secs());
        return Err(invalid(field("gate.soak"), message, "use at most 30 days"));
    }
    Ok(Gate {
        min_success_percent: percent(
            "gate.min_success_percent",
            draft.min_success_percent,
            DEFAULT_MIN_SUCCESS_PERCENT,
        )?,
        min_sample: draft.min_sample,
        max_failures: draft.max_failures,
        max_failure_percent: percent(
            "gate.max_failure_percent",
            draft.max_failure_percent,
            DEFAULT_MAX_FAILURE_PERCENT,
        )?,
        soak: draft.soak,
    })
}

/// Percent as parts of the line; none when it is not on it.
fn parts(percent: f64) -> Option<u32> {
    if !(percent > 0.0 && percent <= 100.0) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a million, checked above"
    )]
    let parts = (percent * f64::from(LINE / 100)).round() as u32;
    Some(parts)
}

fn invalid(field: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal::new(Reason::PlanInvalid, message, hint).field(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(percents: &[f64]) -> Draft {
        Draft {
            release: "releases/pump/2.0.0".to_owned(),
            waves: percents
                .iter()
                .map(|percent| WaveDraft { percent: *percent, ..Default::default() })
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_plain_plan_gets_the_defaults() {
        let plan = Plan::new(draft(&[0.5, 100.0])).unwrap();
        assert_eq!((plan.product.as_str(), plan.version.as_str()), ("pump", "2.0.0"));
        assert_eq!(plan.waves.iter().map(|wave| wave.0).collect::<Vec<_>>(), [5000, LINE]);
        let gate = plan.waves[0].2;
        assert_eq!((gate.min_success_percent, gate.max_failure_percent, gate.min_sample), (95, 5, 0));
        assert_eq!(plan.update_timeout, DEFAULT_TIMEOUT);
        assert_eq!(plan.on_failure, FailureAction::Pause);
    }

    #[test]
    fn what_is_refused_names_the_field() {
        let with = |change: &dyn Fn(&mut Draft)| {
            let mut draft = draft(&[10.0, 100.0]);
            change(&mut draft);
            draft
        };
        let table: Vec<(Draft, Reason, &str)> = vec![
            (draft(&[]), Reason::PlanInvalid, "rollout.waves"),
            (draft(&[100.0; 33]), Reason::PlanInvalid, "rollout.waves"),
            (draft(&[10.0]), Reason::PlanInvalid, "rollout.waves[0].percent"),
            (draft(&[10.0, 10.0, 100.0]), Reason::PlanInvalid, "rollout.waves[1].percent"),
            (draft(&[10.0, 5.0, 100.0]), Reason::PlanInvalid, "rollout.waves[1].percent"),
            (draft(&[0.0, 100.0]), Reason::PlanInvalid, "rollout.waves[0].percent"),
            (draft(&[0.000_01, 100.0]), Reason::PlanInvalid, "rollout.waves[0].percent"),
            (draft(&[100.1]), Reason::PlanInvalid, "rollout.waves[0].percent"),
            (draft(&[f64::NAN]), Reason::PlanInvalid, "rollout.waves[0].percent"),
            (draft(&[f64::INFINITY]), Reason::PlanInvalid, "rollout.waves[0].percent"),
            (with(&|d| d.release = "pump/2.0.0".to_owned()), Reason::NameInvalid, "rollout.release"),
            (with(&|d| d.release = "releases/pump".to_owned()), Reason::NameInvalid, "rollout.release"),
            (with(&|d| d.selector = "site = x".to_owned()), Reason::SelectorInvalid, "rollout.selector"),
            (with(&|d| d.spread_by = "a b".to_owned()), Reason::PlanInvalid, "rollout.spread_by"),
            (
                with(&|d| d.update_timeout = Some(Duration::from_secs(59))),
                Reason::PlanInvalid,
                "rollout.update_timeout",
            ),
            (
                with(&|d| d.waves[1].min_success_percent = 101),
                Reason::PlanInvalid,
                "rollout.waves[1].gate.min_success_percent",
            ),
            (
                with(&|d| d.waves[0].max_failure_percent = 101),
                Reason::PlanInvalid,
                "rollout.waves[0].gate.max_failure_percent",
            ),
            (
                with(&|d| d.waves[0].soak = MAX_SPAN + MIN_TIMEOUT),
                Reason::PlanInvalid,
                "rollout.waves[0].gate.soak",
            ),
        ];
        for (draft, reason, field) in table {
            let refusal = Plan::new(draft.clone()).map(drop).unwrap_err();
            assert_eq!((refusal.reason, refusal.field.as_deref()), (reason, Some(field)), "{draft:?}");
        }
    }
}

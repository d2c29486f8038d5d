//! Rollouts and updates, to and from the wire.

use std::{collections::BTreeMap, time::Duration};

use slipway_proto::v1;

use super::wire::{duration, from_duration, timestamp};
use crate::{
    model::{
        admission::{ActiveRollout, Verdict},
        obstacle::Obstacle,
        plan::{Draft, WaveDraft},
        refusal::{Reason, Refusal},
        rollout::{FailureAction, Rollout, RolloutState},
        update::{self, HistoryLine, Update, UpdateState},
        wave::{LINE, Wave, WaveState},
    },
    service::prospects::{Census, Preview},
};

/// A plan as it was asked for; what is no plan at all is refused with the field that is at fault.
pub fn draft(rollout: v1::Rollout) -> Result<Draft, Refusal> {
    let rolls_back = match v1::FailureAction::try_from(rollout.on_failure) {
        Ok(v1::FailureAction::RollBack) => true,
        Ok(v1::FailureAction::Pause | v1::FailureAction::Unspecified) => false,
        Err(_) => {
            let message = format!("{} is no action for a failed wave", rollout.on_failure);
            let hint = "use FAILURE_ACTION_PAUSE or FAILURE_ACTION_ROLL_BACK";
            return Err(Refusal::new(Reason::PlanInvalid, message, hint).field("rollout.on_failure"));
        }
    };
    let waves =
        rollout.waves.iter().zip(0..).map(|(wave, i)| wave_draft(wave, i)).collect::<Result<_, _>>()?;
    Ok(Draft {
        rolls_back,
        release: rollout.release,
        selector: rollout.selector,
        waves,
        standing: rollout.standing,
        allow_downgrade: rollout.allow_downgrade,
        spread_by: rollout.spread_by,
        update_timeout: span(rollout.update_timeout.as_ref(), || "rollout.update_timeout".to_owned())?,
    })
}

fn wave_draft(wave: &v1::Wave, i: u32) -> Result<WaveDraft, Refusal> {
    let gate = wave.gate.unwrap_or_default();
    let soak = span(gate.soak.as_ref(), || format!("rollout.waves[{i}].gate.soak"))?;
    Ok(WaveDraft {
        percent: wave.percent,
        max_in_flight: wave.max_in_flight,
        min_success_percent: gate.min_success_percent,
        min_sample: gate.min_sample,
        max_failures: gate.max_failures,
        max_failure_percent: gate.max_failure_percent,
        soak: soak.unwrap_or_default(),
    })
}

fn span(
    span: Option<&prost_types::Duration>,
    field: impl FnOnce() -> String,
) -> Result<Option<Duration>, Refusal> {
    let Some(span) = span else { return Ok(None) };
    from_duration(span).map(Some).ok_or_else(|| {
        let message = format!("a time of {} s is negative", span.seconds);
        Refusal::new(Reason::PlanInvalid, message, "give a time of zero or more").field(field())
    })
}

/// A rollout, and who takes part in it, where that was counted.
pub fn rollout(rollout: &Rollout, census: &Census) -> v1::Rollout {
    let on_failure = match rollout.on_failure {
        FailureAction::Pause => v1::FailureAction::Pause,
        FailureAction::RollBack => v1::FailureAction::RollBack,
    };
    let counted = census.waves.iter().copied().chain(std::iter::repeat(0));
    v1::Rollout {
        left_out: left_out(&census.left_out),
        name: rollout.name(),
        release: rollout.release(),
        selector: rollout.selector.clone(),
        waves: rollout.waves.iter().zip(counted).map(|(known, devices)| wave(known, devices)).collect(),
        on_failure: on_failure.into(),
        standing: rollout.standing,
        allow_downgrade: rollout.allow_downgrade,
        spread_by: rollout.spread_by.clone(),
        update_timeout: Some(duration(rollout.update_timeout)),
        state: state(rollout.state).into(),
        state_reason: rollout.state_reason.clone(),
        seed: rollout.seed.clone(),
        create_time: Some(timestamp(rollout.created_at)),
        update_time: Some(timestamp(rollout.updated_at)),
        creator: rollout.created_by.clone(),
        etag: rollout.etag(),
    }
}

fn left_out(counts: &BTreeMap<&'static str, u32>) -> Vec<v1::LeftOut> {
    let counts = counts.iter();
    counts.map(|(code, devices)| v1::LeftOut { code: (*code).to_owned(), devices: *devices }).collect()
}

fn wave(wave: &Wave, devices: u32) -> v1::Wave {
    let (gate, counts) = (&wave.gate, &wave.counts);
    let state = match wave.state {
        WaveState::Pending => v1::WaveState::Pending,
        WaveState::Open => v1::WaveState::Open,
        WaveState::Soaking => v1::WaveState::Soaking,
        WaveState::Passed => v1::WaveState::Passed,
        WaveState::Failed => v1::WaveState::Failed,
    };
    v1::Wave {
        percent: f64::from(wave.upper) / f64::from(LINE / 100),
        max_in_flight: wave.max_in_flight,
        gate: Some(v1::Gate {
            min_success_percent: gate.min_success_percent,
            min_sample: gate.min_sample,
            max_failures: gate.max_failures,
            max_failure_percent: gate.max_failure_percent,
            soak: Some(duration(gate.soak)),
        }),
        state: state.into(),
        in_flight: counts.in_flight,
        admitted: counts.admitted,
        succeeded: counts.succeeded,
        failed: counts.failed,
        devices,
        open_time: wave.opened_at.map(timestamp),
    }
}

/// What a plan would mean.
pub fn preview(preview: Preview) -> v1::PreviewRolloutResponse {
    v1::PreviewRolloutResponse {
        matched: preview.matched,
        already_there: preview.already_there,
        later: preview.later,
        incompatible: preview.incompatible,
        wave_devices: preview.wave_devices,
        from_versions: preview.from_versions.into_iter().collect(),
        bytes: preview.bytes,
        left_out: left_out(&preview.left_out),
    }
}

/// An update, with its history where that was read.
pub fn update(update: &Update, history: &[HistoryLine]) -> v1::Update {
    v1::Update {
        name: update.name(),
        rollout: format!("rollouts/{}", update.rollout_id),
        wave: update.wave,
        release: update.release(),
        from_version: update.from_version.clone(),
        state: update_state(update.state).into(),
        reason: reason(&update.reason),
        bytes_fetched: update.bytes_fetched,
        bytes_written: update.bytes_written,
        attempt: update.attempt,
        create_time: Some(timestamp(update.created_at)),
        update_time: Some(timestamp(update.updated_at)),
        deadline: update.deadline_at.map(timestamp),
        history: history.iter().map(event).collect(),
    }
}

fn event(line: &HistoryLine) -> v1::UpdateEvent {
    v1::UpdateEvent {
        state: update_state(line.state).into(),
        time: Some(timestamp(line.at)),
        actor: line.actor.clone(),
        reason: reason(&line.reason),
    }
}

fn reason(reason: &update::Reason) -> Option<v1::Reason> {
    let is_given = !reason.code.is_empty() || !reason.detail.is_empty();
    is_given.then(|| v1::Reason { code: reason.code.clone(), detail: reason.detail.clone() })
}

/// What one rollout means for one device.
pub fn verdict(active: &ActiveRollout, verdict: &Verdict) -> v1::RolloutVerdict {
    v1::RolloutVerdict {
        rollout: active.rollout.name(),
        release: format!("releases/{}/{}", active.rollout.product, verdict.version),
        wave: verdict.wave,
        position: f64::from(verdict.position) / f64::from(LINE),
        reasons: verdict.obstacles.iter().map(obstacle).collect(),
    }
}

fn obstacle(obstacle: &Obstacle) -> v1::VerdictReason {
    v1::VerdictReason {
        code: obstacle.code().to_owned(),
        detail: obstacle.to_string(),
        until: obstacle.until().map(timestamp),
    }
}

fn state(state: RolloutState) -> v1::RolloutState {
    match state {
        RolloutState::Running => v1::RolloutState::Running,
        RolloutState::Paused => v1::RolloutState::Paused,
        RolloutState::Succeeded => v1::RolloutState::Succeeded,
        RolloutState::Failed => v1::RolloutState::Failed,
        RolloutState::Aborted => v1::RolloutState::Aborted,
        RolloutState::RollingBack => v1::RolloutState::RollingBack,
        RolloutState::RolledBack => v1::RolloutState::RolledBack,
    }
}

fn update_state(state: UpdateState) -> v1::UpdateState {
    match state {
        UpdateState::Offered => v1::UpdateState::Offered,
        UpdateState::Downloading => v1::UpdateState::Downloading,
        UpdateState::Staged => v1::UpdateState::Staged,
        UpdateState::Trial => v1::UpdateState::Trial,
        UpdateState::Succeeded => v1::UpdateState::Succeeded,
        UpdateState::Failed => v1::UpdateState::Failed,
        UpdateState::RolledBack => v1::UpdateState::RolledBack,
        UpdateState::TimedOut => v1::UpdateState::TimedOut,
        UpdateState::Rejected => v1::UpdateState::Rejected,
        UpdateState::Cancelled => v1::UpdateState::Cancelled,
        UpdateState::Superseded => v1::UpdateState::Superseded,
    }
}

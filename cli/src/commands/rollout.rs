//! `slipway rollout`: plans that bring a release to devices, in waves.

use serde_json::Value;
use slipway_proto::v1;

use crate::{
    args::{Connection, ListArgs, OnFailure, Plan, RolloutCommand},
    commands::{listed, pages, watch},
    connect::Api,
    duration,
    error::Failure,
    human, json, names,
    output::{Console, Format, columns, facts},
    rng, wave,
};

/// Runs one command of this noun.
///
/// # Errors
/// Why it was not done; [`Failure::BadOutcome`] for a watched rollout that did not succeed.
pub async fn run(command: RolloutCommand, connection: &Connection, console: &Console) -> Result<(), Failure> {
    // A plan that cannot work is refused without asking the server.
    let plan = match &command {
        RolloutCommand::Create { plan, .. } | RolloutCommand::Preview { plan } => Some(to_rollout(plan)?),
        _ => None,
    };
    let api = Api::open(connection, console).await?;
    let now = console.clock.now();
    match command {
        RolloutCommand::Create { dry_run, .. } => create(plan, dry_run, &api, console).await,
        RolloutCommand::Preview { .. } => {
            let request = v1::PreviewRolloutRequest { rollout: plan.clone() };
            let preview = api.rollouts().preview_rollout(request).await?.into_inner();
            let plan = plan.unwrap_or_default();
            warn_of_nobody(&preview.wave_devices, &plan, console);
            hint_at_standing(&preview.left_out, plan.standing, console);
            console.show("PreviewRolloutResponse", &preview, |preview| render_preview(preview, &plan))
        }
        RolloutCommand::List(args) => list(args, &api, console).await,
        RolloutCommand::Show { rollout } => {
            let request = v1::GetRolloutRequest { name: names::full("rollouts", &rollout) };
            let rollout = api.rollouts().get_rollout(request).await?.into_inner();
            console.show("Rollout", &rollout, |rollout| render(rollout, now))
        }
        RolloutCommand::Watch { rollout, exit_on_pause } => {
            watch::run(&names::full("rollouts", &rollout), exit_on_pause, &api, console).await
        }
        RolloutCommand::Pause { rollout } => {
            let request =
                v1::PauseRolloutRequest { name: names::full("rollouts", &rollout), ..Default::default() };
            changed(&api.rollouts().pause_rollout(request).await?.into_inner(), console)
        }
        RolloutCommand::Resume { rollout } => {
            let request =
                v1::ResumeRolloutRequest { name: names::full("rollouts", &rollout), ..Default::default() };
            changed(&api.rollouts().resume_rollout(request).await?.into_inner(), console)
        }
        RolloutCommand::Abort { rollout } => {
            let request =
                v1::AbortRolloutRequest { name: names::full("rollouts", &rollout), ..Default::default() };
            changed(&api.rollouts().abort_rollout(request).await?.into_inner(), console)
        }
    }
}

fn to_rollout(plan: &Plan) -> Result<v1::Rollout, Failure> {
    let waves = wave::plan(&plan.waves).map_err(|problem| {
        Failure::new(problem)
            .hint("for example: --wave 10:max-failures=1,soak=30s --wave 50 --wave 100")
            .reason("PLAN_INVALID")
    })?;
    let on_failure = match plan.on_failure {
        OnFailure::Pause => v1::FailureAction::Pause,
        OnFailure::RollBack => v1::FailureAction::RollBack,
    };
    Ok(v1::Rollout {
        release: names::release(&plan.release),
        selector: plan.selector.clone(),
        waves,
        on_failure: on_failure.into(),
        standing: plan.standing,
        allow_downgrade: plan.allow_downgrade,
        spread_by: plan.spread_by.clone(),
        update_timeout: Some(duration::to_wire(plan.timeout)),
        ..v1::Rollout::default()
    })
}

async fn create(
    rollout: Option<v1::Rollout>,
    validate_only: bool,
    api: &Api,
    console: &Console,
) -> Result<(), Failure> {
    let request = v1::CreateRolloutRequest { rollout, validate_only, request_id: rng::request_id() };
    let rollout = api.rollouts().create_rollout(request).await?.into_inner();
    let devices: Vec<u64> = rollout.waves.iter().map(|wave| wave.devices.into()).collect();
    warn_of_nobody(&devices, &rollout, console);
    hint_at_standing(&rollout.left_out, rollout.standing, console);
    if validate_only {
        console.say("the plan is valid; nothing was started");
        return console.show("Rollout", &planned(rollout), render_plan);
    }
    let id = names::short(&rollout.name);
    console.say(&format!("started; follow it with: slipway rollout watch {id}"));
    console.show("Rollout", &rollout, |rollout| render(rollout, console.clock.now()))
}

/// A plan that reaches nobody, or a wave without devices, is valid, and most likely not what was meant.
fn warn_of_nobody(devices: &[u64], plan: &v1::Rollout, console: &Console) {
    if devices.iter().any(|devices| *devices > 0) {
        for (number, _) in (1..).zip(devices).filter(|(_, devices)| **devices == 0) {
            console.say(&format!(
                "warning: as things are wave {number} has no device: it passes at once, without its soak time"
            ));
        }
    } else {
        let later = if plan.standing { ", until some match later" } else { "" };
        console.say(&format!(
            "warning: as things are this plan brings {} to no device{later}; \
             `slipway device list --filter …` and `slipway rollout preview` show why",
            names::short(&plan.release)
        ));
    }
}

/// Whoever is left out when the last wave has passed is left out for good, unless the rollout stays.
fn hint_at_standing(left_out: &[v1::LeftOut], is_standing: bool, console: &Console) {
    let by_alerts = left_out.iter().find(|one| one.code == "LEFT_OUT_BY_ALERTS");
    if let Some(one) = by_alerts.filter(|_| !is_standing) {
        console.say(&format!(
            "note: {} left out by alerts; what is put right after the rollout's end is not updated by it. With --standing \
             it stays open for them",
            match one.devices {
                1 => "1 device is".to_owned(),
                many => format!("{many} devices are"),
            }
        ));
    }
}

/// The plan alone, without what a rollout has only once it is started.
fn planned(mut rollout: v1::Rollout) -> v1::Rollout {
    for wave in &mut rollout.waves {
        *wave = v1::Wave { state: 0, open_time: None, ..*wave };
    }
    v1::Rollout {
        name: String::new(),
        state: 0,
        seed: String::new(),
        create_time: None,
        update_time: None,
        creator: String::new(),
        etag: String::new(),
        ..rollout
    }
}

fn changed(rollout: &v1::Rollout, console: &Console) -> Result<(), Failure> {
    console.say(&format!("rollout {} is {}", names::short(&rollout.name), state(rollout)));
    Ok(())
}

async fn list(args: ListArgs, api: &Api, console: &Console) -> Result<(), Failure> {
    let rollouts = pages(console, args.extent.max, |page_size, page_token| {
        let (mut rollouts, filter) = (api.rollouts(), args.filter.clone());
        async move {
            let request = v1::ListRolloutsRequest { page_size, page_token, filter };
            let page = rollouts.list_rollouts(request).await?.into_inner();
            Ok((page.rollouts, page.next_page_token))
        }
    })
    .await?;
    if console.format == Format::Table {
        return console.print(&render_list(&rollouts, console.clock.now()));
    }
    let all = rollouts.iter().map(listed_json).collect::<Result<_, _>>()?;
    console.json(&Value::Array(all))
}

/// A list does not count the devices of each wave: no number is better than a wrong one.
fn listed_json(rollout: &v1::Rollout) -> Result<Value, Failure> {
    let mut rollout = json::message("Rollout", rollout)?;
    for wave in rollout["waves"].as_array_mut().into_iter().flatten() {
        if let Some(wave) = wave.as_object_mut() {
            wave.remove("devices");
        }
    }
    Ok(rollout)
}

/// The state in words.
pub fn state(rollout: &v1::Rollout) -> String {
    human::enum_words(rollout.state().as_str_name(), "ROLLOUT_STATE_")
}

/// The state of a wave in words.
pub fn wave_state(wave: &v1::Wave) -> String {
    human::enum_words(wave.state().as_str_name(), "WAVE_STATE_")
}

fn render_list(rollouts: &[v1::Rollout], now: i64) -> String {
    let rows: Vec<_> = rollouts
        .iter()
        .map(|rollout| {
            let sum = |part: fn(&v1::Wave) -> u32| rollout.waves.iter().map(part).sum::<u32>().to_string();
            let passed = rollout.waves.iter().filter(|w| w.state() == v1::WaveState::Passed).count();
            vec![
                names::short(&rollout.name).to_owned(),
                names::short(&rollout.release).to_owned(),
                state(rollout),
                format!("{passed} of {}", rollout.waves.len()),
                sum(|w| w.in_flight),
                sum(|w| w.succeeded),
                sum(|w| w.failed),
                human::maybe_relative(rollout.create_time.as_ref(), now),
                if rollout.selector.is_empty() { "all devices".into() } else { rollout.selector.clone() },
            ]
        })
        .collect();
    let header = ["ID", "RELEASE", "STATE", "PASSED", "IN FLIGHT", "OK", "FAILED", "CREATED", "DEVICES"];
    listed(rows.len(), "no rollouts", columns(&header, &rows))
}

/// A rollout and its waves. `now` in milliseconds since 1970.
pub fn render(rollout: &v1::Rollout, now: i64) -> String {
    let reason = match rollout.state_reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let [release, rest @ ..] = plan_facts(rollout);
    let mut rows = vec![
        ("rollout", names::short(&rollout.name).to_owned()),
        release,
        ("state", format!("{}{reason}", state(rollout))),
    ];
    rows.extend(rest);
    rows.extend([
        ("left out", left_out(&rollout.left_out)),
        ("created", human::maybe_moment(rollout.create_time.as_ref(), now)),
        ("by", rollout.creator.clone()),
        ("changed", human::maybe_moment(rollout.update_time.as_ref(), now)),
    ]);
    let header = ["STATE", "DEVICES", "ADMITTED", "IN FLIGHT", "LIMIT", "OK", "FAILED", "GATE"];
    let table = wave_table(&rollout.waves, &header, |_, wave| {
        vec![
            wave_state(wave),
            wave.devices.to_string(),
            wave.admitted.to_string(),
            wave.in_flight.to_string(),
            limit(wave),
            wave.succeeded.to_string(),
            wave.failed.to_string(),
            wave::gate_words(&wave.gate.unwrap_or_default()),
        ]
    });
    format!("{}\n{table}", facts(&rows))
}

/// Devices that it is meant for and that cannot take part: `3 already there, 1 revoked`.
fn left_out(left_out: &[v1::LeftOut]) -> String {
    let words = left_out.iter().map(|left_out| {
        format!(
            "{} {}",
            left_out.devices,
            human::enum_words(left_out.code.trim_start_matches("LEFT_OUT_"), "DEVICE_")
        )
    });
    words.collect::<Vec<_>>().join(", ")
}

/// A line a wave: its number, how far it goes, and `cells` of its index and itself below the rest of the header.
fn wave_table(
    waves: &[v1::Wave],
    header: &[&str],
    cells: impl Fn(usize, &v1::Wave) -> Vec<String>,
) -> String {
    let rows: Vec<_> = waves
        .iter()
        .enumerate()
        .map(|(index, wave)| {
            let start = vec![(index + 1).to_string(), format!("{}%", human::number(wave.percent))];
            [start, cells(index, wave)].concat()
        })
        .collect();
    columns(&[&["WAVE", "TO"], header].concat(), &rows)
}

/// What a plan says, whether it is started or not.
fn plan_facts(plan: &v1::Rollout) -> [(&'static str, String); 7] {
    let when = |holds: bool, words: &str| if holds { words.to_owned() } else { String::new() };
    let timeout = plan.update_timeout.as_ref().map(duration::from_wire);
    [
        ("release", names::short(&plan.release).to_owned()),
        (
            "devices",
            if plan.selector.is_empty() { "all of the product".into() } else { plan.selector.clone() },
        ),
        ("on failure", on_failure(plan).to_owned()),
        ("standing", when(plan.standing, "yes")),
        ("downgrade", when(plan.allow_downgrade, "allowed")),
        ("spread by", plan.spread_by.clone()),
        ("timeout", timeout.map(duration::show).unwrap_or_default()),
    ]
}

fn render_plan(plan: &v1::Rollout) -> String {
    let table = wave_table(&plan.waves, &["DEVICES", "LIMIT", "GATE"], |_, wave| {
        vec![wave.devices.to_string(), limit(wave), wave::gate_words(&wave.gate.unwrap_or_default())]
    });
    format!("{}\n{table}", facts(&plan_facts(plan)))
}

/// How many of a wave may be in flight at once.
fn limit(wave: &v1::Wave) -> String {
    if wave.max_in_flight == 0 { "-".into() } else { wave.max_in_flight.to_string() }
}

fn on_failure(rollout: &v1::Rollout) -> &'static str {
    match rollout.on_failure() {
        v1::FailureAction::RollBack => "roll back",
        v1::FailureAction::Pause | v1::FailureAction::Unspecified => "pause",
    }
}

fn render_preview(preview: &v1::PreviewRolloutResponse, plan: &v1::Rollout) -> String {
    let offered: u64 = preview.wave_devices.iter().sum();
    // Revoked, quarantined or frozen: none of the other counts.
    let counted = preview.already_there + preview.later + preview.incompatible + offered;
    let held_back = preview.matched.saturating_sub(counted);
    let mut text = facts(&[
        ("release", names::short(&plan.release).to_owned()),
        ("matched", human::counted(preview.matched, "device")),
        ("already there", preview.already_there.to_string()),
        ("run later", preview.later.to_string()),
        ("incompatible", preview.incompatible.to_string()),
        ("held back", held_back.to_string()),
        ("offered", offered.to_string()),
        ("left out", left_out(&preview.left_out)),
        ("transfer", format!("at most {}", human::bytes(preview.bytes))),
    ]);
    text.push('\n');
    text.push_str(&wave_table(&plan.waves, &["DEVICES"], |index, _| {
        vec![preview.wave_devices.get(index).copied().unwrap_or_default().to_string()]
    }));
    let mut from: Vec<_> = preview.from_versions.iter().collect();
    from.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let from: Vec<_> = from
        .into_iter()
        .map(|(version, devices)| {
            vec![if version.is_empty() { "unknown".into() } else { version.clone() }, devices.to_string()]
        })
        .collect();
    text.push('\n');
    text.push_str(&columns(&["FROM VERSION", "DEVICES"], &from));
    text
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;

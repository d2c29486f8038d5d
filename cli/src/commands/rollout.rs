//! `slipway rollout`: plans that bring a release to devices, in waves.

use slipway_proto::v1;

use crate::{
    args::{Connection, ListArgs, OnFailure, Plan, RolloutCommand},
    commands::{listed, pages, watch},
    connect::Api,
    duration,
    error::Failure,
    human, names,
    output::{Console, columns, facts},
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
    let id = names::short(&rollout.name);
    match validate_only {
        true => console.say("the plan is valid; nothing was started"),
        false => console.say(&format!("started; follow it with: slipway rollout watch {id}")),
    }
    console.show("Rollout", &rollout, |rollout| render(rollout, console.clock.now()))
}

fn changed(rollout: &v1::Rollout, console: &Console) -> Result<(), Failure> {
    console.say(&format!("rollout {} is {}", names::short(&rollout.name), state(rollout)));
    Ok(())
}

async fn list(args: ListArgs, api: &Api, console: &Console) -> Result<(), Failure> {
    let rollouts = pages(console, args.max, |page_size, page_token| {
        let (mut rollouts, filter) = (api.rollouts(), args.filter.clone());
        async move {
            let request = v1::ListRolloutsRequest { page_size, page_token, filter };
            let page = rollouts.list_rollouts(request).await?.into_inner();
            Ok((page.rollouts, page.next_page_token))
        }
    })
    .await?;
    console.show_all("Rollout", &rollouts, |rollouts| render_list(rollouts, console.clock.now()))
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
    let timeout = rollout.update_timeout.as_ref().map(duration::from_wire);
    let mut text = facts(&[
        ("rollout", names::short(&rollout.name).to_owned()),
        ("release", names::short(&rollout.release).to_owned()),
        ("state", format!("{}{reason}", state(rollout))),
        (
            "devices",
            if rollout.selector.is_empty() { "all of the product".into() } else { rollout.selector.clone() },
        ),
        ("on failure", on_failure(rollout).to_owned()),
        ("standing", if rollout.standing { "yes".into() } else { String::new() }),
        ("downgrade", if rollout.allow_downgrade { "allowed".into() } else { String::new() }),
        ("spread by", rollout.spread_by.clone()),
        ("timeout", timeout.map(duration::show).unwrap_or_default()),
        ("created", human::maybe_moment(rollout.create_time.as_ref(), now)),
        ("by", rollout.creator.clone()),
        ("changed", human::maybe_moment(rollout.update_time.as_ref(), now)),
    ]);
    let rows: Vec<_> = rollout
        .waves
        .iter()
        .zip(1..)
        .map(|(wave, number)| {
            let limit = if wave.max_in_flight == 0 { "-".into() } else { wave.max_in_flight.to_string() };
            vec![
                format!("{number}"),
                format!("{}%", human::number(wave.percent)),
                wave_state(wave),
                wave.devices.to_string(),
                wave.admitted.to_string(),
                wave.in_flight.to_string(),
                limit,
                wave.succeeded.to_string(),
                wave.failed.to_string(),
                wave::gate_words(&wave.gate.unwrap_or_default()),
            ]
        })
        .collect();
    let header = ["WAVE", "TO", "STATE", "DEVICES", "ADMITTED", "IN FLIGHT", "LIMIT", "OK", "FAILED", "GATE"];
    text.push('\n');
    text.push_str(&columns(&header, &rows));
    text
}

fn on_failure(rollout: &v1::Rollout) -> &'static str {
    match rollout.on_failure() {
        v1::FailureAction::RollBack => "roll back",
        v1::FailureAction::Pause | v1::FailureAction::Unspecified => "pause",
    }
}

fn render_preview(preview: &v1::PreviewRolloutResponse, plan: &v1::Rollout) -> String {
    let offered: u64 = preview.wave_devices.iter().sum();
    let mut text = facts(&[
        ("release", names::short(&plan.release).to_owned()),
        ("matched", human::counted(preview.matched, "device")),
        ("already there", preview.already_there.to_string()),
        ("run later", preview.later.to_string()),
        ("incompatible", preview.incompatible.to_string()),
        ("offered", offered.to_string()),
        ("transfer", format!("at most {}", human::bytes(preview.bytes))),
    ]);
    let waves: Vec<_> = plan
        .waves
        .iter()
        .zip(&preview.wave_devices)
        .zip(1..)
        .map(|((wave, devices), number)| {
            vec![format!("{number}"), format!("{}%", human::number(wave.percent)), devices.to_string()]
        })
        .collect();
    text.push('\n');
    text.push_str(&columns(&["WAVE", "TO", "DEVICES"], &waves));
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
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    const NOW: i64 = 1_795_356_185_000;

    fn plan_of(line: &str) -> Result<v1::Rollout, String> {
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        let Command::Rollout(RolloutCommand::Create { plan, .. }) = args.command else { panic!("{line}") };
        to_rollout(&plan).map_err(|failure| failure.to_string())
    }

    #[test]
    fn flags_become_a_plan() {
        let plan = plan_of(
            "slipway rollout create pump/2.0.0 --wave 10:soak=30s --wave 100 --on-failure roll-back \
             --standing --allow-downgrade --spread-by site --timeout 2h",
        )
        .unwrap();
        assert_eq!((plan.release.as_str(), plan.waves.len()), ("releases/pump/2.0.0", 2));
        assert_eq!(plan.on_failure(), v1::FailureAction::RollBack);
        assert_eq!((plan.standing, plan.allow_downgrade, plan.spread_by.as_str()), (true, true, "site"));
        assert_eq!(plan.update_timeout.unwrap().seconds, 7_200);
    }

    #[test]
    fn a_plan_that_does_not_end_is_refused_here() {
        assert_eq!(
            plan_of("slipway rollout create pump/2.0.0 --wave 10").unwrap_err(),
            "error: the last wave ends at 10 percent; the last --wave has to be 100\n\
             hint: for example: --wave 10:max-failures=1,soak=30s --wave 50 --wave 100\n\
             see docs/errors/PLAN_INVALID.md"
        );
    }

    #[test]
    fn a_rollout_in_full() {
        let mut rollout =
            plan_of("slipway rollout create pump/2.1.0 --wave 10:soak=30s,max-in-flight=2 --wave 100")
                .unwrap();
        rollout.name = "rollouts/r1".into();
        rollout.set_state(v1::RolloutState::Paused);
        rollout.state_reason = "wave 1 failed: 1 of 1 finished updates failed".into();
        rollout.creator = "admin".into();
        rollout.create_time = Some(human::timestamp(NOW - 60_000));
        rollout.update_time = Some(human::timestamp(NOW));
        rollout.waves[0].set_state(v1::WaveState::Failed);
        rollout.waves[0].devices = 1;
        rollout.waves[0].admitted = 1;
        rollout.waves[0].failed = 1;
        rollout.waves[1].set_state(v1::WaveState::Pending);
        rollout.waves[1].devices = 7;
        assert_eq!(
            render(&rollout, NOW),
            "\
rollout     r1
release     pump/2.1.0
state       paused: wave 1 failed: 1 of 1 finished updates failed
devices     all of the product
on failure  pause
timeout     1d
created     2026-11-22 14:02:05Z (1m ago)
by          admin
changed     2026-11-22 14:03:05Z (just now)

WAVE  TO    STATE    DEVICES  ADMITTED  IN FLIGHT  LIMIT  OK  FAILED  GATE
1     10%   failed   1        1         0          2      0   1       ≥95% ok of all, fails past 0 and 5%, soak 30s
2     100%  pending  7        0         0          -      0   0       ≥95% ok of all, fails past 0 and 5%
"
        );
        assert_eq!(
            render_list(&[rollout], NOW),
            "\
ID  RELEASE     STATE   PASSED  IN FLIGHT  OK  FAILED  CREATED  DEVICES
r1  pump/2.1.0  paused  0 of 2  0          0   1       1m ago   all devices
"
        );
    }

    #[test]
    fn a_preview() {
        let plan = plan_of("slipway rollout create pump/2.0.0 --wave 10 --wave 100").unwrap();
        let preview = v1::PreviewRolloutResponse {
            matched: 10,
            already_there: 1,
            incompatible: 1,
            wave_devices: vec![1, 7],
            from_versions: [("1.0.0".to_owned(), 7), (String::new(), 3)].into(),
            bytes: 64 << 20,
            later: 0,
        };
        assert_eq!(
            render_preview(&preview, &plan),
            "\
release        pump/2.0.0
matched        10 devices
already there  1
run later      0
incompatible   1
offered        8
transfer       at most 64.0 MiB

WAVE  TO    DEVICES
1     10%   1
2     100%  7

FROM VERSION  DEVICES
1.0.0         7
unknown       3
"
        );
    }
}

//! Plans from flags, and rollouts as they are shown.

use clap::Parser as _;

use super::*;
use crate::{
    args::{Args, Command},
    clock::Clock,
    testing::Shared,
};

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
        plan_of("slipway rollout create pump/2.1.0 --wave 10:soak=30s,max-in-flight=2 --wave 100").unwrap();
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
    let left_out = |code: &str, devices| v1::LeftOut { code: code.to_owned(), devices };
    rollout.left_out = vec![left_out("ALREADY_THERE", 12), left_out("DEVICE_PENDING", 1)];
    assert_eq!(
        render(&rollout, NOW),
        "\
rollout     r1
release     pump/2.1.0
state       paused: wave 1 failed: 1 of 1 finished updates failed
devices     all of the product
on failure  pause
timeout     1d
left out    12 already there, 1 pending
created     2026-11-22 14:02:05Z (1m ago)
by          admin
changed     2026-11-22 14:03:05Z (just now)

WAVE  TO    STATE    DEVICES  ADMITTED  IN FLIGHT  LIMIT  OK  FAILED  GATE
1     10%   failed   1        1         0          2      0   1       opens the next at ≥95% ok of all, fails above 5% failed (at once from 1 failure on), soak 30s
2     100%  pending  7        0         0          -      0   0       opens the next at ≥95% ok of all, fails above 5% failed (at once from 1 failure on)
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
        left_out: vec![v1::LeftOut { code: "LEFT_OUT_BY_ALERTS".into(), devices: 2 }],
    };
    assert_eq!(
        render_preview(&preview, &plan),
        "\
release        pump/2.0.0
matched        10 devices
already there  1
run later      0
incompatible   1
held back      0
offered        8
left out       2 by alerts
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

#[test]
fn a_plan_that_was_only_checked_has_no_state() {
    let mut answer =
        plan_of("slipway rollout create pump/2.0.0 --wave 10:max-in-flight=2 --wave 100").unwrap();
    answer.name = "rollouts/r1".into();
    answer.etag = "x".into();
    answer.create_time = Some(human::timestamp(NOW));
    answer.set_state(v1::RolloutState::Running);
    answer.waves[0].set_state(v1::WaveState::Open);
    answer.waves[0].devices = 1;
    answer.waves[1].devices = 7;
    let plan = planned(answer);
    assert_eq!(
        render_plan(&plan),
        "\
release     pump/2.0.0
devices     all of the product
on failure  pause
timeout     1d

WAVE  TO    DEVICES  LIMIT  GATE
1     10%   1        2      opens the next at ≥95% ok of all, fails above 5% failed (at once from 1 failure on)
2     100%  7        -      opens the next at ≥95% ok of all, fails above 5% failed (at once from 1 failure on)
"
    );
    let json = json::message("Rollout", &plan).unwrap();
    assert_eq!((&json["name"], &json["state"]), (&"".into(), &"ROLLOUT_STATE_UNSPECIFIED".into()));
    assert!(json.get("createTime").is_none_or(Value::is_null), "{json}");
}

#[test]
fn a_list_has_no_count_that_nobody_made() {
    let rollout = plan_of("slipway rollout create pump/2.0.0 --wave 100").unwrap();
    let json = listed_json(&rollout).unwrap();
    assert_eq!(json["waves"][0]["percent"], 100.0);
    assert!(json["waves"][0].get("devices").is_none(), "{json}");
}

#[test]
fn whoever_is_left_out_by_alerts_is_left_out_for_good_unless_it_is_standing() {
    let talk = Shared::default();
    let console = Console::to_writers(std::io::sink(), talk.clone(), Format::Table, Clock::Fixed(NOW));
    let left_out = |code: &str| vec![v1::LeftOut { code: code.to_owned(), devices: 2 }];
    hint_at_standing(&left_out("REVOKED"), false, &console);
    hint_at_standing(&left_out("LEFT_OUT_BY_ALERTS"), true, &console);
    assert_eq!(talk.text(), "");
    hint_at_standing(&left_out("LEFT_OUT_BY_ALERTS"), false, &console);
    assert!(talk.text().starts_with("note: 2 devices are left out by alerts; "), "{}", talk.text());
    assert!(talk.text().contains("--standing"), "{}", talk.text());
}

#[test]
fn a_plan_that_reaches_nobody_is_warned_of() {
    let talk = Shared::default();
    let console = Console::to_writers(std::io::sink(), talk.clone(), Format::Table, Clock::Fixed(NOW));
    let plan = plan_of("slipway rollout create pump/2.0.0 --standing").unwrap();
    warn_of_nobody(&[1, 2], &plan, &console);
    assert_eq!(talk.text(), "");
    warn_of_nobody(&[0, 0], &plan, &console);
    assert!(
        talk.text().starts_with(
            "warning: as things are this plan brings pump/2.0.0 to no device, until some match later; "
        ),
        "{}",
        talk.text()
    );
}

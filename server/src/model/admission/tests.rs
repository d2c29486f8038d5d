use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    model::{
        alert::{Kind, Severity},
        condition::Condition,
        device::{Blocked, Component, Device, Inventory, Standing},
        rollout_fixtures::{self, START},
        update::{Reason, Update},
    },
    rng::Rng,
};

fn device() -> Device {
    Device {
        id: "pump-1".to_owned(),
        product: "pump".to_owned(),
        hardware: "gw-a".to_owned(),
        state: DeviceState::Active,
        spki_sha256: slipway_trust::Sha256::of(b"key"),
        standing: Standing::default(),
        certificate_serial: String::new(),
        certificate_not_after: START,
        enrolled_by: String::new(),
        labels: BTreeMap::from([("site".to_owned(), "north".to_owned())]),
        inventory: Inventory {
            digest: 1,
            components: vec![Component {
                component: "system".to_owned(),
                version: "1.0.0".to_owned(),
                counter: 1,
                digest: String::new(),
                slot: "a".to_owned(),
            }],
            ..Inventory::default()
        },
        have: slipway_trust::Versions::default(),
        failures: 0,
        quarantined_until: None,
        created_at: START,
        updated_at: START,
        generation: 1,
    }
}

fn update(state: UpdateState, rolls_back: bool) -> Update {
    Update {
        id: "u".to_owned(),
        device_id: "pump-1".to_owned(),
        rollout_id: "r".to_owned(),
        wave: 1,
        product: "pump".to_owned(),
        version: "2.0.0".to_owned(),
        from_version: "1.0.0".to_owned(),
        from_counter: 1,
        rolls_back,
        state,
        reason: Reason::default(),
        bytes_fetched: 0,
        bytes_written: 0,
        attempt: 0,
        created_at: START,
        updated_at: START,
        deadline_at: (!state.is_terminal()).then_some(START.after(Duration::from_secs(9))),
        finished_at: state.is_terminal().then_some(START),
        settled: state.is_terminal(),
        generation: 1,
    }
}

fn target(version: &str, counter: u64) -> Target {
    Target { version: version.into(), counter, min_from: 0, hardware: Arc::from(["gw-a".to_owned()]) }
}

fn rollout(state: RolloutState, wave_state: WaveState) -> ActiveRollout {
    let mut rollout = rollout_fixtures::rollout(state, &[wave_state]);
    rollout.waves[0].max_in_flight = 2;
    ActiveRollout {
        rollout,
        id: "r".into(),
        selector: Selector::default(),
        release: target("2.0.0", 2),
        others: Arc::from([]),
    }
}

fn open() -> ActiveRollout {
    rollout(RolloutState::Running, WaveState::Open)
}

fn facts(device: &Device, updates: &[Update]) -> Facts {
    Facts::new(device, updates, None, |word| word.into())
}

fn codes(facts: &Facts, active: &ActiveRollout) -> Vec<&'static str> {
    verdict(facts, active, START).obstacles.iter().map(Obstacle::code).collect()
}

#[test]
fn every_obstacle_is_found() {
    let with = |change: &dyn Fn(&mut Device)| {
        let mut device = device();
        change(&mut device);
        facts(&device, &[])
    };
    let of = |change: &dyn Fn(&mut ActiveRollout)| {
        let mut active = open();
        change(&mut active);
        active
    };
    let plain = with(&|_| {});
    let later = START.after(Duration::from_secs(1));
    let table: Vec<(Facts, ActiveRollout, &[&str])> = vec![
        (plain.clone(), open(), &[]),
        (with(&|d| d.product = "gateway".to_owned()), open(), &["NOT_SELECTED"]),
        (
            plain.clone(),
            of(&|r| r.selector = Selector::parse("labels.site = south").unwrap()),
            &["NOT_SELECTED"],
        ),
        (plain.clone(), of(&|r| r.selector = Selector::parse("labels.site = north").unwrap()), &[]),
        (with(&|d| d.inventory.components[0].counter = 2), open(), &["ALREADY_THERE"]),
        (with(&|d| d.inventory.components[0].counter = 3), open(), &["RUNS_LATER"]),
        (with(&|d| d.inventory.components[0].counter = 3), of(&|r| r.rollout.allow_downgrade = true), &[]),
        (
            with(&|d| {
                d.inventory.components[0].counter = 3;
                d.inventory.floor = 3;
            }),
            of(&|r| r.rollout.allow_downgrade = true),
            &["BELOW_FLOOR"],
        ),
        (with(&|d| d.inventory = Inventory::default()), open(), &["INVENTORY_UNKNOWN"]),
        (with(&|d| d.hardware = "gw-b".to_owned()), open(), &["INCOMPATIBLE_HARDWARE"]),
        (with(&|d| d.inventory.floor = 3), open(), &["BELOW_FLOOR"]),
        (plain.clone(), of(&|r| r.release.min_from = 2), &["BELOW_STEPPING_STONE"]),
        (
            with(&|d| {
                d.state = DeviceState::Quarantined;
                d.quarantined_until = Some(later);
            }),
            open(),
            &["QUARANTINED"],
        ),
        (
            with(&|d| {
                d.state = DeviceState::Quarantined;
                d.quarantined_until = Some(START);
            }),
            open(),
            &[],
        ),
        (with(&|d| d.state = DeviceState::Pending), open(), &["DEVICE_PENDING"]),
        (with(&|d| d.state = DeviceState::Registered), open(), &["NOT_ENROLLED"]),
        (with(&|d| d.state = DeviceState::Revoked), open(), &["REVOKED"]),
        (
            with(&|d| {
                d.inventory.blocked = Some(Blocked { code: FROZEN.to_owned(), detail: String::new() });
            }),
            open(),
            &["BLOCKED"],
        ),
        (
            with(&|d| {
                let code = "TIMESTAMP_EXPIRED".to_owned();
                d.inventory.blocked = Some(Blocked { code, detail: String::new() });
            }),
            open(),
            &[],
        ),
        (facts(&device(), &[update(UpdateState::Trial, false)]), open(), &["BUSY"]),
        (facts(&device(), &[update(UpdateState::Failed, false)]), open(), &["ALREADY_TRIED"]),
        (plain.clone(), rollout(RolloutState::Paused, WaveState::Open), &["ROLLOUT_HELD"]),
        (plain.clone(), rollout(RolloutState::Running, WaveState::Pending), &["WAVE_NOT_OPEN"]),
        (plain.clone(), rollout(RolloutState::Paused, WaveState::Failed), &["ROLLOUT_HELD", "WAVE_FAILED"]),
        (plain.clone(), rollout(RolloutState::Running, WaveState::Passed), &[]),
        (plain, of(&|r| r.rollout.waves[0].counts.in_flight = 2), &["WAVE_FULL"]),
    ];
    for (facts, active, expected) in table {
        assert_eq!(codes(&facts, &active), expected, "{facts:?}\n{active:?}");
    }
}

#[test]
fn the_newest_release_that_fits_is_offered() {
    let mut newer = open();
    newer.id = "s".into();
    newer.release = target("3.0.0", 3);
    let rollouts = [open(), newer.clone()];
    let offer = decide(&facts(&device(), &[]), &rollouts, START).unwrap();
    assert_eq!(&*offer.1.version, "3.0.0");
    // Where it needs a stepping stone, that comes first.
    newer.release.min_from = 2;
    let rollouts = [open(), newer];
    let offer = decide(&facts(&device(), &[]), &rollouts, START).unwrap();
    assert_eq!(&*offer.1.version, "2.0.0");
}

#[test]
fn who_took_a_release_goes_back_and_nobody_else() {
    let mut active = rollout(RolloutState::RollingBack, WaveState::Failed);
    active.others = Arc::from([target("1.0.0", 1)]);
    let mut runs = device();
    runs.inventory.components[0].version = "2.0.0".to_owned();
    runs.inventory.components[0].counter = 2;
    let took = update(UpdateState::Succeeded, false);

    let verdict = verdict(&facts(&runs, std::slice::from_ref(&took)), &active, START);
    assert!(verdict.is_offer() && verdict.rolls_back, "{verdict:?}");
    assert_eq!(&*verdict.version, "1.0.0");

    let back = update(UpdateState::Failed, true);
    assert_eq!(codes(&facts(&runs, &[took.clone(), back]), &active), ["ALREADY_TRIED"]);
    assert_eq!(codes(&facts(&device(), std::slice::from_ref(&took)), &active), ["ALREADY_THERE"]);
    assert_eq!(codes(&facts(&device(), &[]), &active), ["ROLLOUT_HELD"]);
    runs.inventory.floor = 2;
    assert_eq!(codes(&facts(&runs, std::slice::from_ref(&took)), &active), ["NOTHING_TO_GO_BACK_TO"]);
    active.others = Arc::from([]);
    runs.inventory.floor = 0;
    assert_eq!(codes(&facts(&runs, &[took]), &active), ["NOTHING_TO_GO_BACK_TO"]);
}

/// How an update ended here says little: one that was taken back, or timed out, may have been past the
/// device's last look at the server. What counts is what the device runs, and that it has said so.
#[test]
fn who_may_have_taken_a_release_is_waited_for_and_goes_back() {
    let mut active = rollout(RolloutState::RollingBack, WaveState::Failed);
    active.others = Arc::from([target("1.0.0", 1), target("3.0.0", 3)]);
    active.selector = Selector::parse("labels.ring = none").unwrap();
    let mut on_it = device();
    on_it.inventory.components[0].version = "2.0.0".to_owned();
    on_it.inventory.components[0].counter = 2;
    on_it.state = DeviceState::Quarantined;
    on_it.quarantined_until = Some(START.after(Duration::from_secs(1)));
    let frozen = Some(Blocked { code: FROZEN.to_owned(), detail: String::new() });
    let way = |device: &Device, updates: &[Update]| {
        let verdict = verdict(&facts(device, updates), &active, START);
        (verdict.way_back(), verdict.is_offer())
    };
    for state in [UpdateState::Cancelled, UpdateState::TimedOut] {
        let ended = |settled| Update { settled, ..update(state, false) };
        assert_eq!(way(&device(), &[ended(false)]), (WayBack::Ahead, false), "{state:?}");
        assert_eq!(way(&device(), &[ended(true)]), (WayBack::Done, false), "{state:?}");
        for settled in [false, true] {
            assert_eq!(way(&on_it, &[ended(settled)]), (WayBack::Ahead, true), "{state:?}");
        }
        let back = |settled| Update { settled, ..update(UpdateState::TimedOut, true) };
        assert_eq!(way(&on_it, &[ended(true), back(false)]), (WayBack::Ahead, false));
        assert_eq!(way(&on_it, &[ended(true), back(true)]), (WayBack::Stranded, false));
        assert_eq!(way(&device(), &[ended(true), back(true)]), (WayBack::Done, false));
    }
    // What a device itself calls a failure is none of this rollout's doing any more.
    assert_eq!(way(&on_it, &[update(UpdateState::Failed, false)]), (WayBack::Done, false));
    let mut stuck = device();
    stuck.inventory.blocked = frozen.clone();
    let cancelled = update(UpdateState::Cancelled, false);
    assert_eq!(way(&stuck, std::slice::from_ref(&cancelled)), (WayBack::Done, false));
    on_it.inventory.blocked = frozen;
    assert_eq!(way(&on_it, &[cancelled]), (WayBack::Stranded, false));
}

/// A device that a downgrade brought down goes back up when that fails.
#[test]
fn the_way_back_of_a_downgrade_leads_up() {
    let mut active = rollout(RolloutState::RollingBack, WaveState::Failed);
    active.rollout.allow_downgrade = true;
    active.others = Arc::from([target("1.0.0", 1), target("3.0.0", 3)]);
    let mut runs = device();
    runs.inventory.components[0].version = "2.0.0".to_owned();
    runs.inventory.components[0].counter = 2;
    let took =
        Update { from_version: "3.0.0".to_owned(), from_counter: 3, ..update(UpdateState::Succeeded, false) };
    let verdict = verdict(&facts(&runs, &[took]), &active, START);
    assert_eq!((verdict.is_offer(), &*verdict.version), (true, "3.0.0"));
}

#[test]
fn devices_that_share_a_label_stand_together() {
    let mut active = open();
    active.rollout.spread_by = "site".to_owned();
    let mut other = device();
    other.id = "pump-2".to_owned();
    let (a, b) = (facts(&device(), &[]), facts(&other, &[]));
    assert_eq!(verdict(&a, &active, START).position, verdict(&b, &active, START).position);
    active.rollout.spread_by = "room".to_owned();
    assert_ne!(verdict(&a, &active, START).position, verdict(&b, &active, START).position);
}

/// Whatever the line is cut into, each place on it belongs to exactly one wave.
#[test]
fn waves_partition_the_line() {
    let rng = Rng::seeded(5);
    for _ in 0..200 {
        let mut cuts: Vec<u32> =
            (0..5).map(|_| u32::from_le_bytes(rng.bytes()) % (LINE - 1) + 1).chain([LINE]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let template = open().rollout.waves.remove(0);
        let waves: Vec<Wave> = (1..)
            .zip(&cuts)
            .map(|(number, upper)| Wave { number, upper: *upper, ..template.clone() })
            .collect();
        assert_eq!(waves.iter().map(|wave| share(&waves, wave.number)).sum::<u32>(), LINE);
        for _ in 0..50 {
            let place = u32::from_le_bytes(rng.bytes()) % LINE;
            let found = wave_at(&waves, place).unwrap();
            let below = if found.number == 1 { 0 } else { waves[found.number as usize - 2].upper };
            assert!((below..found.upper).contains(&place));
        }
    }
}

#[test]
fn who_is_not_in_the_fleet_yet_belongs_to_no_wave() {
    for state in [DeviceState::Pending, DeviceState::Registered] {
        let device = Device { state, ..device() };
        let verdict = verdict(&facts(&device, &[]), &open(), START);
        assert_eq!((verdict.wave, verdict.is_expected()), (0, false), "{state:?}");
    }
}

#[test]
fn living_alerts_select_and_leave_out() {
    let worn = Condition {
        kind: Kind::Prognosis,
        severity: Severity::Warning,
        failure_mode: "storage_wear".into(),
        component: "mmcblk0".into(),
    };
    let well = facts(&device(), &[]);
    let sick = well.clone().with_conditions(7, [worn]);
    let asked = |facts: &Facts, selector: &str| {
        let mut active = open();
        active.selector = Selector::parse_rollout(selector).unwrap_or_else(|e| panic!("{e}"));
        codes(facts, &active)
    };
    for (selector, of_well, of_sick) in [
        ("NOT alerts.failure_mode:storage_wear", &[][..], &["LEFT_OUT_BY_ALERTS"][..]),
        ("NOT alerts.kind:prognosis", &[], &["LEFT_OUT_BY_ALERTS"]),
        ("NOT alerts.kind:*", &[], &["LEFT_OUT_BY_ALERTS"]),
        ("NOT alerts.failure_mode:storage", &[], &[]),
        ("NOT alerts.severity:critical", &[], &[]),
        ("NOT alerts.component:mmcblk*", &[], &["LEFT_OUT_BY_ALERTS"]),
        ("alerts.failure_mode:storage_wear", &["NOT_SELECTED"], &[]),
        (
            "labels.site = south AND NOT alerts.failure_mode:storage_wear",
            &["NOT_SELECTED"],
            &["NOT_SELECTED"],
        ),
    ] {
        assert_eq!(asked(&well, selector), of_well, "{selector}");
        assert_eq!(asked(&sick, selector), of_sick, "{selector}");
    }
    let told = verdict(
        &sick,
        &{
            let mut active = open();
            active.selector = Selector::parse_rollout("NOT alerts.failure_mode:storage_wear").unwrap();
            active
        },
        START,
    );
    assert_eq!(
        told.obstacles[0].to_string(),
        "the rollout's selector leaves the device out for its alerts: storage_wear (warning) of mmcblk0"
    );
    let refused = Selector::parse_rollout("alerts.kind = storage_wear").unwrap_err();
    assert!(refused.message.starts_with("alerts.kind may hold several words at once"), "{refused:?}");
    assert!(refused.hint.contains("alerts.kind:storage_wear"), "{refused:?}");
    assert!(Selector::parse("alerts.kind:storage_wear").is_err(), "limits are not for what alerts say");
}

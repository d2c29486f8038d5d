//! Event by event: what each state makes of it.

use slipway_trust::Sha256;

use super::{memory::OUTBOX, *};

const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

fn release(counter: u64) -> Release {
    Release {
        product: "pump".to_owned(),
        version: format!("{counter}.0.0"),
        counter,
        floor: counter - 1,
        manifest: Sha256::of(&[1, counter as u8]),
        manifest_length: 100,
        digest: Sha256::of(&[2, counter as u8]),
        size: 4096,
    }
}

fn world(boot: &str, running: Slot) -> World {
    World { boot_id: boot.to_owned(), running, default: Slot::A, trying: None, tries_left: 0 }
}

fn offer(update: &str, counter: u64) -> Event {
    let offer = Offer { update: update.to_owned(), release: release(counter), deadline: None };
    Event::Offered(Box::new(offer), world("1", Slot::A))
}

fn surveyed() -> Event {
    Event::Surveyed { capacity: None, inhibited: false, boot_id: "1".to_owned() }
}

fn reason(code: &str) -> Reason {
    Reason::new(code, "for a test")
}

/// Plays events from a fresh device on; the last outcome counts.
fn play(events: impl IntoIterator<Item = Event>) -> (Snapshot, Vec<Effect>) {
    play_on(Snapshot::default(), events)
}

fn play_on(from: Snapshot, events: impl IntoIterator<Item = Event>) -> (Snapshot, Vec<Effect>) {
    events.into_iter().fold((from, Vec::new()), |(snapshot, _), event| {
        step(&snapshot, event, NOW).expect("the event means something")
    })
}

fn to_arming() -> Vec<Event> {
    vec![
        offer("u1", 2),
        surveyed(),
        Event::Prepared,
        Event::Fetched(Progress::default()),
        Event::Verified,
        surveyed(),
    ]
}

fn in_trial() -> Snapshot {
    let mut events = to_arming();
    events.extend([Event::Armed, Event::Started(tried("2"))]);
    play(events).0
}

fn tried(boot: &str) -> World {
    World { trying: Some(Slot::B), ..world(boot, Slot::B) }
}

fn steps(snapshot: &Snapshot) -> Vec<Step> {
    snapshot.memory.outbox.iter().map(|report| report.step).collect()
}

#[test]
fn an_update_goes_its_way_and_the_floor_rises_at_its_end_only() {
    let (snapshot, effects) = play_on(in_trial(), [Event::Healthy { contact: true }]);
    assert_eq!(snapshot.state.name(), "committing");
    assert_eq!(effects, [Effect::Commit { slot: Slot::B }]);
    assert_eq!(snapshot.memory.floor, 0, "the boot loader does not know of it yet");

    let (snapshot, effects) = play_on(snapshot, [Event::Committed { running: Slot::B }]);
    assert_eq!((&snapshot.state, snapshot.deadline), (&State::Idle, None));
    assert_eq!(effects, []);
    assert_eq!(snapshot.memory.floor, 1);
    assert_eq!(snapshot.memory.installed(Slot::B).unwrap().version, "2.0.0");
    assert_eq!(steps(&snapshot), [Step::Downloading, Step::Staged, Step::Trial, Step::Succeeded]);
    let sequences: Vec<u64> = snapshot.memory.outbox.iter().map(|report| report.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    assert_eq!(snapshot.memory.outbox[3].running_version, "2.0.0");

    let (snapshot, _) = play_on(snapshot, [Event::Delivered { sequence: 1 }]);
    assert_eq!(steps(&snapshot), [Step::Staged, Step::Trial, Step::Succeeded]);
}

#[test]
fn every_state_that_is_not_an_end_has_a_deadline_and_something_to_do() {
    let mut events = to_arming();
    events.extend([Event::Armed]);
    let mut snapshot = Snapshot::default();
    for event in events {
        snapshot = play_on(snapshot, [event]).0;
        assert!(snapshot.deadline.is_some_and(|deadline| deadline > NOW), "{}", snapshot.state.name());
        assert!(snapshot.state.effect().is_some(), "{}", snapshot.state.name());
        let late = NOW + 25 * HOUR;
        let (after, _) = step(&snapshot, Event::Deadline, late).unwrap();
        assert_ne!(after.state, snapshot.state, "a passed deadline leads somewhere");
    }
}

#[test]
fn what_does_not_fit_is_rejected_before_anything_is_touched() {
    let tight = Event::Surveyed { capacity: Some(4095), inhibited: false, boot_id: "1".to_owned() };
    let (snapshot, effects) = play([offer("u1", 2), tight]);
    assert_eq!(snapshot.state, State::Idle);
    assert_eq!(effects, [Effect::Stop]);
    let report = &snapshot.memory.outbox[0];
    assert_eq!(report.step, Step::Rejected);
    assert_eq!(report.reason.as_ref().unwrap().code, "IMAGE_LARGER_THAN_SLOT");
    let exact = Event::Surveyed { capacity: Some(4096), inhibited: false, boot_id: "1".to_owned() };
    assert_eq!(play([offer("u1", 2), exact]).0.state.name(), "preparing");
}

#[test]
fn an_inhibitor_holds_back_the_start_and_the_reboot() {
    let busy = Event::Surveyed { capacity: None, inhibited: true, boot_id: "1".to_owned() };
    let (snapshot, effects) = play([offer("u1", 2), busy.clone(), busy.clone()]);
    assert_eq!(snapshot.state.name(), "waiting");
    assert_eq!(effects, [Effect::Survey { later: true }]);
    let mut events = to_arming();
    let last = events.pop().unwrap();
    events.extend([busy.clone(), busy]);
    let (snapshot, _) = play(events);
    assert_eq!(snapshot.state.name(), "staged");
    assert_eq!(play_on(snapshot, [last]).0.state.name(), "arming");
}

#[test]
fn a_failed_trial_goes_back_and_says_why() {
    let (snapshot, effects) = play_on(in_trial(), [Event::Unhealthy(reason("HEALTH_CHECK_FAILED"))]);
    assert_eq!(effects, [Effect::Stop, Effect::Restore { slot: Slot::A }]);
    let (snapshot, effects) = play_on(snapshot, [Event::Restored { running: Slot::B }]);
    assert_eq!(effects, [Effect::Reboot]);
    let (snapshot, effects) = play_on(snapshot, [Event::Started(world("3", Slot::A))]);
    assert_eq!(effects, [Effect::Restore { slot: Slot::A }]);
    let (snapshot, _) = play_on(snapshot, [Event::Restored { running: Slot::A }]);
    assert_eq!(snapshot.state, State::Idle);
    let report = snapshot.memory.outbox.last().unwrap();
    assert_eq!(
        (report.step, report.reason.as_ref().unwrap().code.as_str()),
        (Step::RolledBack, "HEALTH_CHECK_FAILED")
    );
    assert_eq!(snapshot.memory.floor, 0);
    assert_eq!(snapshot.memory.failures(&release(2).digest, NOW), (1, None));
}

#[test]
fn a_trial_is_told_apart_by_the_world() {
    let mut events = to_arming();
    events.push(Event::Armed);
    let rebooting = play(events).0;
    let judged = |world: World| play_on(rebooting.clone(), [Event::Started(world)]).0.state.name();
    assert_eq!(judged(world("1", Slot::A)), "rebooting", "the same boot: ask again");
    assert_eq!(judged(tried("2")), "trial");
    assert_eq!(judged(World { trying: Some(Slot::B), ..world("2", Slot::A) }), "rolling-back");
    let untried = World { trying: Some(Slot::B), tries_left: 1, ..world("2", Slot::A) };
    assert_eq!(judged(untried), "rebooting");

    let trial = in_trial();
    let judged = |world: World| play_on(trial.clone(), [Event::Started(world)]).0.state;
    assert_eq!(judged(tried("2")), trial.state, "the agent was killed, the boot is the same");
    assert_eq!(judged(world("3", Slot::A)).name(), "rolling-back", "the power went during the trial");

    let arming = play(to_arming()).0;
    let judged = |world: World| play_on(arming.clone(), [Event::Started(world)]).0.state.name();
    assert_eq!(judged(world("2", Slot::A)), "arming", "the power went before the boot loader was armed");
    assert_eq!(judged(tried("2")), "trial", "and after it");
}

#[test]
fn contact_is_preferred_not_required() {
    let (healthy, effects) = play_on(in_trial(), [Event::Healthy { contact: false }]);
    assert_eq!(effects, [Effect::AwaitContact]);
    for event in [Event::Contacted, Event::ContactAwaited] {
        assert_eq!(play_on(healthy.clone(), [event]).0.state.name(), "committing");
    }
    let late = step(&healthy, Event::Deadline, NOW + HOUR).unwrap().0;
    assert_eq!(late.state.name(), "rolling-back");
}

#[test]
fn a_commit_is_never_taken_back() {
    let committing = play_on(in_trial(), [Event::Healthy { contact: true }]).0;
    for event in [
        Event::Deadline,
        Event::Failed(reason("SLOT_IO_FAILED")),
        Event::Started(world("3", Slot::A)),
        Event::Committed { running: Slot::A },
    ] {
        assert_eq!(play_on(committing.clone(), [event]).0.state.name(), "committing");
    }
    let (_, effects) = play_on(committing, [Event::Committed { running: Slot::A }]);
    assert_eq!(effects, [Effect::Reboot], "the right default, the wrong slot");
}

#[test]
fn three_failures_put_a_digest_into_quarantine_for_a_week() {
    let mut snapshot = Snapshot::default();
    for n in 1..=3 {
        let events = [offer(&format!("u{n}"), 2), Event::Failed(reason("SEGMENT_DIGEST_MISMATCH"))];
        snapshot = play_on(snapshot, events).0;
        assert_eq!(snapshot.memory.outbox.last().unwrap().attempt, n);
        assert_eq!(snapshot.memory.outbox.last().unwrap().step, Step::Failed);
    }
    let refused = play_on(snapshot.clone(), [offer("u4", 2)]).0;
    assert_eq!(refused.state, State::Idle);
    assert_eq!(refused.memory.outbox.last().unwrap().reason.as_ref().unwrap().code, "RELEASE_QUARANTINED");
    assert_eq!(play_on(snapshot.clone(), [offer("u4", 3)]).0.state.name(), "planned", "another is welcome");
    let (later, _) = step(&snapshot, offer("u5", 2), NOW + 8 * 24 * HOUR).unwrap();
    assert_eq!(later.state.name(), "planned", "and so is this one, later");
}

#[test]
fn offers_are_heard_when_they_can_be() {
    let (snapshot, _) = play([offer("u1", 2), surveyed()]);
    assert_eq!(play_on(snapshot.clone(), [offer("u1", 2)]).0, snapshot, "known already");
    let (other, effects) = play_on(snapshot, [offer("u2", 3)]);
    assert_eq!(other.state.work().unwrap().update, "u2");
    assert_eq!(effects, [Effect::Stop, Effect::Survey { later: false }]);
    let trial = in_trial();
    assert_eq!(play_on(trial.clone(), [offer("u2", 3)]).0, trial, "a trial is not disturbed");

    let (failed, _) = play([offer("u1", 2), Event::Failed(reason("X"))]);
    assert_eq!(play_on(failed.clone(), [offer("u1", 2)]).0, failed, "its last report is under way");
}

#[test]
fn what_runs_already_is_a_success_at_once() {
    let (done, _) =
        play_on(in_trial(), [Event::Healthy { contact: true }, Event::Committed { running: Slot::B }]);
    let running = World { default: Slot::B, ..world("2", Slot::B) };
    let again = Offer { update: "u2".to_owned(), release: release(2), deadline: None };
    let (snapshot, _) = play_on(done, [Event::Offered(Box::new(again), running)]);
    assert_eq!(snapshot.state, State::Idle);
    assert_eq!(snapshot.memory.outbox.last().unwrap().step, Step::Succeeded);
}

#[test]
fn a_cancelled_update_is_dropped_unless_the_boot_loader_knows_of_it() {
    let cancel = || Event::Cancelled { update: "u1".to_owned() };
    let (snapshot, effects) = play([offer("u1", 2), surveyed(), Event::Prepared, cancel()]);
    assert_eq!((snapshot.state, effects), (State::Idle, vec![Effect::Stop]));
    let arming = play(to_arming()).0;
    assert!(step(&arming, cancel(), NOW).is_err());
    assert!(step(&in_trial(), cancel(), NOW).is_err());
}

#[test]
fn refusals_are_reported_once() {
    let refused = || Event::OfferRefused { update: "u1".to_owned(), reason: reason("METADATA_EXPIRED") };
    let (snapshot, _) = play([refused(), refused()]);
    assert_eq!(steps(&snapshot), [Step::Rejected]);
    let (snapshot, _) = play_on(snapshot, [Event::Delivered { sequence: 1 }, refused()]);
    assert_eq!(snapshot.memory.outbox[0].sequence, 2, "a sequence is never used twice");
}

#[test]
fn circles_end_in_inconsistent() {
    let (mut snapshot, _) = play_on(in_trial(), [Event::Healthy { contact: true }]);
    let mut now = NOW;
    for _ in 0..40 {
        let Ok((next, _)) = step(&snapshot, Event::Deadline, now) else { break };
        snapshot = next;
        now += HOUR;
    }
    assert_eq!(snapshot.state.name(), "inconsistent");
    let (snapshot, _) = play_on(snapshot, [offer("u9", 9)]);
    assert_eq!(snapshot.memory.outbox.last().unwrap().reason.as_ref().unwrap().code, "UPDATES_FROZEN");

    let (mut snapshot, _) = play_on(in_trial(), [Event::Unhealthy(reason("X"))]);
    for boot in 0..4 {
        assert_eq!(snapshot.state.name(), "rolling-back");
        let stuck = Event::Started(tried(&format!("again-{boot}")));
        snapshot = play_on(snapshot, [Event::Restored { running: Slot::B }, stuck]).0;
    }
    assert_eq!(snapshot.state.name(), "inconsistent", "three reboots did not bring the old slot back");
}

#[test]
fn slots_that_others_changed_end_the_update() {
    let (snapshot, _) = play([offer("u1", 2), surveyed(), Event::Prepared]);
    let (snapshot, _) =
        play_on(snapshot, [Event::Started(World { default: Slot::B, ..world("2", Slot::B) })]);
    assert_eq!(snapshot.state, State::Idle);
    assert_eq!(snapshot.memory.outbox.last().unwrap().reason.as_ref().unwrap().code, "SLOTS_CHANGED");

    let (snapshot, effects) = play([Event::Started(world("1", Slot::B))]);
    assert_eq!(snapshot.state.name(), "rolling-back", "nobody knows why b runs");
    assert_eq!(effects, [Effect::Restore { slot: Slot::A }]);
}

#[test]
fn the_last_arm_refuses() {
    let (idle, _) = play([]);
    for event in [Event::Prepared, Event::Armed, Event::Verified, Event::Contacted, Event::Deadline] {
        assert!(step(&idle, event, NOW).is_err());
    }
    let (snapshot, _) = play([offer("u1", 2)]);
    assert!(step(&snapshot, Event::Committed { running: Slot::A }, NOW).is_err());
}

#[test]
fn a_snapshot_comes_back_from_its_text() {
    let trial = in_trial();
    let text = serde_json::to_vec(&trial).unwrap();
    assert_eq!(serde_json::from_slice::<Snapshot>(&text).unwrap(), trial);
    assert!(text.len() < 4096, "{} bytes a record", text.len());
}

#[test]
fn a_server_that_takes_no_report_does_not_fill_the_journal() {
    let offers = (0..2 * OUTBOX).map(|number| Event::OfferRefused {
        update: format!("u{number}"),
        reason: Reason::new("METADATA_EXPIRED", "x".repeat(2000)),
    });
    let (snapshot, _) = play(offers);
    assert_eq!(snapshot.memory.outbox.len(), OUTBOX);
    assert_eq!(snapshot.memory.outbox[0].update, format!("u{OUTBOX}"), "the oldest make room");
    assert!(serde_json::to_vec(&snapshot).unwrap().len() < 256 << 10);
}

//! Rollouts, their waves, updates and reports.

use std::time::Duration;

use slipway_server::{
    model::{
        gate::Gate,
        rollout::{FailureAction, Rollout, RolloutState},
        update::{HistoryLine, Outcome, Reason, Update, UpdateState},
        wave::{Counts, LINE, Wave, WaveState},
    },
    store::{
        StoreError,
        rollouts::{
            rollout_advance, rollout_enter, rollout_get, rollout_hold, rollout_insert, rollouts_active,
            rollouts_page,
        },
        update_lists::{
            updates_changed, updates_due, updates_next_deadline, updates_of_device, updates_of_devices,
            updates_page, updates_takers, updates_unfinished,
        },
        updates::{
            history_append, history_list, update_get, update_insert, update_store, updates_cancel,
            updates_settle,
        },
        waves::{wave_admit, wave_enter, wave_finish, waves_forgive},
    },
};

use crate::backend::{Backend, at, contract};

contract! {
    devices_settle_what_ended;
    what_goes_in_comes_out;
    only_rollouts_that_are_not_over_are_active;
    a_generation_guards_every_step;
    admissions_never_overshoot;
    a_paused_rollout_admits_nobody;
    waves_count_and_forgive;
    a_device_has_one_update_at_a_time;
    an_update_ends_once;
    lists_of_updates;
    what_is_not_installed_is_cancelled;
    history_is_kept_in_order_and_bounded;
}

fn rollout(id: &str, max_in_flight: u32) -> Rollout {
    let gate = Gate {
        min_success_percent: 95,
        min_sample: 3,
        max_failures: 1,
        max_failure_percent: 5,
        soak: Duration::from_millis(1500),
    };
    let wave = |number, upper, state| Wave {
        number,
        upper,
        max_in_flight,
        gate,
        state,
        opened_at: (number == 1).then_some(at(1)),
        soaking_since: None,
        counts: Counts::default(),
    };
    Rollout {
        id: id.to_owned(),
        product: "pump".to_owned(),
        version: "2.0.0".to_owned(),
        selector: "labels.site = \"north\"".to_owned(),
        on_failure: FailureAction::RollBack,
        standing: true,
        allow_downgrade: true,
        spread_by: "site".to_owned(),
        update_timeout: Duration::from_secs(600),
        seed: "00ff".to_owned(),
        state: RolloutState::Running,
        state_reason: String::new(),
        created_at: at(0),
        created_by: "test".to_owned(),
        updated_at: at(0),
        generation: 1,
        waves: vec![wave(1, LINE / 4, WaveState::Open), wave(2, LINE, WaveState::Pending)],
    }
}

fn update(id: &str, device: &str, rollout: &str) -> Update {
    Update {
        id: id.to_owned(),
        device_id: device.to_owned(),
        rollout_id: rollout.to_owned(),
        wave: 1,
        product: "pump".to_owned(),
        version: "2.0.0".to_owned(),
        from_version: "1.0.0".to_owned(),
        from_counter: 1,
        rolls_back: false,
        state: UpdateState::Offered,
        reason: Reason::default(),
        bytes_fetched: 1,
        bytes_written: 2,
        attempt: 3,
        created_at: at(1),
        updated_at: at(1),
        deadline_at: Some(at(601)),
        finished_at: None,
        settled: false,
        generation: 1,
    }
}

fn ended(id: &str, device: &str, rollout: &str, state: UpdateState) -> Update {
    Update {
        state,
        deadline_at: None,
        finished_at: Some(at(2)),
        updated_at: at(2),
        ..update(id, device, rollout)
    }
}

async fn store(backend: &Backend, rollouts: &[Rollout], updates: &[Update]) {
    let mut tx = backend.db.write().await.unwrap();
    for rollout in rollouts {
        rollout_insert(&mut tx, rollout).await.unwrap();
    }
    for update in updates {
        update_insert(&mut tx, update).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn stored(backend: &Backend, id: &str) -> Rollout {
    let mut tx = backend.db.read().await.unwrap();
    rollout_get(&mut tx, id).await.unwrap().unwrap()
}

async fn what_goes_in_comes_out(backend: Backend) {
    let one = rollout("one", 7);
    store(&backend, &[one.clone(), rollout("two", 0)], &[update("u", "d", "one")]).await;
    assert_eq!(stored(&backend, "one").await, one);
    let mut tx = backend.db.read().await.unwrap();
    assert_eq!(rollout_get(&mut tx, "none").await.unwrap(), None);
    let newest: Vec<_> = rollouts_page(&mut tx, None, 1).await.unwrap().0.into_iter().map(|r| r.id).collect();
    assert_eq!(newest, ["two"]);
    let older: Vec<_> =
        rollouts_page(&mut tx, Some("two"), 9).await.unwrap().0.into_iter().map(|r| r.id).collect();
    assert_eq!(older, ["one"]);
    assert_eq!(update_get(&mut tx, "u").await.unwrap(), Some(update("u", "d", "one")));
}

async fn only_rollouts_that_are_not_over_are_active(backend: Backend) {
    let all: Vec<Rollout> = RolloutState::ALL
        .into_iter()
        .map(|state| Rollout { state, ..rollout(&format!("r-{}", state.as_str()), 0) })
        .collect();
    store(&backend, &all, &[]).await;
    let mut tx = backend.db.read().await.unwrap();
    let active: Vec<_> = rollouts_active(&mut tx).await.unwrap().into_iter().map(|r| r.state).collect();
    assert_eq!(active, [RolloutState::Paused, RolloutState::RollingBack, RolloutState::Running]);
}

async fn a_generation_guards_every_step(backend: Backend) {
    store(&backend, &[rollout("r", 0)], &[]).await;
    let mut tx = backend.db.write().await.unwrap();
    assert!(rollout_advance(&mut tx, "r", 1).await.unwrap());
    assert!(!rollout_advance(&mut tx, "r", 1).await.unwrap());
    assert!(!rollout_enter(&mut tx, "r", 1, RolloutState::Aborted, "", at(5)).await.unwrap());
    assert!(rollout_enter(&mut tx, "r", 2, RolloutState::Paused, "why", at(5)).await.unwrap());
    tx.commit().await.unwrap();
    let now = stored(&backend, "r").await;
    assert_eq!((now.state, now.state_reason.as_str(), now.generation), (RolloutState::Paused, "why", 3));
    assert_eq!(now.updated_at, at(5));
}

async fn admissions_never_overshoot(backend: Backend) {
    store(&backend, &[rollout("r", 5)], &[]).await;
    let mut polls = Vec::new();
    for _ in 0..16 {
        let db = backend.db.clone();
        polls.push(tokio::spawn(async move {
            let mut tx = db.write().await.unwrap();
            let state = rollout_hold(&mut tx, "r").await.unwrap();
            assert_eq!(state, Some(RolloutState::Running));
            let admitted = wave_admit(&mut tx, "r", 1).await.unwrap();
            tx.commit().await.unwrap();
            admitted
        }));
    }
    let mut admitted = 0;
    for poll in polls {
        admitted += usize::from(poll.await.unwrap());
    }
    assert_eq!(admitted, 5);
    let counts = stored(&backend, "r").await.waves[0].counts;
    assert_eq!((counts.in_flight, counts.admitted), (5, 5));
}

async fn a_paused_rollout_admits_nobody(backend: Backend) {
    store(&backend, &[rollout("r", 0)], &[]).await;
    let mut tx = backend.db.write().await.unwrap();
    assert!(!wave_admit(&mut tx, "r", 2).await.unwrap(), "a wave that is not open");
    assert!(wave_admit(&mut tx, "r", 1).await.unwrap());
    assert!(rollout_enter(&mut tx, "r", 1, RolloutState::Paused, "", at(5)).await.unwrap());
    assert!(!wave_admit(&mut tx, "r", 1).await.unwrap());
    assert_eq!(rollout_hold(&mut tx, "none").await.unwrap(), None);
}

async fn waves_count_and_forgive(backend: Backend) {
    store(&backend, &[rollout("r", 0)], &[]).await;
    let mut tx = backend.db.write().await.unwrap();
    for _ in 0..4 {
        assert!(wave_admit(&mut tx, "r", 1).await.unwrap());
    }
    wave_finish(&mut tx, "r", 1, Outcome::Success, 1).await.unwrap();
    wave_finish(&mut tx, "r", 1, Outcome::Failure, 1).await.unwrap();
    wave_finish(&mut tx, "r", 1, Outcome::Neither, 2).await.unwrap();
    wave_enter(&mut tx, "r", 1, WaveState::Soaking, at(7)).await.unwrap();
    wave_enter(&mut tx, "r", 2, WaveState::Failed, at(7)).await.unwrap();
    waves_forgive(&mut tx, "r").await.unwrap();
    tx.commit().await.unwrap();
    let now = stored(&backend, "r").await;
    let [first, second] = &now.waves[..] else { panic!("{now:?}") };
    let counts = Counts { admitted: 4, succeeded: 1, failed: 1, cancelled: 2, ..Counts::default() };
    assert_eq!(first.counts, counts);
    assert_eq!((first.opened_at, first.soaking_since), (Some(at(1)), Some(at(7))));
    assert_eq!((second.state, second.opened_at), (WaveState::Open, Some(at(7))));
    let mut tx = backend.db.write().await.unwrap();
    wave_enter(&mut tx, "r", 1, WaveState::Failed, at(8)).await.unwrap();
    waves_forgive(&mut tx, "r").await.unwrap();
    tx.commit().await.unwrap();
    let first = &stored(&backend, "r").await.waves[0];
    assert_eq!((first.counts.forgiven_succeeded, first.counts.forgiven_failed), (1, 1));
    assert_eq!((first.state, first.soaking_since), (WaveState::Open, None));
}

async fn a_device_has_one_update_at_a_time(backend: Backend) {
    store(&backend, &[rollout("r", 0)], &[update("u1", "d", "r"), update("u2", "e", "r")]).await;
    let mut tx = backend.db.write().await.unwrap();
    let error = update_insert(&mut tx, &update("u3", "d", "r")).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    drop(tx);
    store(&backend, &[], &[ended("u4", "d", "r", UpdateState::Failed)]).await;
}

async fn an_update_ends_once(backend: Backend) {
    store(&backend, &[rollout("r", 0)], &[update("u", "d", "r")]).await;
    let mut tx = backend.db.write().await.unwrap();
    let mut first = update_get(&mut tx, "u").await.unwrap().unwrap();
    let mut stale = first.clone();
    (first.state, first.finished_at, first.deadline_at) = (UpdateState::Succeeded, Some(at(9)), None);
    assert!(update_store(&mut tx, &mut first).await.unwrap());
    assert_eq!(first.generation, 2);
    stale.state = UpdateState::Failed;
    assert!(!update_store(&mut tx, &mut stale).await.unwrap());
    // Nor with the right generation: it ended.
    let mut late = Update { state: UpdateState::Failed, ..first.clone() };
    assert!(!update_store(&mut tx, &mut late).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = backend.db.read().await.unwrap();
    assert_eq!(update_get(&mut tx, "u").await.unwrap(), Some(first));
}

async fn lists_of_updates(backend: Backend) {
    let over = Rollout { state: RolloutState::Succeeded, ..rollout("over", 0) };
    let updates = [
        ended("u1", "a", "over", UpdateState::Succeeded),
        ended("u2", "a", "r", UpdateState::Succeeded),
        update("u3", "a", "over"),
        ended("u4", "b", "r", UpdateState::Failed),
        update("u5", "c", "r"),
    ];
    store(&backend, &[rollout("r", 0), over], &updates).await;
    let mut tx = backend.db.read().await.unwrap();
    let ids = |list: Vec<Update>| list.into_iter().map(|update| update.id).collect::<Vec<_>>();
    assert_eq!(ids(updates_of_device(&mut tx, "a").await.unwrap()), ["u2", "u3"]);
    assert_eq!(ids(updates_of_devices(&mut tx, "", "b").await.unwrap()), ["u2", "u3", "u4"]);
    assert_eq!(ids(updates_of_devices(&mut tx, "b", "c").await.unwrap()), ["u5"]);
    assert_eq!(ids(updates_page(&mut tx, None, None, 2).await.unwrap()), ["u5", "u4"]);
    assert_eq!(ids(updates_page(&mut tx, None, Some("u4"), 9).await.unwrap()), ["u3", "u2", "u1"]);
    assert_eq!(ids(updates_page(&mut tx, Some("a"), Some("u3"), 9).await.unwrap()), ["u2", "u1"]);
    assert_eq!(ids(updates_changed(&mut tx, "r", at(2), 9).await.unwrap()), ["u2", "u4"]);
    assert_eq!(ids(updates_due(&mut tx, at(600), 9).await.unwrap()), [""; 0]);
    assert_eq!(ids(updates_due(&mut tx, at(601), 1).await.unwrap()), ["u3"]);
    assert_eq!(updates_next_deadline(&mut tx).await.unwrap(), Some(at(601)));
    assert_eq!(updates_unfinished(&mut tx, "r").await.unwrap(), 1);
    assert_eq!(updates_takers(&mut tx, "r").await.unwrap(), ["a"]);
}

async fn devices_settle_what_ended(backend: Backend) {
    let updates = [
        ended("u1", "a", "r", UpdateState::Cancelled),
        update("u2", "a", "r"),
        ended("u3", "b", "r", UpdateState::TimedOut),
        ended("u4", "c", "r", UpdateState::Failed),
        Update { rolls_back: true, ..ended("u5", "d", "r", UpdateState::TimedOut) },
    ];
    store(&backend, &[rollout("r", 0)], &updates).await;
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(updates_takers(&mut tx, "r").await.unwrap(), ["a", "b"]);
    updates_settle(&mut tx, "a").await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = backend.db.read().await.unwrap();
    for (id, settled) in [("u1", true), ("u2", false), ("u3", false)] {
        assert_eq!(update_get(&mut tx, id).await.unwrap().unwrap().settled, settled, "{id}");
    }
}

async fn what_is_not_installed_is_cancelled(backend: Backend) {
    let updates = [
        update("u1", "a", "r"),
        Update { state: UpdateState::Staged, wave: 2, ..update("u2", "b", "r") },
        Update { state: UpdateState::Trial, ..update("u3", "c", "r") },
        Update { rolls_back: true, ..update("u4", "d", "r") },
        update("u5", "e", "other"),
        ended("u6", "f", "r", UpdateState::Failed),
    ];
    store(&backend, &[rollout("r", 0), rollout("other", 0)], &updates).await;
    let mut tx = backend.db.write().await.unwrap();
    let reason = Reason { code: "WHY".to_owned(), detail: "because".to_owned() };
    let mut waves = updates_cancel(&mut tx, "r", "somebody", &reason, at(9)).await.unwrap();
    waves.sort_unstable();
    assert_eq!(waves, [(1, 1), (2, 1)]);
    tx.commit().await.unwrap();
    let mut tx = backend.db.read().await.unwrap();
    let now = update_get(&mut tx, "u2").await.unwrap().unwrap();
    assert_eq!((now.state, now.finished_at, now.deadline_at), (UpdateState::Cancelled, Some(at(9)), None));
    assert_eq!(now.reason, reason);
    let last = history_list(&mut tx, "u2").await.unwrap().pop().unwrap();
    assert_eq!((last.state, last.actor.as_str(), last.reason), (UpdateState::Cancelled, "somebody", reason));
    for (id, state) in
        [("u3", UpdateState::Trial), ("u4", UpdateState::Offered), ("u5", UpdateState::Offered)]
    {
        assert_eq!(update_get(&mut tx, id).await.unwrap().unwrap().state, state, "{id}");
    }
}

async fn history_is_kept_in_order_and_bounded(backend: Backend) {
    store(&backend, &[rollout("r", 0)], &[update("u", "d", "r")]).await;
    let mut tx = backend.db.write().await.unwrap();
    let line = |second| HistoryLine {
        state: UpdateState::Downloading,
        at: at(second),
        actor: "device".to_owned(),
        reason: Reason::default(),
    };
    for second in 1..300 {
        history_append(&mut tx, "u", &line(second)).await.unwrap();
    }
    let history = history_list(&mut tx, "u").await.unwrap();
    assert_eq!(history.len(), 200);
    assert_eq!(history[0].state, UpdateState::Offered);
    assert_eq!(history[5], line(5));
}

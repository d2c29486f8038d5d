use slipway_insight::cohort::follow::Follower;

use super::*;
use crate::{
    model::{
        alert::{Health, Kind as AlertKind},
        device::DataClass,
        erasure::Erasure,
        filter::Filter,
        selector::Selector,
        time::{DAY, Timestamp},
        token::Role,
        wear::tests::fan,
    },
    service::{
        alert_testing::{caller, relabel},
        alerts, audit, erasure,
        wear_testing::{HOUR, Machine, apply, lives, living, parts, terms},
    },
    store::alerts::alerts_of_device,
};

/// Hours for which a part is known.
async fn known(ctx: &Context, id: &str) -> u32 {
    let rows = parts(ctx, id).await;
    rows.first().map_or(0, |row| Follower::decode(&row.state).unwrap().unit().readings())
}

fn selecting(selector: &str) -> WearTerms {
    WearTerms { selector: Selector::parse(selector).unwrap(), ..terms() }
}

#[tokio::test]
async fn what_wears_is_told_with_time_to_act_and_what_does_not_is_not() {
    let ctx = Context::for_test().await;
    let (learned, action) = apply(&ctx, terms()).await.unwrap();
    assert_eq!((action, learned.devices, learned.model.cohort.lives()), (Action::Create, 0, 40));
    let signs: Vec<_> =
        learned.model.signs().map(|(sensor, side, _)| (sensor.metric.as_str(), side)).collect();
    assert_eq!(
        signs,
        [("fan.current", slipway_insight::Side::Above), ("fan.speed", slipway_insight::Side::Below)]
    );

    let mut fresh = Machine::new(&ctx, "pump-1", 1_000, None).await;
    fresh.run(&ctx, 200).await;
    assert_eq!(living(&ctx, fresh.id()).await, []);

    let mut worn = Machine::new(&ctx, "pump-2", 1_001, Some(160)).await;
    let end = ctx.clock.now().after(HOUR * 160);
    let mut told_at = None;
    while worn.hour < 156 {
        worn.run(&ctx, 6).await;
        if let Some(alert) = living(&ctx, worn.id()).await.pop() {
            told_at.get_or_insert((ctx.clock.now(), alert));
        }
    }
    let (at, first) = told_at.expect("an alert");
    let ahead = end.since(at);
    assert!(ahead > HOUR * 30 && ahead < HOUR * 72, "told {} hours ahead", ahead.as_secs() / 3600);
    assert_eq!((first.kind, first.cause.as_str()), (AlertKind::Prognosis, "wear/fan"));
    assert_eq!((first.health, first.failure_mode.as_str()), (Health::MaintenanceRequired, "bearing"));
    let forecast = first.forecast.clone().unwrap();
    assert!(
        forecast.p10_ms <= end.millis() && forecast.p90_ms.is_none_or(|p90| end.millis() <= p90),
        "{forecast:?}"
    );
    assert_eq!((first.act_by.map(Timestamp::millis), forecast.comparable), (Some(forecast.p10_ms), 40));
    assert!(
        first.summary.starts_with(
            "The exhaust fan of pump-2 wears as 40 others did before they failed, and will fail "
        )
    );
    assert!(
        first.recommendation.starts_with("Inspect the exhaust fan of pump-2 by "),
        "{}",
        first.recommendation
    );
    assert!(first.recommendation.contains(", and order a new one "), "{}", first.recommendation);
    assert!(["fan.current", "fan.speed"].contains(&first.evidence.metric.as_str()));
    let why = forecast.explanation("A");
    assert!(
        why.starts_with("by how 2 sensors went in the recorded lives of 40 parts until they failed"),
        "{why}"
    );

    let last = living(&ctx, worn.id()).await;
    assert_eq!(last.len(), 1);
    assert_eq!(
        (last[0].id.as_str(), last[0].evidence.metric.as_str()),
        (first.id.as_str(), first.evidence.metric.as_str())
    );
    let error = (last[0].forecast.clone().unwrap().p50_ms - end.millis()).abs();
    assert!(error < 12 * 3_600_000, "off by {} hours at the end", error / 3_600_000);
    assert_eq!(get(&ctx, "fan").await.unwrap().devices, 2);
    assert_eq!(living(&ctx, fresh.id()).await, []);
}

#[tokio::test]
async fn to_resolve_it_is_to_have_a_new_part() {
    let ctx = Context::for_test().await;
    apply(&ctx, terms()).await.unwrap();
    let mut machine = Machine::new(&ctx, "pump-1", 1_001, Some(160)).await;
    machine.run(&ctx, 156).await;
    let alert = living(&ctx, "pump-1").await.pop().expect("an alert");
    let desk = caller(&ctx, "aa", Role::Operator, "").await;
    alerts::resolve(&ctx, &desk, &alert.id, "", "").await.unwrap();
    assert_eq!(parts(&ctx, "pump-1").await, []);
    (machine.life, machine.hour) = (Some(190), 0);
    machine.run(&ctx, 48).await;
    assert_eq!(living(&ctx, "pump-1").await, []);
    assert_eq!(known(&ctx, "pump-1").await, 47, "the last hour goes on");
}

#[tokio::test]
async fn a_new_part_can_be_told_with_an_alert_and_without() {
    let ctx = Context::for_test().await;
    apply(&ctx, terms()).await.unwrap();
    let mut machine = Machine::new(&ctx, "pump-1", 1_001, Some(160)).await;
    for (hours, alerts) in [(156, 1), (60, 0)] {
        machine.hour = 0;
        machine.run(&ctx, hours).await;
        assert_eq!((living(&ctx, "pump-1").await.len(), known(&ctx, "pump-1").await), (alerts, hours - 1));
        assert_eq!(restart(&ctx, "tests", "fan", "pump-1").await.unwrap().devices, 0);
        assert_eq!((living(&ctx, "pump-1").await, parts(&ctx, "pump-1").await), (vec![], vec![]));
    }
    for (model, device, reason) in
        [("fin", "pump-1", Reason::WearModelNotFound), ("fan", "pump-9", Reason::DeviceNotFound)]
    {
        let Error::Refused(refusal) = restart(&ctx, "tests", model, device).await.unwrap_err() else {
            panic!("refused")
        };
        assert_eq!(refusal.reason, reason);
    }
}

#[tokio::test]
async fn what_looks_new_again_is_over_after_some_steps() {
    let ctx = Context::for_test().await;
    apply(&ctx, terms()).await.unwrap();
    let mut machine = Machine::new(&ctx, "pump-1", 1_001, Some(160)).await;
    machine.run(&ctx, 156).await;
    assert_eq!(living(&ctx, "pump-1").await.len(), 1);
    // Somebody cleaned it, and told nobody.
    (machine.life, machine.hour) = (None, 0);
    machine.run(&ctx, 12).await;
    assert_eq!(living(&ctx, "pump-1").await.len(), 1);
    machine.run(&ctx, 120).await;
    assert_eq!(living(&ctx, "pump-1").await, []);
    let mut tx = ctx.db.read().await.unwrap();
    let alerts = alerts_of_device(&mut tx, "pump-1", Timestamp::from_millis(0)).await.unwrap();
    assert_eq!(alerts[0].recommendation, "Nothing to do any more: its sensors say that it has longer to go.");
}

#[tokio::test]
async fn only_what_a_model_selects_is_followed() {
    let ctx = Context::for_test().await;
    apply(&ctx, selecting("labels.site = \"north\"")).await.unwrap();
    let mut machine = Machine::new(&ctx, "pump-1", 1_001, Some(160)).await;
    machine.run(&ctx, 156).await;
    assert_eq!((living(&ctx, "pump-1").await.len(), known(&ctx, "pump-1").await), (1, 155));
    relabel(&ctx, "pump-1", "south").await;
    machine.run(&ctx, 6).await;
    assert_eq!((living(&ctx, "pump-1").await, parts(&ctx, "pump-1").await), (vec![], vec![]));
    // Nor is the same metric of another part, or in another unit.
    relabel(&ctx, "pump-1", "north").await;
    for foreign in [
        WearTerms { component: "pump".to_owned(), ..terms() },
        WearTerms {
            sensors: fan()
                .sensors
                .into_iter()
                .map(|sensor| crate::model::wear::Sensor { unit: "kg".into(), ..sensor })
                .collect(),
            ..terms()
        },
    ] {
        apply(&ctx, foreign).await.unwrap();
        machine.run(&ctx, 12).await;
        assert_eq!(parts(&ctx, "pump-1").await, []);
    }
}

#[tokio::test]
async fn the_same_again_changes_nothing_and_what_follows_alike_goes_on() {
    let ctx = Context::for_test().await;
    let (trial, action) = wear_trial(&ctx, terms()).await;
    assert_eq!((action, trial.model.cohort.lives()), (Action::Create, 40));
    assert!(list(&ctx, &Page::parse(0, "", &[]).unwrap()).await.unwrap().0.is_empty());

    let (first, _) = apply(&ctx, terms()).await.unwrap();
    let mut machine = Machine::new(&ctx, "pump-1", 1_001, Some(160)).await;
    machine.run(&ctx, 60).await;
    ctx.clock.advance(DAY);
    let (same, action) = apply(&ctx, terms()).await.unwrap();
    assert_eq!((action, same.devices, same.model.updated_at), (Action::Keep, 1, first.model.updated_at));

    let (more, action) = super::apply(&ctx, "tests", terms(), lives(50), false).await.unwrap();
    assert_eq!((action, more.devices, more.model.cohort.lives()), (Action::Update, 1, 50));
    assert_eq!(known(&ctx, "pump-1").await, 59);
    let slower = WearTerms { step: HOUR * 2, ..terms() };
    let (_, action) = wear_trial(&ctx, slower.clone()).await;
    assert_eq!((action, known(&ctx, "pump-1").await), (Action::Restart, 59));
    let (_, action) = apply(&ctx, slower).await.unwrap();
    assert_eq!((action, parts(&ctx, "pump-1").await), (Action::Restart, vec![]));

    let page = Page::parse(0, "", &[]).unwrap();
    let (log, _) = audit::list(&ctx, &Filter::default(), &page).await.unwrap();
    let acts: Vec<_> = log.iter().filter(|entry| entry.action == "ApplyWearModel").collect();
    assert_eq!(acts.len(), 3);
    assert_eq!(
        (acts[0].resource.as_str(), acts[2].detail.as_str()),
        ("wearModels/fan", "fan of all devices, 40 lives of 6444 rows")
    );
}

async fn wear_trial(ctx: &Context, terms: WearTerms) -> (Counted, Action) {
    super::apply(ctx, "tests", terms, lives(40), true).await.unwrap()
}

#[tokio::test]
async fn a_model_goes_with_its_alerts_and_parts() {
    let ctx = Context::for_test().await;
    apply(&ctx, terms()).await.unwrap();
    let mut machine = Machine::new(&ctx, "pump-1", 1_001, Some(160)).await;
    machine.run(&ctx, 156).await;
    assert_eq!(living(&ctx, "pump-1").await.len(), 1);
    assert_eq!(delete(&ctx, "tests", "fan").await.unwrap().devices, 1);
    assert_eq!((living(&ctx, "pump-1").await, parts(&ctx, "pump-1").await), (vec![], vec![]));
    let Error::Refused(refusal) = delete(&ctx, "tests", "fan").await.unwrap_err() else { panic!("refused") };
    assert_eq!(refusal.reason, Reason::WearModelNotFound);
    machine.run(&ctx, 6).await;
    assert_eq!(parts(&ctx, "pump-1").await, []);
}

#[tokio::test]
async fn says_what_is_wrong_with_terms_and_lives() {
    let ctx = Context::for_test().await;
    let refused =
        async |terms, lives| match super::apply(&ctx, "tests", terms, lives, false).await.unwrap_err() {
            Error::Refused(refusal) => refusal,
            other => panic!("{other}"),
        };
    let wrong = WearTerms { id: "A".to_owned(), horizon: 0, ..terms() };
    let refusal = refused(wrong, lives(10)).await;
    assert_eq!(
        (refusal.reason, refusal.field.as_deref()),
        (Reason::WearModelInvalid, Some("wear_model.name"))
    );
    assert_eq!(refusal.violations[0].0, "wear_model.horizon");
    let refusal = refused(terms(), lives(7)).await;
    assert_eq!(refusal.reason, Reason::LivesInvalid);
    assert!(
        refusal.message.starts_with("7 recorded lives of more than 10 readings are too few"),
        "{refusal}"
    );
}

#[tokio::test]
async fn what_is_erased_is_no_longer_followed() {
    let ctx = Context::for_test().await;
    apply(&ctx, terms()).await.unwrap();
    for (id, class, is_erased) in [
        ("pump-1", None, true),
        ("pump-2", Some(DataClass::Diagnostic), true),
        ("pump-3", Some(DataClass::Usage), false),
    ] {
        let mut machine = Machine::new(&ctx, id, 1_001, Some(160)).await;
        machine.run(&ctx, 156).await;
        assert_eq!((living(&ctx, id).await.len(), parts(&ctx, id).await.len()), (1, 1));
        erasure::finish(&ctx, &Erasure { device_id: id.to_owned(), class }).await.unwrap();
        let left = if is_erased { 0 } else { 1 };
        assert_eq!((living(&ctx, id).await.len(), parts(&ctx, id).await.len()), (left, left), "{id}");
    }
}

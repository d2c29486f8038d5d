//! Events to be told, webhooks, and what is on its way to them.

use std::time::Duration;

use serde_json::json;
use slipway_server::{
    model::{
        delivery::{Delivery, DeliveryState},
        event::{Event, EventKind, NewEvent},
        selector::Selector,
        webhook::{Health, Secret, Signature, Webhook},
    },
    store::{
        Tx,
        deliveries::{
            deliveries_due, deliveries_hurry, deliveries_page, deliveries_waiting, deliveries_waiting_all,
            delivery_put, delivery_update,
        },
        outbox::{
            outbox_after, outbox_before, outbox_count, outbox_erase, outbox_get, outbox_prune, outbox_put,
        },
        webhooks::{
            Lease, webhook_delete, webhook_disable, webhook_get, webhook_health, webhook_insert,
            webhook_lease, webhook_move, webhook_release, webhook_rewind, webhook_update, webhooks_count,
            webhooks_page, webhooks_release_all, webhooks_tally, webhooks_with_work,
        },
    },
};

use crate::backend::{Backend, at, contract};

contract! {
    events_are_read_in_order_until_they_are_old;
    a_device_is_forgotten;
    a_webhook_is_read_as_it_was_written;
    a_stale_writer_is_refused;
    one_process_sends;
    of_each_subject_the_first_is_due;
    what_was_begun_anew_is_not_overwritten;
}

fn event(subject: &str, seconds: i64) -> NewEvent {
    NewEvent {
        kind: EventKind::AlertOpened,
        subject: subject.to_owned(),
        device_id: format!("pump-{subject}"),
        at: at(seconds),
        data: json!({ "summary": "größer" }),
    }
}

fn webhook(id: &str) -> Webhook {
    Webhook {
        id: id.to_owned(),
        display_name: "Büro".to_owned(),
        url: "https://desk.example/a".to_owned(),
        scope: Selector::parse_scope("labels.customer = \"acme\"").unwrap(),
        event_types: vec!["alert.*".to_owned()],
        signature: Signature::Ed25519,
        secret: Secret([1; 32]),
        old_secret: Some((Secret([2; 32]), at(5))),
        by_client: true,
        position: 3,
        enabled: true,
        disabled_reason: String::new(),
        health: Health {
            failures: 2,
            failing_since: Some(at(1)),
            succeeded_at: Some(at(0)),
            recovering_since: Some(at(2)),
        },
        created_at: at(0),
        created_by: "tokens/a".to_owned(),
        updated_at: at(0),
        generation: 1,
    }
}

async fn events(tx: &mut Tx, subjects: &[&str]) -> Vec<Event> {
    let mut events = Vec::new();
    for (subject, seconds) in subjects.iter().zip(0..) {
        events.push(outbox_put(tx, event(subject, seconds)).await.unwrap());
    }
    events
}

async fn events_are_read_in_order_until_they_are_old(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    let put = events(&mut tx, &["a", "b", "c", "d"]).await;
    assert_eq!(put.iter().map(|event| event.position).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(outbox_after(&mut tx, 1, 2).await.unwrap(), put[1..3]);
    assert_eq!(outbox_get(&mut tx, 4).await.unwrap().as_ref(), put.last());
    assert_eq!(outbox_count(&mut tx, 1).await.unwrap(), 3);
    for (seconds, position) in [(-1, 0), (0, 0), (2, 2), (3, 3), (4, 4)] {
        assert_eq!(outbox_before(&mut tx, at(seconds), 4).await.unwrap(), position, "{seconds}");
    }
    for event in &put {
        delivery_put(&mut tx, "hook", event, at(9)).await.unwrap();
    }
    assert_eq!(outbox_prune(&mut tx, at(3), 2).await.unwrap(), 2);
    assert_eq!(outbox_prune(&mut tx, at(3), 2).await.unwrap(), 1);
    assert_eq!(outbox_prune(&mut tx, at(3), 2).await.unwrap(), 0);
    assert_eq!(outbox_after(&mut tx, 0, 9).await.unwrap(), put[3..]);
    assert_eq!(deliveries_waiting_all(&mut tx).await.unwrap(), 1, "deliveries go with their events");
}

async fn a_device_is_forgotten(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for event in events(&mut tx, &["a", "b", "a"]).await {
        delivery_put(&mut tx, "hook", &event, at(9)).await.unwrap();
    }
    assert_eq!(outbox_erase(&mut tx, "pump-a").await.unwrap(), 2);
    let left = outbox_after(&mut tx, 0, 9).await.unwrap();
    assert_eq!(left.iter().map(|event| event.subject.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(deliveries_waiting(&mut tx, "hook").await.unwrap(), 1);
}

async fn a_webhook_is_read_as_it_was_written(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    let other = Webhook { scope: Selector::default(), old_secret: None, ..webhook("b") };
    for webhook in [&webhook("a"), &other] {
        webhook_insert(&mut tx, webhook).await.unwrap();
        let read = webhook_get(&mut tx, &webhook.id).await.unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{webhook:?}"));
        assert!(read.secret == webhook.secret && read.old_secret == webhook.old_secret);
    }
    assert!(webhook_get(&mut tx, "c").await.unwrap().is_none());
    let acme = "labels.customer = \"acme\"";
    let mut ids = Vec::new();
    for (scope, after) in [(None, ""), (None, "a"), (Some(acme), ""), (Some(""), ""), (Some("x"), "")] {
        let page = webhooks_page(&mut tx, scope, after, 9).await.unwrap();
        ids.push(page.into_iter().map(|webhook| webhook.id).collect::<String>());
    }
    assert_eq!(ids, ["ab", "b", "a", "b", ""]);
    assert_eq!(webhooks_count(&mut tx, acme).await.unwrap(), (1, 2));
    webhook_health(&mut tx, "b", Health::default()).await.unwrap();
    assert_eq!(webhooks_tally(&mut tx).await.unwrap(), [1, 1, 0]);
    assert!(webhook_disable(&mut tx, "b", "gone", at(1)).await.unwrap());
    assert!(!webhook_disable(&mut tx, "b", "again", at(1)).await.unwrap());
    let read = webhook_get(&mut tx, "b").await.unwrap().unwrap();
    assert_eq!((read.enabled, read.disabled_reason.as_str(), read.generation), (false, "gone", 2));
    assert_eq!(webhooks_tally(&mut tx).await.unwrap(), [0, 1, 1]);
    let [one] = &events(&mut tx, &["a"]).await[..] else { panic!("one event") };
    delivery_put(&mut tx, "a", one, at(0)).await.unwrap();
    webhook_delete(&mut tx, "a").await.unwrap();
    assert!(webhook_get(&mut tx, "a").await.unwrap().is_none());
    assert_eq!(deliveries_waiting(&mut tx, "a").await.unwrap(), 0);
}

async fn a_stale_writer_is_refused(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    webhook_insert(&mut tx, &webhook("a")).await.unwrap();
    let next = Webhook { url: "https://other.example".into(), generation: 2, ..webhook("a") };
    assert!(webhook_update(&mut tx, &next).await.unwrap());
    assert!(!webhook_update(&mut tx, &next).await.unwrap());
    // What the sender writes, it writes beside.
    assert!(webhook_move(&mut tx, "a", 3, 8).await.unwrap());
    assert!(!webhook_move(&mut tx, "a", 3, 9).await.unwrap(), "somebody moved it");
    webhook_rewind(&mut tx, "a", 1).await.unwrap();
    let read = webhook_get(&mut tx, "a").await.unwrap().unwrap();
    assert_eq!((read.position, read.generation, read.url.as_str()), (1, 2, "https://other.example"));
}

async fn one_process_sends(backend: Backend) {
    let lease = |owner, seconds| Lease { owner, now: at(seconds), until: at(seconds + 45) };
    let mut tx = backend.db.write().await.unwrap();
    webhook_insert(&mut tx, &Webhook { position: 0, ..webhook("a") }).await.unwrap();
    assert!(webhooks_with_work(&mut tx, "one", at(0)).await.unwrap().is_empty(), "nothing happened");
    let put = events(&mut tx, &["a"]).await;
    assert_eq!(webhooks_with_work(&mut tx, "one", at(0)).await.unwrap(), ["a"], "something to look at");
    assert!(webhook_lease(&mut tx, "a", lease("one", 0)).await.unwrap());
    tx.commit().await.unwrap();

    // As another replica.
    let other = backend.again().await;
    let mut tx = other.write().await.unwrap();
    assert!(!webhook_lease(&mut tx, "a", lease("two", 44)).await.unwrap());
    assert!(webhooks_with_work(&mut tx, "two", at(44)).await.unwrap().is_empty());
    assert!(webhook_lease(&mut tx, "a", lease("one", 44)).await.unwrap(), "whoever has it keeps it");
    assert!(!webhook_lease(&mut tx, "a", lease("two", 45)).await.unwrap());
    assert!(webhook_lease(&mut tx, "a", lease("two", 89)).await.unwrap(), "who is silent loses it");
    webhook_release(&mut tx, "a", "one").await.unwrap();
    assert!(!webhook_lease(&mut tx, "a", lease("one", 90)).await.unwrap(), "and gives back only his own");
    webhook_release(&mut tx, "a", "two").await.unwrap();
    assert!(webhook_lease(&mut tx, "a", lease("one", 90)).await.unwrap());
    webhooks_release_all(&mut tx).await.unwrap();
    assert!(webhook_lease(&mut tx, "a", lease("two", 90)).await.unwrap());

    assert!(webhook_move(&mut tx, "a", 0, 1).await.unwrap());
    assert!(webhooks_with_work(&mut tx, "two", at(90)).await.unwrap().is_empty(), "all was looked at");
    delivery_put(&mut tx, "a", &put[0], at(100)).await.unwrap();
    assert!(webhooks_with_work(&mut tx, "two", at(99)).await.unwrap().is_empty(), "not yet");
    assert_eq!(webhooks_with_work(&mut tx, "two", at(100)).await.unwrap(), ["a"]);
    assert!(webhook_disable(&mut tx, "a", "", at(100)).await.unwrap());
    assert!(webhooks_with_work(&mut tx, "two", at(100)).await.unwrap().is_empty());
    assert!(!webhook_lease(&mut tx, "a", lease("two", 100)).await.unwrap());
}

fn positions(deliveries: &[Delivery]) -> Vec<i64> {
    deliveries.iter().map(|delivery| delivery.position).collect()
}

async fn of_each_subject_the_first_is_due(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for event in events(&mut tx, &["a", "b", "a", "c", "b"]).await {
        delivery_put(&mut tx, "hook", &event, at(10)).await.unwrap();
    }
    assert_eq!(deliveries_due(&mut tx, "hook", at(9), 9).await.unwrap(), []);
    assert_eq!(deliveries_due(&mut tx, "other", at(10), 9).await.unwrap(), []);
    let due = deliveries_due(&mut tx, "hook", at(10), 9).await.unwrap();
    assert_eq!(positions(&due), [1, 2, 4]);
    assert_eq!(positions(&deliveries_due(&mut tx, "hook", at(10), 2).await.unwrap()), [1, 2]);
    // One is taken, and what follows it comes up; another has to wait, and so does what follows it.
    let taken = Delivery {
        state: DeliveryState::Delivered,
        attempts: 1,
        first_attempt_at: Some(at(10)),
        last_attempt_at: Some(at(10)),
        http_status: 204,
        ..due[0].clone()
    };
    assert!(delivery_update(&mut tx, &taken, 0).await.unwrap());
    let late = Delivery { attempts: 1, next_attempt_at: at(60), error: "größer".into(), ..due[1].clone() };
    assert!(delivery_update(&mut tx, &late, 0).await.unwrap());
    assert_eq!(positions(&deliveries_due(&mut tx, "hook", at(10), 9).await.unwrap()), [3, 4]);
    assert_eq!(deliveries_page(&mut tx, "hook", 3, 9).await.unwrap(), [late.clone(), taken]);
    deliveries_hurry(&mut tx, "hook", at(11), false).await.unwrap();
    let due = deliveries_due(&mut tx, "hook", at(11), 1).await.unwrap();
    assert_eq!(due, [Delivery { next_attempt_at: at(11), ..late.clone() }]);
    deliveries_hurry(&mut tx, "hook", at(12), true).await.unwrap();
    let due = deliveries_due(&mut tx, "hook", at(12), 1).await.unwrap();
    assert_eq!(due, [Delivery { next_attempt_at: at(12), attempts: 0, ..late }]);
    assert_eq!(deliveries_waiting(&mut tx, "hook").await.unwrap(), 4);
}

async fn what_was_begun_anew_is_not_overwritten(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    let put = events(&mut tx, &["a"]).await;
    delivery_put(&mut tx, "hook", &put[0], at(0)).await.unwrap();
    let [first] = &deliveries_due(&mut tx, "hook", at(0), 9).await.unwrap()[..] else { panic!("one") };
    let failed = Delivery { attempts: 1, next_attempt_at: at(5), ..first.clone() };
    assert!(delivery_update(&mut tx, &failed, 0).await.unwrap());
    assert!(!delivery_update(&mut tx, &failed, 0).await.unwrap(), "another attempt was counted");
    delivery_put(&mut tx, "hook", &put[0], at(1)).await.unwrap();
    let again = Delivery { state: DeliveryState::Failed, attempts: 2, ..failed };
    assert!(!delivery_update(&mut tx, &again, 1).await.unwrap(), "it begins anew");
    let due = deliveries_due(&mut tx, "hook", at(0).after(Duration::from_secs(1)), 9).await.unwrap();
    assert_eq!((due[0].attempts, due[0].created_at), (0, at(0)));
}

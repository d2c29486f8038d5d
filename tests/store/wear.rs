//! Wear models, and the parts that they follow.

use std::time::Duration;

use slipway_insight::cohort::Cohort;
use slipway_server::{
    model::{
        alert::Severity,
        selector::Selector,
        wear::{Sensor, WearModel, WearTerms},
    },
    store::{
        Db, StoreError,
        changes::{Kind, changes_get},
        erasures::conclusions_erase,
        wear::{
            PartRow, wear_model_delete, wear_model_get, wear_model_put, wear_models_count, wear_models_page,
            wear_part_delete, wear_parts_count, wear_parts_of_devices, wear_parts_restart, wear_parts_save,
        },
    },
};
use slipway_trust::Sha256;

use crate::backend::{Backend, at, contract};

contract! {
    a_model_is_read_as_it_was_written;
    a_model_goes_with_its_parts;
    parts_are_saved_as_they_are;
    what_was_learned_and_cannot_be_read_hides_no_other;
}

fn model(id: &str) -> WearModel {
    let life = |number: u32| {
        let row = |step: u32| vec![f64::from(step * step), f64::from((step * 7 + number) % 5), 0.1 + 0.2];
        (0..20 + number).map(row).collect()
    };
    let lives: Vec<Vec<Vec<f64>>> = (0..10).map(life).collect();
    let sensor = |metric: &str, unit: &str| Sensor { metric: metric.to_owned(), unit: unit.to_owned() };
    WearModel {
        terms: WearTerms {
            id: id.to_owned(),
            selector: Selector::parse("labels.site = \"größer\"").expect("a selector"),
            component: "fan".to_owned(),
            sensors: vec![sensor("fan.speed", ""), sensor("fan.current", "A"), sensor("fan.state", "\"\\")],
            step: Duration::from_secs(3600),
            horizon: 20,
            part: "der Lüfter".to_owned(),
            failure_mode: "bearing".to_owned(),
            lead_time: Duration::from_millis(1_500),
            severity: Severity::Warning,
            source: "bench".to_owned(),
        },
        digest: Sha256::of(b"lives"),
        rows: 245,
        cohort: Cohort::learn(&lives, 20.0).expect("something is learned"),
        updated_at: at(5),
        updated_by: "tokens/1 (ann)".to_owned(),
    }
}

fn part(device_id: &str, model_id: &str, state: Vec<u8>) -> PartRow {
    PartRow { device_id: device_id.to_owned(), model_id: model_id.to_owned(), state }
}

async fn put(db: &Db, models: &[WearModel], parts: &[PartRow]) {
    let mut tx = db.write().await.unwrap();
    wear_parts_save(&mut tx, parts).await.unwrap();
    for model in models {
        wear_model_put(&mut tx, model).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn parts(db: &Db, device_ids: &[&str]) -> Vec<PartRow> {
    wear_parts_of_devices(&mut db.read().await.unwrap(), device_ids).await.unwrap()
}

/// All of it, in words.
fn shown(model: &WearModel) -> String {
    format!("{model:?}")
}

async fn a_model_is_read_as_it_was_written(backend: Backend) {
    let (a, b) = (model("a"), model("b"));
    put(&backend.db, &[b.clone(), a.clone()], &[]).await;
    let mut tx = backend.db.write().await.unwrap();
    let read = wear_model_get(&mut tx, "a").await.unwrap().unwrap();
    assert_eq!(shown(&read), shown(&a));
    assert_eq!(read.cohort, a.cohort);
    assert!(wear_model_get(&mut tx, "c").await.unwrap().is_none());
    let page = wear_models_page(&mut tx, "", 10).await.unwrap();
    assert_eq!(page.iter().map(shown).collect::<Vec<_>>(), [shown(&a), shown(&b)]);
    assert_eq!(wear_models_page(&mut tx, "a", 1).await.unwrap()[0].terms.id, "b");
    let mut other = a;
    other.terms.horizon = 10_000;
    other.rows = u32::MAX;
    wear_model_put(&mut tx, &other).await.unwrap();
    assert_eq!(shown(&wear_model_get(&mut tx, "a").await.unwrap().unwrap()), shown(&other));
    assert_eq!(wear_models_count(&mut tx).await.unwrap(), 2);
    assert_eq!(changes_get(&mut tx, Kind::Wear).await.unwrap(), 3);
}

async fn a_model_goes_with_its_parts(backend: Backend) {
    let all = [part("p1", "a", vec![1]), part("p1", "b", vec![2]), part("p2", "a", vec![3])];
    put(&backend.db, &[model("a"), model("b")], &all).await;
    let mut tx = backend.db.write().await.unwrap();
    let counts = wear_parts_count(&mut tx).await.unwrap();
    assert_eq!(counts, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    wear_model_delete(&mut tx, "a").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(parts(&backend.db, &["p1", "p2"]).await, all[1..2]);
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(wear_models_count(&mut tx).await.unwrap(), 1);
    assert_eq!(changes_get(&mut tx, Kind::Wear).await.unwrap(), 3);
    wear_parts_restart(&mut tx, "b").await.unwrap();
    assert_eq!(wear_parts_count(&mut tx).await.unwrap(), []);
}

async fn parts_are_saved_as_they_are(backend: Backend) {
    // More than one statement takes, of names that mean something to JSON and SQL.
    let mut all: Vec<PartRow> = (0..300).map(|n| part("b", &format!("m{n:03}"), vec![7; 1_500])).collect();
    all.insert(0, part("a\"b'\\", "x", Vec::new()));
    put(&backend.db, &[], &all).await;
    put(&backend.db, &[], &[]).await;
    assert_eq!(parts(&backend.db, &["b", "nobody", "a\"b'\\"]).await, all);
    put(&backend.db, &[], &[part("b", "m000", vec![1])]).await;
    let mut tx = backend.db.write().await.unwrap();
    wear_part_delete(&mut tx, "b", "m001").await.unwrap();
    wear_part_delete(&mut tx, "c", "m002").await.unwrap();
    tx.commit().await.unwrap();
    let left = parts(&backend.db, &["b"]).await;
    assert_eq!((left.len(), left[0].state.as_slice(), left[1].model_id.as_str()), (299, &[1][..], "m002"));
    let mut tx = backend.db.write().await.unwrap();
    conclusions_erase(&mut tx, "b").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(parts(&backend.db, &["a\"b'\\", "b"]).await, all[..1]);
}

async fn what_was_learned_and_cannot_be_read_hides_no_other(backend: Backend) {
    // Of another number of sensors than were learned from.
    let mut broken = model("a");
    broken.terms.sensors.pop();
    put(&backend.db, &[broken, model("b")], &[]).await;
    let mut tx = backend.db.read().await.unwrap();
    let page = wear_models_page(&mut tx, "", 10).await.unwrap();
    assert_eq!(page.iter().map(|model| model.terms.id.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(matches!(wear_model_get(&mut tx, "a").await, Err(StoreError::Inconsistent { .. })));
}

//! Limits with what was learned for them, and what is to be erased of devices.

use slipway_insight::{Side, fence::Fence};
use slipway_server::{
    model::{
        alert::Severity,
        device::DataClass,
        erasure::Erasure,
        learned::{Learned, LearnedBound, Model},
        limit::{DEFAULT_HORIZON, Limit},
        selector::Selector,
    },
    store::{
        archive_series::{
            ArchivedSeries, archive_series_delete, archive_series_of_device, archive_series_record,
        },
        erasures::{
            alert_erase, erasure_begin, erasure_end, erasure_is_pending, erasures_pending, inbox_rewrite,
        },
        inbox::{InboxRow, inbox_put, inbox_waiting},
        learned::{learned_forget, learned_put},
        limits::{limit_delete, limit_get, limit_put, limits_learned, limits_page},
    },
};

use crate::backend::{Backend, at, contract};

contract! {
    what_was_learned_comes_with_its_limit;
    erasures_are_told_apart_by_their_class;
    readings_of_a_batch_are_replaced_and_it_stays_the_same_batch;
}

fn limit(id: &str, learned: Option<Learned>) -> Limit {
    Limit {
        id: id.to_owned(),
        selector: Selector::default(),
        component: String::new(),
        metric: "hw.temperature".to_owned(),
        value: 0.0,
        learned,
        side: Side::Above,
        consumable: false,
        lead_time: std::time::Duration::ZERO,
        horizon: DEFAULT_HORIZON,
        part: String::new(),
        unit: String::new(),
        failure_mode: String::new(),
        severity: Severity::Warning,
        source: String::new(),
        managed_by: String::new(),
        created_at: at(1),
        created_by: "tests".to_owned(),
    }
}

fn bound(component: &str, fence: Option<Fence>) -> LearnedBound {
    let text = str::to_owned;
    let (product, hardware, unit) = (text("pump"), text("gw-a"), text("Cel"));
    let model = Model { product, hardware, component: text(component), unit };
    let devices = fence.map_or(7, |fence| fence.devices);
    LearnedBound { model, devices, fence, factor: 6.0, learned_at: at(3) }
}

async fn what_was_learned_comes_with_its_limit(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    limit_put(&mut tx, &limit("given", None)).await.unwrap();
    limit_put(&mut tx, &limit("learned", Some(Learned::by(4.5)))).await.unwrap();
    assert_eq!(limits_learned(&mut tx).await.unwrap(), 1);
    let fence = Fence { value: 71.5, median: 0.1 + 0.2, devices: 250, beyond: 10 };
    let learned = Learned {
        factor: 4.5,
        learned_at: Some(at(3)),
        bounds: vec![bound("cpu", Some(fence)), bound("disk", None)],
    };
    learned_put(&mut tx, "learned", &learned).await.unwrap();
    learned_put(&mut tx, "learned", &learned).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = backend.db.write().await.unwrap();
    let read = limits_page(&mut tx, "", 10).await.unwrap();
    assert_eq!((read[0].learned.as_ref(), read[1].learned.as_ref()), (None, Some(&learned)));
    assert_eq!(limit_get(&mut tx, "learned").await.unwrap().unwrap().learned, Some(learned.clone()));
    // Set anew it holds on to what was learned, and is looked at again.
    limit_put(&mut tx, &limit("learned", Some(Learned::by(5.0)))).await.unwrap();
    let again = limit_get(&mut tx, "learned").await.unwrap().unwrap().learned.unwrap();
    assert_eq!((again.factor, again.learned_at, again.bounds), (5.0, None, learned.bounds.clone()));
    learned_forget(&mut tx, "learned").await.unwrap();
    assert_eq!(limit_get(&mut tx, "learned").await.unwrap().unwrap().learned.unwrap().bounds, []);
    learned_put(&mut tx, "learned", &learned).await.unwrap();
    limit_delete(&mut tx, "learned").await.unwrap();
    limit_put(&mut tx, &limit("learned", Some(Learned::by(4.5)))).await.unwrap();
    assert_eq!(limit_get(&mut tx, "learned").await.unwrap().unwrap().learned, Some(Learned::by(4.5)));
}

async fn erasures_are_told_apart_by_their_class(backend: Backend) {
    let erasure = |class| Erasure { device_id: "pump-1".to_owned(), class };
    let (all, places) = (erasure(None), erasure(Some(DataClass::Location)));
    let mut tx = backend.db.write().await.unwrap();
    erasure_begin(&mut tx, &places, at(2)).await.unwrap();
    erasure_begin(&mut tx, &places, at(3)).await.unwrap();
    assert!(!erasure_is_pending(&mut tx, &all).await.unwrap());
    erasure_begin(&mut tx, &all, at(1)).await.unwrap();
    assert_eq!(erasures_pending(&mut tx).await.unwrap(), [all.clone(), places.clone()]);
    erasure_end(&mut tx, &all).await.unwrap();
    assert_eq!(erasures_pending(&mut tx).await.unwrap(), [places]);

    let series = |metric: &str, class| ArchivedSeries {
        component: "gps".to_owned(),
        metric: metric.to_owned(),
        class,
        unit: "deg".to_owned(),
        last_at: at(1),
        last_value: 1.0,
    };
    let both = [series("fix", DataClass::Diagnostic), series("latitude", DataClass::Location)];
    archive_series_record(&mut tx, "pump-1", &both).await.unwrap();
    archive_series_delete(&mut tx, "pump-1", Some(DataClass::Location)).await.unwrap();
    assert_eq!(archive_series_of_device(&mut tx, "pump-1").await.unwrap(), both[..1]);
    archive_series_delete(&mut tx, "pump-1", None).await.unwrap();
    assert_eq!(archive_series_of_device(&mut tx, "pump-1").await.unwrap(), []);
}

async fn readings_of_a_batch_are_replaced_and_it_stays_the_same_batch(backend: Backend) {
    let row = |sequence| InboxRow {
        device_id: "pump-1".to_owned(),
        sequence,
        nonce: vec![7; 16],
        received_at: sequence,
        readings: vec![1, 2, 3],
    };
    let mut tx = backend.db.write().await.unwrap();
    inbox_put(&mut tx, &row(1)).await.unwrap();
    inbox_put(&mut tx, &row(2)).await.unwrap();
    inbox_rewrite(&mut tx, &row(1), &[]).await.unwrap();
    inbox_put(&mut tx, &row(1)).await.unwrap();
    let rewritten = InboxRow { readings: Vec::new(), ..row(1) };
    assert_eq!(inbox_waiting(&mut tx, 10).await.unwrap(), [rewritten, row(2)]);
    // An alert that is not there is gone.
    alert_erase(&mut tx, "pump-1", "none").await.unwrap();
    tx.commit().await.unwrap();
}

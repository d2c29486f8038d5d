//! How series went, the lives of parts, and what cohorts learned from them.

use slipway_server::{
    model::{cohort::Cohort, time::Timestamp},
    store::{
        Db,
        changes::{Kind, changes_get},
        cohorts::{
            CohortRow, LifeRow, cohort_delete, cohort_learned, cohorts_all, cohorts_fits, cohorts_lonely,
            life_put, lives_erase, lives_erase_series, lives_of_cohort, lives_of_device,
            lives_of_device_prune, lives_prune,
        },
        tracks::{TrackRow, track_delete, tracks_erase, tracks_of_devices, tracks_save},
    },
};

use crate::backend::{Backend, contract};

contract! {
    courses_are_saved_as_they_are;
    a_life_is_put_down_once;
    a_cohort_learns_from_the_lives_it_has;
    an_erased_device_leaves_no_life_and_its_cohorts_are_to_learn_again;
    the_lives_of_one_series_are_erased_alone;
    a_cohort_is_forgotten_whole;
    no_device_takes_the_place_of_the_lives_of_others;
    a_device_has_so_many_lives_in_all_cohorts;
    a_cohort_of_one_device_is_lonely;
}

fn course(device_id: &str, metric: &str, track: Vec<u8>) -> TrackRow {
    TrackRow {
        device_id: device_id.to_owned(),
        component: "filter".to_owned(),
        metric: metric.to_owned(),
        track,
    }
}

async fn courses(db: &Db, device_ids: &[&str]) -> Vec<TrackRow> {
    tracks_of_devices(&mut db.read().await.unwrap(), device_ids).await.unwrap()
}

async fn courses_are_saved_as_they_are(backend: Backend) {
    // More than one statement takes, of names that mean something to JSON and SQL.
    let mut all: Vec<TrackRow> =
        (0..300).map(|number| course("b", &format!("m{number:03}"), vec![7; 1_500])).collect();
    all.insert(0, course("a\"b'\\", "x", Vec::new()));
    let mut tx = backend.db.write().await.unwrap();
    tracks_save(&mut tx, &all).await.unwrap();
    tracks_save(&mut tx, &[]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(courses(&backend.db, &["b", "nobody", "a\"b'\\"]).await, all);

    let mut tx = backend.db.write().await.unwrap();
    tracks_save(&mut tx, &[course("b", "m000", vec![1])]).await.unwrap();
    track_delete(&mut tx, "b", "filter", "m001").await.unwrap();
    track_delete(&mut tx, "b", "pump", "m002").await.unwrap();
    tx.commit().await.unwrap();
    let left = courses(&backend.db, &["b"]).await;
    assert_eq!((left.len(), left[0].track.as_slice(), left[1].metric.as_str()), (299, &[1][..], "m002"));

    let mut tx = backend.db.write().await.unwrap();
    tracks_erase(&mut tx, "b").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(courses(&backend.db, &["a\"b'\\", "b"]).await, all[..1]);
}

fn cohort(hardware: &str) -> Cohort {
    Cohort {
        limit_id: "filter".to_owned(),
        aim: "filter.pressure_drop above 250".to_owned(),
        unit: "Pa".to_owned(),
        product: "pump".to_owned(),
        hardware: hardware.to_owned(),
    }
}

fn life(device_id: &str, ended_at: i64) -> LifeRow {
    LifeRow {
        device_id: device_id.to_owned(),
        component: "filter".to_owned(),
        began_at: 5,
        ended_at,
        track: vec![1, 2, 3],
    }
}

async fn put(db: &Db, cohort: &Cohort, lives: &[LifeRow]) {
    let mut tx = db.write().await.unwrap();
    for life in lives {
        life_put(&mut tx, cohort, life).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn lives(db: &Db, cohort: &Cohort) -> Vec<LifeRow> {
    lives_of_cohort(&mut db.read().await.unwrap(), cohort, 100, 100).await.unwrap()
}

/// `changed` and `learned` of every cohort.
async fn known(db: &Db) -> Vec<(Cohort, i64, i64)> {
    let rows = cohorts_all(&mut db.read().await.unwrap()).await.unwrap();
    rows.into_iter().map(|CohortRow { cohort, changed, learned }| (cohort, changed, learned)).collect()
}

async fn a_life_is_put_down_once(backend: Backend) {
    let (a, b) = (cohort("gw-a"), cohort("gw-b"));
    put(&backend.db, &a, &[life("pump-1", 10), life("pump-2", 30), life("pump-3", 20)]).await;
    put(&backend.db, &a, &[life("pump-1", 99)]).await;
    put(&backend.db, &b, &[life("pump-1", 10)]).await;
    assert_eq!(lives(&backend.db, &a).await, [life("pump-2", 30), life("pump-3", 20), life("pump-1", 10)]);
    assert_eq!(known(&backend.db).await, [(a.clone(), 3, 0), (b.clone(), 1, 0)]);
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(lives_of_cohort(&mut tx, &a, 1, 1).await.unwrap(), [life("pump-2", 30)]);
    assert_eq!(lives_prune(&mut tx, &a, 2).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(lives(&backend.db, &a).await, [life("pump-2", 30), life("pump-3", 20)]);
    assert_eq!(lives(&backend.db, &b).await, [life("pump-1", 10)]);
}

async fn a_cohort_learns_from_the_lives_it_has(backend: Backend) {
    let (a, b) = (cohort("gw-a"), cohort("gw-b"));
    put(&backend.db, &a, &[life("pump-1", 10)]).await;
    put(&backend.db, &b, &[life("pump-2", 10), life("pump-3", 10)]).await;
    let mut tx = backend.db.write().await.unwrap();
    assert!(cohort_learned(&mut tx, &a, 1, b"fit").await.unwrap());
    assert!(!cohort_learned(&mut tx, &b, 1, b"old").await.unwrap(), "it has other lives by now");
    assert!(!cohort_learned(&mut tx, &cohort("gw-c"), 1, b"none").await.unwrap());
    assert_eq!(changes_get(&mut tx, Kind::Cohorts).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(known(&backend.db).await, [(a.clone(), 1, 1), (b.clone(), 2, 0)]);
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(cohorts_fits(&mut tx).await.unwrap(), [(a.clone(), b"fit".to_vec())]);
    // What it learned goes when it learns that there is nothing to be learned.
    assert!(cohort_learned(&mut tx, &a, 1, b"").await.unwrap());
    assert_eq!(cohorts_fits(&mut tx).await.unwrap(), []);
}

async fn an_erased_device_leaves_no_life_and_its_cohorts_are_to_learn_again(backend: Backend) {
    let (a, b) = (cohort("gw-a"), cohort("gw-b"));
    put(&backend.db, &a, &[life("pump-1", 10), life("pump-2", 20)]).await;
    put(&backend.db, &b, &[life("pump-2", 10)]).await;
    let mut tx = backend.db.write().await.unwrap();
    assert!(cohort_learned(&mut tx, &a, 2, b"a").await.unwrap());
    assert!(cohort_learned(&mut tx, &b, 1, b"b").await.unwrap());
    lives_erase(&mut tx, "pump-1").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(lives(&backend.db, &a).await, [life("pump-2", 20)]);
    assert_eq!(known(&backend.db).await, [(a, 3, 2), (b, 1, 1)]);
}

async fn the_lives_of_one_series_are_erased_alone(backend: Backend) {
    let own = cohort("gw-a");
    let of = |aim: &str| Cohort { aim: aim.to_owned(), ..own.clone() };
    let (longer, other) = (of("filter.pressure_drop_2 above 250"), of("filterxpressure_drop above 250"));
    for cohort in [&own, &longer, &other] {
        put(&backend.db, cohort, &[life("pump-1", 10), life("pump-2", 20)]).await;
    }
    let mut tx = backend.db.write().await.unwrap();
    let metrics = ["filter.pressure_drop", "filter.pressure_drop_2", "filterxpressure_drop"];
    let named = metrics.map(|metric| ("filter".to_owned(), metric.to_owned()));
    let mut told = lives_of_device(&mut tx, "pump-1").await.unwrap();
    told.sort();
    assert_eq!(told, named);
    lives_erase_series(&mut tx, "pump-1", "sieve", metrics[0]).await.unwrap();
    lives_erase_series(&mut tx, "pump-1", "filter", metrics[0]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(lives(&backend.db, &own).await, [life("pump-2", 20)]);
    assert_eq!((lives(&backend.db, &longer).await.len(), lives(&backend.db, &other).await.len()), (2, 2));
    let mut changed: Vec<i64> = known(&backend.db).await.into_iter().map(|(_, changed, _)| changed).collect();
    changed.sort_unstable();
    assert_eq!(changed, [2, 2, 3]);
}

async fn a_cohort_is_forgotten_whole(backend: Backend) {
    let (a, b) = (cohort("gw-a"), cohort("gw-b"));
    put(&backend.db, &a, &[life("pump-1", 10)]).await;
    put(&backend.db, &b, &[life("pump-1", 10)]).await;
    let mut tx = backend.db.write().await.unwrap();
    cohort_delete(&mut tx, &a).await.unwrap();
    assert_eq!(changes_get(&mut tx, Kind::Cohorts).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(lives(&backend.db, &a).await, []);
    assert_eq!(known(&backend.db).await, [(b, 1, 0)]);
}

/// Another life of a device: of the part with this number.
fn another(device_id: &str, number: i64, ended_at: i64) -> LifeRow {
    LifeRow { component: format!("filter-{number:03}"), ..life(device_id, ended_at) }
}

async fn prune_device(db: &Db, device_id: &str, in_cohort: i64, in_all: i64) {
    let mut tx = db.write().await.unwrap();
    lives_of_device_prune(&mut tx, device_id, in_cohort, in_all).await.unwrap();
    tx.commit().await.unwrap();
}

async fn no_device_takes_the_place_of_the_lives_of_others(backend: Backend) {
    let (a, b) = (cohort("gw-a"), cohort("gw-b"));
    put(&backend.db, &a, &[life("pump-1", 10), life("pump-2", 30), another("pump-2", 1, 20)]).await;
    put(&backend.db, &b, &[life("liar", 5)]).await;
    let made_up: Vec<LifeRow> = (0..50).map(|number| another("liar", number, 1_000 + number)).collect();
    put(&backend.db, &a, &made_up).await;
    let newest = |count: i64| (0..count).map(|before| another("liar", 49 - before, 1_049 - before));
    let of = async |of_device: i64, limit: i64| {
        lives_of_cohort(&mut backend.db.read().await.unwrap(), &a, of_device, limit).await.unwrap()
    };
    let expected = [newest(1).next().unwrap(), life("pump-2", 30), life("pump-1", 10)];
    assert_eq!(of(1, 100).await, expected);
    assert_eq!(of(50, 3).await, expected);
    assert_eq!(of(2, 100).await[3..], [newest(2).next_back().unwrap(), another("pump-2", 1, 20)]);

    prune_device(&backend.db, "liar", 8, 100).await;
    assert_eq!(of(100, 100).await.len(), 11);
    assert_eq!(lives(&backend.db, &b).await, [life("liar", 5)]);
    assert_eq!(known(&backend.db).await, [(a.clone(), 54, 0), (b.clone(), 1, 0)]);
    prune_device(&backend.db, "liar", 8, 100).await;
    prune_device(&backend.db, "pump-2", 8, 100).await;
    assert_eq!(known(&backend.db).await, [(a.clone(), 54, 0), (b, 1, 0)], "nothing more is to be forgotten");

    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(lives_prune(&mut tx, &a, 11).await.unwrap(), 0);
    assert_eq!(lives_prune(&mut tx, &a, 5).await.unwrap(), 6);
    tx.commit().await.unwrap();
    let left = of(100, 100).await;
    assert_eq!(left.iter().filter(|life| life.device_id == "liar").count(), 2, "{left:?}");
}

async fn a_device_has_so_many_lives_in_all_cohorts(backend: Backend) {
    let cohorts: Vec<Cohort> = (0..6).map(|number| cohort(&format!("gw-{number}"))).collect();
    for (cohort, number) in cohorts.iter().zip(1..) {
        put(&backend.db, cohort, &[another("pump-1", 0, number * 10), another("pump-1", 1, number)]).await;
        put(&backend.db, cohort, &[life("pump-2", 0)]).await;
    }
    // What is one too many of a cohort counts nowhere else.
    prune_device(&backend.db, "pump-1", 1, 4).await;
    let mut counts = Vec::new();
    for cohort in &cohorts {
        counts.push(lives(&backend.db, cohort).await.len());
    }
    assert_eq!(counts, [1, 1, 2, 2, 2, 2]);
    let changed: Vec<i64> = known(&backend.db).await.into_iter().map(|(_, changed, _)| changed).collect();
    assert_eq!(changed, [4; 6]);
}

async fn a_cohort_of_one_device_is_lonely(backend: Backend) {
    let (a, b, c) = (cohort("gw-a"), cohort("gw-b"), cohort("gw-c"));
    put(&backend.db, &a, &[life("pump-1", 10), another("pump-1", 1, 20)]).await;
    put(&backend.db, &b, &[life("pump-1", 10), life("pump-2", 10)]).await;
    put(&backend.db, &c, &[life("pump-3", 10)]).await;
    let mut tx = backend.db.write().await.unwrap();
    assert!(cohort_learned(&mut tx, &c, 1, b"fit").await.unwrap());
    let before = Timestamp::from_millis;
    assert_eq!(cohorts_lonely(&mut tx, 2, before(20)).await.unwrap(), []);
    assert_eq!(cohorts_lonely(&mut tx, 2, before(21)).await.unwrap(), std::slice::from_ref(&a));
    assert_eq!(cohorts_lonely(&mut tx, 3, before(21)).await.unwrap(), [a, b]);
}

//! Devices.

use slipway_server::{
    model::device::{
        Approval, Blocked, Component, DataClass, Device, DeviceState, Inventory, RevokedKey, Standing,
    },
    store::{
        StoreError,
        devices::{
            device_get, device_get_by_key, device_insert, device_register_again, device_update,
            devices_changed, devices_count, devices_page,
        },
        revoked_keys::{revoked_key_put, revoked_keys},
    },
};
use slipway_trust::{Sha256, Versions};

use crate::backend::{Backend, at, contract};

contract! {
    what_goes_in_comes_out;
    one_key_is_one_device;
    a_key_is_found_before_its_first_use;
    a_stale_writer_is_refused;
    what_a_registration_says_is_written_anew;
    a_revoked_key_is_remembered_as_it_was_first;
    pages_are_in_byte_order;
    changes_are_found_by_time;
    extremes_fit;
}

pub fn device(id: &str) -> Device {
    Device {
        id: id.to_owned(),
        product: "pump".to_owned(),
        hardware: "gw-a".to_owned(),
        state: DeviceState::Active,
        spki_sha256: Sha256::of(id.as_bytes()),
        standing: Standing {
            next_key: Some(Sha256::of(format!("{id}, next").as_bytes())),
            renewal: Approval::Waiting,
            duplicate_at: Some(at(3)),
        },
        certificate_serial: "00ff".to_owned(),
        certificate_not_after: at(1000),
        enrolled_by: "claims/claim".to_owned(),
        labels: [("site".to_owned(), "Zürich \"north\"".to_owned())].into(),
        inventory: Inventory {
            digest: u64::MAX,
            components: vec![Component {
                component: "system".to_owned(),
                version: "1.0.0".to_owned(),
                counter: 1,
                digest: "ab".repeat(32),
                slot: "a".to_owned(),
            }],
            agent_version: "0.1.0".to_owned(),
            boot_id: "boot".to_owned(),
            attributes: [("serial".to_owned(), "42".to_owned())].into(),
            consent: vec![DataClass::Essential, DataClass::Diagnostic],
            floor: 7,
            blocked: Some(Blocked { code: "STALE".to_owned(), detail: "metadata is stale".to_owned() }),
        },
        have: Versions { root: 1, timestamp: 2, snapshot: 3, targets: 4, product: 5, assignment: 6 },
        failures: 2,
        quarantined_until: Some(at(50)),
        created_at: at(0),
        updated_at: at(0),
        generation: 1,
    }
}

async fn insert(backend: &Backend, devices: &[Device]) {
    let mut tx = backend.db.write().await.unwrap();
    for device in devices {
        device_insert(&mut tx, device).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn what_goes_in_comes_out(backend: Backend) {
    let pump = device("pump-1");
    insert(&backend, std::slice::from_ref(&pump)).await;
    let mut tx = backend.db.read().await.unwrap();
    assert_eq!(device_get(&mut tx, "pump-1").await.unwrap(), Some(pump));
    assert_eq!(device_get(&mut tx, "pump-2").await.unwrap(), None);
    assert_eq!(devices_count(&mut tx).await.unwrap(), 1);
}

async fn one_key_is_one_device(backend: Backend) {
    insert(&backend, &[device("a")]).await;
    let mut tx = backend.db.write().await.unwrap();
    let thief = Device { spki_sha256: Sha256::of(b"a"), ..device("b") };
    let refused = device_insert(&mut tx, &thief).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
}

async fn a_key_is_found_before_its_first_use(backend: Backend) {
    insert(&backend, &[device("a"), device("b")]).await;
    let mut tx = backend.db.write().await.unwrap();
    let next = Sha256::of(b"a, next");
    let mut found = device_get_by_key(&mut tx, &next).await.unwrap().unwrap();
    assert_eq!(found.id, "a");
    (found.spki_sha256, found.standing) = (next, Standing::default());
    assert!(device_update(&mut tx, &mut found, at(10)).await.unwrap());
    assert_eq!(device_get_by_key(&mut tx, &next).await.unwrap(), Some(found));
    assert_eq!(device_get_by_key(&mut tx, &Sha256::of(b"a")).await.unwrap(), None, "the key before");
    let mut thief = device_get(&mut tx, "b").await.unwrap().unwrap();
    thief.spki_sha256 = next;
    let refused = device_update(&mut tx, &mut thief, at(11)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
}

async fn a_stale_writer_is_refused(backend: Backend) {
    insert(&backend, &[device("a")]).await;
    let mut tx = backend.db.write().await.unwrap();
    let mut first = device_get(&mut tx, "a").await.unwrap().unwrap();
    let mut stale = first.clone();
    first.state = DeviceState::Revoked;
    assert!(device_update(&mut tx, &mut first, at(10)).await.unwrap());
    stale.failures = 9;
    assert!(!device_update(&mut tx, &mut stale, at(11)).await.unwrap());
    let now = device_get(&mut tx, "a").await.unwrap().unwrap();
    assert_eq!((now.state, now.failures, now.updated_at), (DeviceState::Revoked, 2, at(10)));
    assert_eq!(now, first, "the writer knows what it wrote");
}

async fn what_a_registration_says_is_written_anew(backend: Backend) {
    insert(&backend, &[device("a"), device("b")]).await;
    let mut tx = backend.db.write().await.unwrap();
    let mut stale = device_get(&mut tx, "a").await.unwrap().unwrap();
    let mut found = Device {
        product: "valve".to_owned(),
        hardware: "gw-b".to_owned(),
        state: DeviceState::Registered,
        spki_sha256: Sha256::of(b"another"),
        enrolled_by: "keys/another".to_owned(),
        labels: [("site".to_owned(), "south".to_owned())].into(),
        created_at: at(10),
        certificate_serial: String::new(),
        inventory: Inventory::default(),
        standing: Standing::default(),
        ..stale.clone()
    };
    assert!(device_register_again(&mut tx, &mut found, at(10)).await.unwrap());
    assert_eq!((found.generation, found.updated_at), (2, at(10)));
    assert_eq!(device_get(&mut tx, "a").await.unwrap(), Some(found.clone()));
    assert_eq!(device_get(&mut tx, "b").await.unwrap(), Some(device("b")));
    assert!(!device_register_again(&mut tx, &mut stale, at(11)).await.unwrap());
    let mut thief = Device { spki_sha256: device("b").spki_sha256, ..found };
    let refused = device_register_again(&mut tx, &mut thief, at(12)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
}

async fn a_revoked_key_is_remembered_as_it_was_first(backend: Backend) {
    let [first, second] = [b"first", b"other"].map(|key| Sha256::of(key));
    let mut tx = backend.db.write().await.unwrap();
    for (key, was_pending, seconds) in [(first, true, 5), (second, false, 6), (first, false, 7)] {
        revoked_key_put(&mut tx, "a", &RevokedKey { key, was_pending }, at(seconds)).await.unwrap();
    }
    let found = revoked_keys(&mut tx, "a").await.unwrap();
    let expected = [(first, true), (second, false)].map(|(key, was_pending)| RevokedKey { key, was_pending });
    assert_eq!(found, expected);
    assert_eq!(revoked_keys(&mut tx, "b").await.unwrap(), []);
}

async fn pages_are_in_byte_order(backend: Backend) {
    insert(&backend, &["b", "a-2", "a.1", "a_3", "a"].map(device)).await;
    let mut tx = backend.db.read().await.unwrap();
    let ids = |page: Vec<Device>| page.into_iter().map(|d| d.id).collect::<Vec<_>>();
    assert_eq!(ids(devices_page(&mut tx, "", 3).await.unwrap()), ["a", "a-2", "a.1"]);
    assert_eq!(ids(devices_page(&mut tx, "a.1", 3).await.unwrap()), ["a_3", "b"]);
}

async fn changes_are_found_by_time(backend: Backend) {
    insert(&backend, &["a", "b", "c"].map(device)).await;
    let mut tx = backend.db.write().await.unwrap();
    let mut b = device_get(&mut tx, "b").await.unwrap().unwrap();
    assert!(device_update(&mut tx, &mut b, at(30)).await.unwrap());
    let ids = |page: Vec<Device>| page.into_iter().map(|d| d.id).collect::<Vec<_>>();
    assert_eq!(ids(devices_changed(&mut tx, at(0), "a", 10).await.unwrap()), ["c", "b"]);
    assert_eq!(ids(devices_changed(&mut tx, at(1), "", 10).await.unwrap()), ["b"]);
}

async fn extremes_fit(backend: Backend) {
    let mut widest = device(&"x".repeat(63));
    widest.inventory.floor = u64::try_from(i64::MAX).unwrap();
    widest.inventory.components = Vec::new();
    widest.labels = (0..64).map(|n| (format!("k{n}"), "v".repeat(63))).collect();
    widest.quarantined_until = None;
    insert(&backend, std::slice::from_ref(&widest)).await;
    let mut tx = backend.db.read().await.unwrap();
    assert_eq!(device_get(&mut tx, &widest.id).await.unwrap(), Some(widest));
}

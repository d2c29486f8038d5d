//! Assignments of devices.

use slipway_server::{
    model::trust::Assignment,
    store::{
        StoreError,
        assignments::{assignment_get, assignment_put, assignments_make_due, assignments_page},
    },
};

use crate::backend::{Backend, at, contract};

contract! {
    the_newest_takes_the_place_of_the_one_before;
    who_comes_second_is_refused;
    pages_by_device;
    those_of_a_release_or_all_become_due;
}

fn assignment(device: &str, version: u64, release: Option<&str>) -> Assignment {
    Assignment {
        device: device.to_owned(),
        version,
        release: release.map(str::to_owned),
        bytes: format!("signed {version}\0").into(),
        expires_at: at(100),
        created_at: at(1),
    }
}

async fn the_newest_takes_the_place_of_the_one_before(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    let (first, hold) = (assignment("d", 1, Some("releases/pump/1.0")), assignment("d", 2, None));
    assert_eq!(assignment_get(&mut tx, "d").await.unwrap(), None);
    assignment_put(&mut tx, &first, 0).await.unwrap();
    assert_eq!(assignment_get(&mut tx, "d").await.unwrap(), Some(first));
    assignment_put(&mut tx, &hold, 1).await.unwrap();
    assert_eq!(assignment_get(&mut tx, "d").await.unwrap(), Some(hold));
}

async fn who_comes_second_is_refused(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    assignment_put(&mut tx, &assignment("d", 1, None), 0).await.unwrap();
    assignment_put(&mut tx, &assignment("d", 2, None), 1).await.unwrap();
    for previous in [0, 1, 3] {
        let late = assignment_put(&mut tx, &assignment("d", previous + 1, Some("x")), previous).await;
        assert!(matches!(late, Err(StoreError::Conflict { .. })), "{previous}");
    }
    assert_eq!(assignment_get(&mut tx, "d").await.unwrap().unwrap().version, 2);
}

async fn pages_by_device(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for device in ["b", "a", "Z", "a-1"] {
        assignment_put(&mut tx, &assignment(device, 1, None), 0).await.unwrap();
    }
    let first = assignments_page(&mut tx, "", 3).await.unwrap();
    assert_eq!(first.iter().map(|one| one.device.as_str()).collect::<Vec<_>>(), ["Z", "a", "a-1"]);
    let second = assignments_page(&mut tx, "a-1", 3).await.unwrap();
    assert_eq!(second.iter().map(|one| one.device.as_str()).collect::<Vec<_>>(), ["b"]);
}

async fn those_of_a_release_or_all_become_due(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for (device, release) in [("a", Some("releases/pump/1.0")), ("b", Some("releases/pump/2.0")), ("c", None)]
    {
        assignment_put(&mut tx, &assignment(device, 1, release), 0).await.unwrap();
    }
    let mut due = async |release: Option<&str>| {
        assignments_make_due(&mut tx, release).await.unwrap();
        let page = assignments_page(&mut tx, "", 9).await.unwrap();
        page.into_iter().filter(|one| one.is_due(at(1))).map(|one| one.device).collect::<Vec<_>>()
    };
    assert_eq!(due(Some("releases/pump/2.0")).await, ["b"]);
    assert_eq!(due(None).await, ["a", "b", "c"]);
}

//! Authorities of manufacturers.

use slipway_server::{
    model::enrolment::Authority,
    store::{
        StoreError,
        manufacturers::{manufacturer_delete, manufacturer_get, manufacturer_insert, manufacturers_page},
    },
};

use crate::backend::{Backend, at, contract};

contract! {
    what_goes_in_comes_out_until_it_is_removed;
    a_name_and_a_certificate_are_there_once;
}

fn authority(id: &str, certificate: &[u8]) -> Authority {
    Authority {
        id: id.to_owned(),
        certificate: certificate.to_vec(),
        product: "pump".to_owned(),
        hardware: vec!["gw-a".to_owned()],
        labels: [("maker".to_owned(), "acme".to_owned())].into(),
        approve: true,
        created_at: at(0),
        created_by: "test".to_owned(),
    }
}

async fn what_goes_in_comes_out_until_it_is_removed(backend: Backend) {
    // Certificates may be longer than what fits into an index.
    let (acme, zeta) = (authority("acme", &[0xff; 8192]), authority("zeta", b"\0"));
    let mut tx = backend.db.write().await.unwrap();
    for authority in [&zeta, &acme] {
        manufacturer_insert(&mut tx, authority).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = backend.again().await.write().await.unwrap();
    assert_eq!(manufacturer_get(&mut tx, "acme").await.unwrap().as_ref(), Some(&acme));
    assert_eq!(manufacturers_page(&mut tx, "", 10).await.unwrap(), [acme.clone(), zeta.clone()]);
    assert_eq!(manufacturers_page(&mut tx, "acme", 10).await.unwrap(), [zeta]);
    assert!(manufacturer_delete(&mut tx, "acme").await.unwrap());
    assert!(!manufacturer_delete(&mut tx, "acme").await.unwrap());
    assert_eq!(manufacturer_get(&mut tx, "acme").await.unwrap(), None);
}

async fn a_name_and_a_certificate_are_there_once(backend: Backend) {
    for second in [authority("acme", b"two"), authority("zeta", b"one")] {
        let mut tx = backend.db.write().await.unwrap();
        manufacturer_insert(&mut tx, &authority("acme", b"one")).await.unwrap();
        let refused = manufacturer_insert(&mut tx, &second).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    }
}

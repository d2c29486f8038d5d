//! Last contacts.

use slipway_server::store::presence::{Seen, presence_get, presence_page, presence_record};

use crate::backend::{Backend, at, contract};

contract! {
    the_newest_contact_stays;
    one_batch_may_name_a_device_twice;
}

fn seen(device: &str, seconds: i64) -> Seen {
    Seen { device_id: device.to_owned(), seen_at: at(seconds), next_check_in_at: at(seconds + 60) }
}

async fn the_newest_contact_stays(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    presence_record(&mut tx, &[]).await.unwrap();
    presence_record(&mut tx, &[seen("a", 10), seen("b", 10)]).await.unwrap();
    presence_record(&mut tx, &[seen("a", 20), seen("b", 5)]).await.unwrap();
    assert_eq!(presence_page(&mut tx, "", 10).await.unwrap(), [seen("a", 20), seen("b", 10)]);
    assert_eq!(presence_page(&mut tx, "a", 10).await.unwrap(), [seen("b", 10)]);
    assert_eq!(presence_get(&mut tx, "c").await.unwrap(), None);
}

async fn one_batch_may_name_a_device_twice(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    presence_record(&mut tx, &[seen("a", 10), seen("a", 30), seen("a", 20)]).await.unwrap();
    assert_eq!(presence_get(&mut tx, "a").await.unwrap(), Some(seen("a", 30)));
}

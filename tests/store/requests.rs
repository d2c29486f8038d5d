//! Request ids.

use slipway_server::store::requests::{Request, request_begin, requests_delete_before};

use crate::backend::{Backend, at, contract};

contract! {
    a_repeated_call_is_recognised;
    callers_and_methods_do_not_share_ids;
    a_day_later_it_is_a_new_call;
}

fn call(actor: &str, method: &str, seconds: i64) -> Request {
    Request {
        actor: actor.to_owned(),
        method: method.to_owned(),
        id: "id".to_owned(),
        at: at(seconds),
        digest: format!("digest {seconds}"),
        resource: format!("rollouts/{seconds}"),
    }
}

async fn a_repeated_call_is_recognised(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(request_begin(&mut tx, &call("a", "m", 1), at(0)).await.unwrap(), None);
    assert_eq!(request_begin(&mut tx, &call("a", "m", 2), at(0)).await.unwrap(), Some(call("a", "m", 1)));
}

async fn callers_and_methods_do_not_share_ids(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    for one in [call("a", "m", 1), call("b", "m", 1), call("a", "n", 1)] {
        assert_eq!(request_begin(&mut tx, &one, at(0)).await.unwrap(), None, "{one:?}");
    }
}

async fn a_day_later_it_is_a_new_call(backend: Backend) {
    let mut tx = backend.db.write().await.unwrap();
    assert_eq!(request_begin(&mut tx, &call("a", "m", 1), at(0)).await.unwrap(), None);
    assert_eq!(request_begin(&mut tx, &call("a", "m", 9), at(5)).await.unwrap(), None, "too old to count");
    assert_eq!(requests_delete_before(&mut tx, at(9)).await.unwrap(), 0);
    assert_eq!(requests_delete_before(&mut tx, at(10)).await.unwrap(), 1);
}

use super::*;
use crate::{
    model::alert::AlertState,
    service::alert_testing::{caller, device, filter_limit, month, report},
    service::{Error, alerts},
    store::alerts::alerts_living,
};

#[tokio::test]
async fn set_listed_replaced_and_removed_by_name() {
    let ctx = Context::for_test().await;
    let before = {
        let page = Page::parse(1000, "", &["limits"]).unwrap();
        list(&ctx, &page).await.unwrap().0.len()
    };
    let limit = filter_limit(&ctx).await;
    create(&ctx, "tests", Limit { value: 300.0, ..limit }).await.unwrap();
    let page = Page::parse(1000, "", &["limits"]).unwrap();
    let (limits, next) = list(&ctx, &page).await.unwrap();
    assert_eq!((limits.len(), next.as_str()), (before + 1, ""));
    let set = limits.iter().find(|limit| limit.id == "filter").unwrap();
    assert_eq!(set.value, 300.0);
    assert_eq!(delete(&ctx, "tests", "filter").await.unwrap().id, "filter");
    match delete(&ctx, "tests", "filter").await.unwrap_err() {
        Error::Refused(refusal) => assert_eq!(refusal.reason, Reason::LimitNotFound),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn its_alerts_end_with_it() {
    let ctx = Context::for_test().await;
    filter_limit(&ctx).await;
    let pump = device(&ctx, "pump-1", "north").await;
    report(&ctx, &pump, 1, month(ctx.clock.now(), 230.0, 2.0)).await;
    let alert = {
        let mut tx = ctx.db.read().await.unwrap();
        alerts_living(&mut tx, "", 10).await.unwrap().remove(0)
    };
    delete(&ctx, "tests", "filter").await.unwrap();
    let viewer = caller(&ctx, "aa", crate::model::token::Role::Viewer, "").await;
    let ended = alerts::get(&ctx, &viewer, &alert.id).await.unwrap();
    assert_eq!(ended.state, AlertState::Resolved);
    assert!(ended.recommendation.contains("the limit was removed"), "{}", ended.recommendation);
}

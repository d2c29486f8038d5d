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
    create(&ctx, "tests", Limit { value: 300.0, ..limit }, false).await.unwrap();
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
async fn one_of_a_file_is_replaced_only_by_the_file_or_on_purpose() {
    let ctx = Context::for_test().await;
    let by_hand = filter_limit(&ctx).await;
    let unit = "Pa".to_owned();
    let of_file = Limit { managed_by: "machine".to_owned(), unit, ..by_hand.clone() };
    create(&ctx, "tests", of_file.clone(), false).await.unwrap();
    match create(&ctx, "tests", by_hand.clone(), false).await.unwrap_err() {
        Error::Refused(refusal) => {
            assert_eq!(
                (refusal.reason, refusal.field.as_deref()),
                (Reason::LimitInvalid, Some("limit.name"))
            );
            assert!(refusal.message.contains("belongs to the specification \"machine\""), "{refusal:?}");
        }
        other => panic!("{other:?}"),
    }
    let stored = async || {
        let mut tx = ctx.db.read().await.unwrap();
        limit_get(&mut tx, "filter").await.unwrap().unwrap()
    };
    assert_eq!((stored().await.unit.as_str(), stored().await.managed_by.as_str()), ("Pa", "machine"));
    create(&ctx, "tests", of_file.clone(), false).await.unwrap();
    match delete(&ctx, "tests", "filter").await.unwrap_err() {
        Error::Refused(refusal) => {
            assert_eq!((refusal.reason, refusal.field.as_deref()), (Reason::LimitInvalid, Some("name")));
            assert!(refusal.message.contains("belongs to the specification \"machine\""), "{refusal:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(stored().await.managed_by, "machine");
    assert_eq!(delete_managed(&ctx, "tests", "filter").await.unwrap().managed_by, "machine");
    create(&ctx, "tests", of_file, false).await.unwrap();
    create(&ctx, "tests", by_hand, true).await.unwrap();
    assert_eq!((stored().await.unit.as_str(), stored().await.managed_by.as_str()), ("", ""));
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

#[tokio::test]
async fn an_exception_takes_the_place_of_what_holds_for_all() {
    let ctx = Context::for_test().await;
    let general = filter_limit(&ctx).await;
    for (sequence, id) in [(1, "pump-1"), (1, "pump-2")] {
        let pump = device(&ctx, id, "north").await;
        report(&ctx, &pump, sequence, month(ctx.clock.now(), 260.0, 0.0)).await;
    }
    let living = async || {
        let mut tx = ctx.db.read().await.unwrap();
        let alerts = alerts_living(&mut tx, "", 10).await.unwrap();
        let mut told: Vec<_> =
            alerts.iter().map(|alert| (alert.device_id.clone(), alert.cause.clone())).collect();
        told.sort();
        told
    };
    let told = |id: &str, cause: &str| (id.to_owned(), cause.to_owned());
    assert_eq!(living().await, [told("pump-1", "filter"), told("pump-2", "filter")]);
    // The first one has a filter that may drop more.
    let selector = crate::model::selector::Selector::parse("id = \"pump-1\"").unwrap();
    let exception = Limit { id: "large".to_owned(), value: 400.0, selector, ..general.clone() };
    create(&ctx, "tests", exception.clone(), false).await.unwrap();
    let again = async |sequence: u64| {
        ctx.clock.advance(crate::model::time::DAY);
        for id in ["pump-1", "pump-2"] {
            let pump = ctx.devices.get(id).unwrap();
            report(&ctx, &pump, sequence, month(ctx.clock.now(), 260.0, 0.0)).await;
        }
    };
    again(2).await;
    assert_eq!(living().await, [told("pump-2", "filter")]);
    // An exception on the other side, or in another unit, excepts from nothing.
    let other = Limit { side: slipway_insight::Side::Below, value: 10.0, ..exception.clone() };
    create(&ctx, "tests", other, false).await.unwrap();
    again(3).await;
    assert_eq!(living().await, [told("pump-1", "filter"), told("pump-2", "filter")]);
    create(&ctx, "tests", Limit { unit: "bar".to_owned(), ..exception }, false).await.unwrap();
    again(4).await;
    assert_eq!(living().await, [told("pump-1", "filter"), told("pump-2", "filter")]);
}

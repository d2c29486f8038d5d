use super::*;
use crate::{
    model::{fix::Fix, selector::Selector},
    service::{
        Error,
        alert_testing::{filter_limit, worn},
        limits,
    },
    store::{
        alerts::{alert_insert, alerts_living},
        audit::audit_page,
    },
};

fn fix(ctx: &Context) -> Fix {
    Fix {
        id: "leak".to_owned(),
        failure_mode: "leak".to_owned(),
        product: "pump".to_owned(),
        version: "2.1".parse().unwrap(),
        selector: Selector::default(),
        managed_by: "pumps".to_owned(),
        created_at: ctx.clock.now(),
        created_by: "tests".to_owned(),
    }
}

async fn specification(ctx: &Context) -> Specification {
    let limit = filter_limit(ctx).await;
    limits::delete(ctx, "tests", &limit.id).await.unwrap();
    let limit = |id: &str| Limit { id: id.to_owned(), managed_by: "pumps".to_owned(), ..limit.clone() };
    Specification { set: "pumps".to_owned(), limits: vec![limit("air"), limit("oil")], fixes: vec![fix(ctx)] }
}

async fn stored(ctx: &Context) -> (Vec<String>, usize, usize) {
    let mut tx = ctx.db.read().await.unwrap();
    let limits = limits_page(&mut tx, "", 99).await.unwrap();
    let fixes = fixes_page(&mut tx, "", 99).await.unwrap();
    let entries = audit_page(&mut tx, 0, 99).await.unwrap();
    let applied = entries.iter().filter(|entry| entry.action == "ApplyLimits").count();
    (limits.into_iter().map(|limit| limit.id).collect(), fixes.len(), applied)
}

#[tokio::test]
async fn a_file_is_applied_once_and_pruned_on_request() {
    let ctx = Context::for_test().await;
    let mut wanted = specification(&ctx).await;
    let dry = apply(&ctx, "tests", &wanted, false, true).await.unwrap();
    assert!(dry.iter().all(|change| change.action == Action::Create));
    assert_eq!(stored(&ctx).await, (vec![], 0, 0), "a dry run");
    apply(&ctx, "tests", &wanted, false, false).await.unwrap();
    apply(&ctx, "tests", &wanted, false, false).await.unwrap();
    let both = vec!["air".to_owned(), "oil".to_owned()];
    assert_eq!(stored(&ctx).await, (both.clone(), 1, 1), "the second time changed nothing");
    wanted.limits.truncate(1);
    wanted.fixes.clear();
    apply(&ctx, "tests", &wanted, false, false).await.unwrap();
    assert_eq!(stored(&ctx).await, (both, 1, 1), "left, without --prune");
    apply(&ctx, "tests", &wanted, true, false).await.unwrap();
    assert_eq!(stored(&ctx).await, (vec!["air".to_owned()], 0, 2));
}

#[tokio::test]
async fn one_fault_and_nothing_is_written() {
    let ctx = Context::for_test().await;
    let mut wanted = specification(&ctx).await;
    wanted.limits[1].metric = String::new();
    wanted.fixes[0].failure_mode = String::new();
    let Err(Error::Refused(refusal)) = apply(&ctx, "tests", &wanted, false, false).await else { panic!() };
    assert_eq!(refusal.field.as_deref(), Some("limits[1].metric"));
    assert_eq!(refusal.violations.len(), 1);
    assert_eq!(stored(&ctx).await, (vec![], 0, 0));
}

#[tokio::test]
async fn alerts_of_a_limit_end_with_it() {
    let ctx = Context::for_test().await;
    let wanted = specification(&ctx).await;
    apply(&ctx, "tests", &wanted, false, false).await.unwrap();
    let mut tx = ctx.db.write().await.unwrap();
    let mut alert = worn(&ctx, "pump-1");
    alert.cause = "oil".to_owned();
    alert_insert(&mut tx, &alert).await.unwrap();
    tx.commit().await.unwrap();
    let less = Specification { limits: wanted.limits[..1].to_vec(), ..wanted };
    apply(&ctx, "tests", &less, true, false).await.unwrap();
    let mut tx = ctx.db.read().await.unwrap();
    assert_eq!(alerts_living(&mut tx, "", 9).await.unwrap(), []);
}

use super::*;

/// An upkeep every hour for so long, as time goes on.
async fn keep_up(ctx: &TestContext, span: Duration) {
    let end = ctx.clock.now().after(span);
    while ctx.clock.now() < end {
        ctx.clock.advance(Duration::from_secs(3600));
        upkeep(ctx, &mut BTreeSet::new()).await.unwrap();
    }
}

/// Readings of two classes, archived, as many again in the inbox, and a clock that was seen to be steady.
async fn with_usage_and_heat() -> TestContext {
    let ctx = Context::for_test().await;
    upkeep(&ctx, &mut BTreeSet::new()).await.unwrap();
    keep_up(&ctx, DAY).await;
    put(&ctx, "a", 1, &of_now(&ctx, 1.0)).await;
    assert_eq!(archive(&ctx).await.readings, 2);
    put(&ctx, "a", 2, &of_now(&ctx, 2.0)).await;
    ctx
}

fn of_now(ctx: &Context, value: f64) -> [Given; 2] {
    let now = ctx.clock.now();
    [heat(now, value), ("usage.hours", DataClass::Usage, now, value)]
}

#[tokio::test]
async fn days_are_dropped_by_class() {
    let ctx = Context::for_test().await;
    let old = START.before(40 * DAY);
    put(&ctx, "a", 1, &[("where", DataClass::Location, old, 1.0), heat(old, 2.0)]).await;
    put(&ctx, "a", 2, &[("where", DataClass::Location, START, 3.0)]).await;
    assert_eq!(archive(&ctx).await.readings, 2, "what was older than is kept when it came is not written");
    ctx.clock.advance(30 * DAY);
    upkeep(&ctx, &mut BTreeSet::new()).await.unwrap();
    keep_up(&ctx, DAY - Duration::from_secs(3600)).await;
    assert_eq!(of(&ctx, "a").await.len(), 2, "the clock has not gone on for a day yet");
    keep_up(&ctx, Duration::from_secs(3600)).await;
    assert_eq!(of(&ctx, "a").await, [("hw.temperature".to_owned(), -40 * 86_400_000, 2.0)]);
    ctx.clock.advance(GRACE);
    upkeep(&ctx, &mut BTreeSet::new()).await.unwrap();
    assert_eq!(objects(&ctx).await.len(), 1);
    let mut tx = ctx.db.read().await.unwrap();
    let series = archive_series_of_device(&mut tx, "a").await.unwrap();
    assert_eq!(series.iter().map(|one| one.metric.as_str()).collect::<Vec<_>>(), ["hw.temperature"]);
}

#[tokio::test]
async fn a_clock_that_is_ahead_for_a_while_costs_no_reading() {
    let ctx = with_usage_and_heat().await;
    let before = of(&ctx, "a").await;
    assert_eq!(before.len(), 4);
    let read = ctx.clock.now();
    ctx.clock.advance(400 * DAY);
    assert_eq!(run(&ctx).await.unwrap().readings, 2, "the inbox is archived all the same");
    // What comes meanwhile was measured by clocks that are right.
    let given = [heat(read, 3.0), ("usage.hours", DataClass::Usage, read, 3.0)];
    put(&ctx, "a", 3, &given).await;
    assert_eq!(archive(&ctx).await.readings, 2);
    keep_up(&ctx, DAY / 2).await;
    let after = of(&ctx, "a").await;
    assert_eq!(after.len(), 6);
    assert!(before.iter().all(|one| after.contains(one)));
    assert_eq!(objects(&ctx).await.len(), live(&ctx).await.len());
}

#[tokio::test]
async fn a_clock_that_goes_on_drops_what_is_old_when_the_server_was_off_for_long() {
    let ctx = with_usage_and_heat().await;
    ctx.clock.advance(400 * DAY);
    keep_up(&ctx, DAY + Duration::from_secs(3600)).await;
    let left = of(&ctx, "a").await;
    let metrics: BTreeSet<&str> = left.iter().map(|(metric, ..)| metric.as_str()).collect();
    assert!(left.iter().all(|(metric, _, value)| metric == "hw.temperature" || *value == 2.0), "{left:?}");
    assert_eq!(metrics.len(), 2, "what nobody archived yet is there");
    archive(&ctx).await;
    keep_up(&ctx, Duration::from_secs(3600)).await;
    assert_eq!(of(&ctx, "a").await.iter().filter(|(metric, ..)| metric == "usage.hours").count(), 0);
}

use super::*;
use crate::{
    model::time::DAY,
    service::alert_testing::{device, reading},
    store::inbox::inbox_waiting,
};

async fn waiting(ctx: &Context) -> Vec<InboxRow> {
    let mut tx = ctx.db.read().await.unwrap();
    inbox_waiting(&mut tx, 10_000).await.unwrap()
}

fn request(sequence: u64, readings: Vec<v1::Reading>) -> v1::SendTelemetryRequest {
    v1::SendTelemetryRequest { sequence, readings, ..Default::default() }
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_repeated_batch_is_a_batch_once() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    for _ in 0..3 {
        let answer = batch(&ctx, &pump, request(5, vec![reading(now, 1.0)])).await.unwrap();
        assert_eq!((answer.sequence, answer.dropped), (5, 0));
    }
    assert_eq!(waiting(&ctx).await.len(), 1);
    let other = device(&ctx, "pump-2", "north").await;
    batch(&ctx, &other, request(5, vec![reading(now, 1.0)])).await.unwrap();
    assert_eq!(waiting(&ctx).await.len(), 2);
}

#[tokio::test]
async fn a_copy_of_a_device_loses_nothing() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let of = |nonce: &[u8], value| v1::SendTelemetryRequest {
        nonce: nonce.to_vec(),
        ..request(5, vec![reading(now, value)])
    };
    // The device, the same set back to yesterday, and an agent that draws no nonces; each sends twice.
    for (nonce, value) in [(&[1; 16][..], 1.0), (&[2; 16], 2.0), (&[], 3.0)].repeat(2) {
        assert_eq!(batch(&ctx, &pump, of(nonce, value)).await.unwrap().sequence, 5);
    }
    let mut kept: Vec<f64> = waiting(&ctx)
        .await
        .iter()
        .flat_map(|row| decode(&row.readings).unwrap())
        .map(|one| one.value)
        .collect();
    kept.sort_by(f64::total_cmp);
    assert_eq!(kept, [1.0, 2.0, 3.0]);
    let error = batch(&ctx, &pump, of(&[1; 15], 4.0)).await.unwrap_err();
    assert_eq!(refusal(error).field.as_deref(), Some("nonce"));
}

#[tokio::test]
async fn what_the_owner_switched_off_is_dropped_and_counted() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let of = |class: i32| v1::Reading { data_class: class, ..reading(now, 1.0) };
    let classes = [v1::DataClass::Essential, v1::DataClass::Diagnostic, v1::DataClass::Location];
    let mut readings: Vec<v1::Reading> = classes.iter().map(|class| of((*class).into())).collect();
    readings.push(of(0));
    readings.push(of(99));
    let answer = batch(&ctx, &pump, request(1, readings)).await.unwrap();
    assert_eq!(answer.dropped, 3);
    let kept = decode(&waiting(&ctx).await[0].readings).unwrap();
    let kept: Vec<_> = kept.iter().map(|reading| reading.class).collect();
    assert_eq!(kept, [Some(DataClass::Essential), Some(DataClass::Diagnostic)]);
}

#[tokio::test]
async fn what_has_no_usable_time_or_value_is_dropped_and_the_rest_is_kept() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let at = |seconds| v1::Reading {
        time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..reading(now, 0.0)
    };
    let mut readings = vec![reading(now, 1.0), reading(now.after(DAY * 2), 2.0), reading(now, 3.0)];
    readings.extend([f64::NAN, f64::INFINITY].map(|value| reading(now, value)));
    readings.extend([at(0), at(i64::MAX), v1::Reading { time: None, ..reading(now, 0.0) }]);
    let answer = batch(&ctx, &pump, request(1, readings)).await.unwrap();
    assert_eq!(answer.dropped, 6);
    let kept = decode(&waiting(&ctx).await[0].readings).unwrap();
    assert_eq!(kept.iter().map(|reading| reading.value).collect::<Vec<_>>(), [1.0, 3.0]);
    // Nothing good in it: it is taken, or it would come again for ever.
    let answer = batch(&ctx, &pump, request(2, vec![reading(now, f64::NAN)])).await.unwrap();
    assert_eq!((answer.sequence, answer.dropped), (2, 1));
    assert_eq!(waiting(&ctx).await.len(), 1);
}

#[tokio::test]
async fn a_refused_batch_leaves_nothing() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let bad = v1::Reading { metric: "No Name".to_owned(), ..reading(now, 0.0) };
    let error = batch(&ctx, &pump, request(1, vec![reading(now, 1.0), bad])).await.unwrap_err();
    assert_eq!(refusal(error).field.as_deref(), Some("readings[1].metric"));
    let many = vec![reading(now, 1.0); 1001];
    assert_eq!(
        refusal(batch(&ctx, &pump, request(3, many)).await.unwrap_err()).reason,
        Reason::BatchTooLarge
    );
    let error = batch(&ctx, &pump, request(u64::MAX, vec![])).await.unwrap_err();
    assert_eq!(refusal(error).field.as_deref(), Some("sequence"));
    assert!(waiting(&ctx).await.is_empty());
}

#[tokio::test]
async fn batches_that_arrive_together_share_commits() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let before = ctx.db.statements();
    let sends = (1..=100).map(|sequence| batch(&ctx, &pump, request(sequence, vec![reading(now, 1.0)])));
    for answer in futures_util::future::join_all(sends).await {
        answer.unwrap();
    }
    // 100 inserts, and a handful of transactions instead of 100.
    assert!(ctx.db.statements() - before < 110, "{}", ctx.db.statements() - before);
    assert_eq!(waiting(&ctx).await.len(), 100);
}

#[tokio::test]
async fn a_full_queue_pushes_back() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    // Somebody holds the writer: nothing can be committed.
    let writer = ctx.db.write().await.unwrap();
    let sends: Vec<_> = (1..=300)
        .map(|sequence| {
            let (ctx, pump) = (Context::clone(&ctx), pump.clone());
            tokio::spawn(async move { batch(&ctx, &pump, request(sequence, vec![reading(now, 1.0)])).await })
        })
        .collect();
    // Every task has run up to where it waits, or was refused, before this one runs again.
    tokio::task::yield_now().await;
    drop(writer);
    let mut refused = 0;
    for send in sends {
        match send.await.unwrap() {
            Ok(_) => {}
            Err(error) => {
                let refusal = refusal(error);
                assert_eq!(refusal.reason, Reason::Unavailable);
                assert!(refusal.retry_after.is_some());
                refused += 1;
            }
        }
    }
    assert!((1..=100).contains(&refused), "{refused}");
    assert_eq!(waiting(&ctx).await.len(), 300 - refused);
}

#[tokio::test]
async fn a_caller_who_is_cut_off_costs_the_others_nothing() {
    let ctx = Context::for_test().await;
    let pump = device(&ctx, "pump-1", "north").await;
    let now = ctx.clock.now();
    let writer = ctx.db.write().await.unwrap();
    let mut leader = Box::pin(batch(&ctx, &pump, request(1, vec![reading(now, 1.0)])));
    assert!(futures_util::poll!(leader.as_mut()).is_pending());
    let mut follower = Box::pin(batch(&ctx, &pump, request(2, vec![reading(now, 2.0)])));
    assert!(futures_util::poll!(follower.as_mut()).is_pending());
    drop(leader);
    drop(writer);
    follower.await.unwrap();
    assert_eq!(waiting(&ctx).await.iter().filter(|row| row.sequence == 2).count(), 1);
}

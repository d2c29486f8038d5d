//! Reports of devices whose memory is not what it was.

use super::*;
use crate::{
    model::rollout::Act,
    service::{
        rollout_testing::{OPERATOR, Pump, create, plan, published, settled},
        rollouts,
    },
    store::updates::history_list,
};

async fn states(ctx: &Context, update: &str) -> Vec<&'static str> {
    let mut tx = ctx.db.read().await.unwrap();
    let id = update.rsplit('/').next().unwrap();
    history_list(&mut tx, id).await.unwrap().iter().map(|line| line.state.as_str()).collect()
}

#[tokio::test]
async fn a_device_restored_from_a_copy_is_heard() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "p1").await;
    let first = create(&ctx, plan("2.0.0", &[100.0])).await;
    pump.poll(&ctx).await;
    let old = pump.update.clone().unwrap();
    let copy = pump.sequence();
    pump.report(&ctx, UpdateState::Downloading).await;
    pump.report(&ctx, UpdateState::Failed).await;
    rollouts::act(&ctx, OPERATOR, &first.id, Act::Abort, "").await.unwrap();

    // Its numbers start over, and it is sent on its way again.
    pump.restore(copy);
    let again = create(&ctx, plan("2.0.0", &[100.0])).await;
    pump.poll(&ctx).await;
    let update = pump.update.clone().unwrap();
    assert_ne!(update, old);
    pump.report(&ctx, UpdateState::Downloading).await;
    // The answer to the last one was lost: it says the same once more.
    let repeated = pump.report_of(&update, UpdateState::Downloading);
    report(&ctx, &pump.entry(&ctx), &repeated).await.unwrap();
    pump.succeed(&ctx, "2.0.0", 2).await;

    assert_eq!(states(&ctx, &old).await, ["offered", "downloading", "failed"]);
    assert_eq!(states(&ctx, &update).await, ["offered", "downloading", "succeeded"]);
    assert_eq!(settled(&ctx, &again.id).await.waves[0].counts.succeeded, 1);
}

#[tokio::test]
async fn a_number_used_again_for_another_step_is_another_report() {
    let ctx = published().await;
    let mut pump = Pump::new(&ctx, "p1").await;
    create(&ctx, plan("2.0.0", &[100.0])).await;
    pump.poll(&ctx).await;
    let update = pump.update.clone().unwrap();
    for state in [UpdateState::Downloading, UpdateState::Trial, UpdateState::Failed] {
        for _ in 0..2 {
            report(&ctx, &pump.entry(&ctx), &pump.report_of(&update, state)).await.unwrap();
        }
    }
    assert_eq!(states(&ctx, &update).await, ["offered", "downloading", "trial", "failed"]);
}

//! Looks for trouble that a version or a hardware model has more often than the rest of its fleet.

use super::{
    Context, Result,
    alert_book::{AlertBook, circumstances},
    forecasts::append,
};
use crate::{
    model::{
        alert::{Alert, Kind, REOPEN_WITHIN},
        alert_raise::{Raised, clear, raise},
        device::DeviceState,
        facts::Facts,
        fleet::{self, FleetFinding, Member},
        fleet_shift, id,
        time::Timestamp,
    },
    store::{
        Tx,
        alerts::{alerts_living, alerts_of_device},
        inbox::inbox_try_lock,
    },
};

/// Alerts looked at. A fleet with more living ones than this has other troubles first.
const ALERTS: i64 = 100_000;

/// Opens, changes and resolves the alerts about the fleet; returns how many. None while another replica is at it, or
/// readings are being consumed: then the next run will do.
pub async fn look(ctx: &Context) -> Result<Option<usize>> {
    let now = ctx.clock.now();
    let devices = ctx.devices.all();
    let members: Vec<Member> = devices
        .iter()
        .filter(|device| matches!(device.state(), DeviceState::Active | DeviceState::Quarantined))
        .map(|device| Member {
            id: device.id(),
            product: &device.product,
            version: &device.version,
            hardware: &device.hardware,
        })
        .collect();
    // Read and thought over outside of the transaction that writes: it holds everybody else up on SQLite.
    let alerts = alerts_living(&mut ctx.db.read().await?, "", ALERTS).await?;
    let findings = fleet::findings(&members, &alerts, now);
    if findings.is_empty() && !alerts.iter().any(|alert| alert.kind == Kind::Fleet) {
        return Ok(Some(0));
    }

    let mut tx = ctx.db.write().await?;
    if !inbox_try_lock(&mut tx).await? {
        return Ok(None);
    }
    let known = known(&mut tx, now).await?;
    let known: Vec<Alert> = known.into_iter().filter(|alert| !fleet_shift::is_one(alert)).collect();
    let raised: Vec<Raised> = findings.iter().map(FleetFinding::raised).collect();
    let over = "Nothing to do any more: the others have it as often.";
    let written = settle(ctx, &mut tx, known, raised, over).await?;
    let position = append(&mut tx, &written).await?;
    tx.commit().await?;
    if let Some(position) = position {
        ctx.alerts.moved(position);
    }
    Ok(Some(written.len()))
}

/// The alerts about the fleet that are living, or can open again.
pub(super) async fn known(tx: &mut Tx, now: Timestamp) -> Result<Vec<Alert>> {
    let known = alerts_of_device(tx, "", now.before(REOPEN_WITHIN)).await?;
    Ok(known.into_iter().filter(|alert| alert.kind == Kind::Fleet).collect())
}

/// Opens, keeps or resolves the `known` alerts as is found; returns those that changed, to be appended.
pub(super) async fn settle(
    ctx: &Context,
    tx: &mut Tx,
    known: Vec<Alert>,
    found: Vec<Raised<'_>>,
    over: &str,
) -> Result<Vec<Alert>> {
    let now = ctx.clock.now();
    let around = circumstances(tx, now).await?;
    let mut changes = Vec::new();
    for alert in known.iter().filter(|alert| !found.iter().any(|raised| raised.cause == alert.cause)) {
        changes.extend(clear(Some(alert), over, now));
    }
    for mut raised in found {
        let current = known.iter().find(|alert| alert.cause == raised.cause);
        if let Some(living) = current.filter(|alert| alert.is_living()) {
            // What is usual among the others moves with each look, and nobody acts on that.
            raised.evidence.limit = living.evidence.limit;
        }
        changes.extend(raise(current, &raised, id::mint(now, ctx.rng.bytes()), now));
    }
    let mut book = AlertBook::new(&around, None::<&Facts>, known, now);
    for change in changes {
        // Somebody who took it meanwhile goes first; the next run looks again.
        book.write(tx, change).await?;
    }
    Ok(book.into_changes())
}

#[cfg(test)]
mod tests {
    use slipway_trust::Sha256;

    use super::*;
    use crate::{
        model::{
            alert::{AlertState, Evidence, Health, Severity},
            device::{Component, SYSTEM},
        },
        service::testing::enrolled,
        store::alerts::{alert_insert, alert_update},
    };

    async fn fleet(ctx: &Context, devices: usize, new: usize) {
        for n in 0..devices {
            enrolled(ctx, &format!("pump-{n}"), |device| {
                let version = if n < new { "2.1.0" } else { "2.0.0" };
                device.inventory.components = vec![Component {
                    component: SYSTEM.to_owned(),
                    version: version.to_owned(),
                    counter: 0,
                    digest: String::new(),
                    slot: String::new(),
                }];
                device.spki_sha256 = Sha256::of(format!("pump-{n}").as_bytes());
            })
            .await;
        }
    }

    /// An alert of the device, as the detector raises one.
    async fn slow(ctx: &Context, device_id: &str) {
        let now = ctx.clock.now();
        let seen = Raised {
            device_id,
            selector: "",
            component: "mmcblk0",
            cause: "anomaly/slipway.disk.write_latency",
            kind: Kind::Anomaly,
            failure_mode: "",
            severity: Severity::Info,
            health: Health::MaintenanceRequired,
            summary: "slow".to_owned(),
            recommendation: "look".to_owned(),
            act_by: None,
            forecast: None,
            evidence: Evidence {
                metric: "slipway.disk.write_latency".to_owned(),
                unit: "s".to_owned(),
                value: 0.2,
                at_ms: now.millis(),
                limit: 0.01,
                slope_per_day: 0.0,
                readings: 300,
            },
        };
        let alert = raise(None, &seen, device_id.to_owned(), now).unwrap();
        let mut tx = ctx.db.write().await.unwrap();
        alert_insert(&mut tx, &alert).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn of_fleet(ctx: &Context) -> Vec<Alert> {
        let mut tx = ctx.db.read().await.unwrap();
        let all =
            alerts_of_device(&mut tx, "", ctx.clock.now().before(crate::model::time::DAY)).await.unwrap();
        all.into_iter().filter(|alert| alert.kind == Kind::Fleet).collect()
    }

    #[tokio::test]
    async fn one_alert_opens_stays_and_resolves() {
        let ctx = Context::for_test().await;
        fleet(&ctx, 60, 20).await;
        assert_eq!(look(&ctx).await.unwrap(), Some(0));
        for n in 0..15 {
            slow(&ctx, &format!("pump-{n}")).await;
        }
        assert_eq!(look(&ctx).await.unwrap(), Some(1));
        assert_eq!(look(&ctx).await.unwrap(), Some(0), "said once");
        let [alert] = &of_fleet(&ctx).await[..] else { panic!("one alert") };
        assert_eq!((alert.state, alert.device_id.as_str()), (AlertState::Open, ""));
        assert!(
            alert.summary.starts_with("15 of 20 devices of pump with version 2.1.0"),
            "{}",
            alert.summary
        );

        let mut tx = ctx.db.write().await.unwrap();
        for alert in alerts_living(&mut tx, "", 1000).await.unwrap() {
            if alert.kind == Kind::Anomaly {
                let gone = clear(Some(&alert), "over", ctx.clock.now()).unwrap();
                assert!(alert_update(&mut tx, &gone).await.unwrap());
            }
        }
        tx.commit().await.unwrap();
        assert_eq!(look(&ctx).await.unwrap(), Some(1));
        assert_eq!(of_fleet(&ctx).await[0].state, AlertState::Resolved);
    }
}

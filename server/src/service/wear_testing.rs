//! Fans with three sensors for the tests of wear models: two show the wear, and one does not.

use std::sync::Arc;

use slipway_proto::v1;

use super::{
    Context, Result,
    alert_testing::{self, report},
    device_cache::DeviceEntry,
    testing::TestContext,
    wear::{self, Action, Counted},
};
use crate::{
    model::{
        alert::Alert,
        lives::Lives,
        time::Timestamp,
        wear::{WearTerms, tests::fan},
    },
    store::{
        alerts::alerts_living,
        wear::{PartRow, wear_parts_of_devices},
    },
};

pub(super) const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

/// What looks like chance between -1 and 1, and is the same each time.
fn noise(seed: u32, hour: u32, sensor: u32) -> f64 {
    let mut bits = (u64::from(seed) << 40) ^ (u64::from(hour) << 8) ^ u64::from(sensor);
    for _ in 0..3 {
        bits = (bits ^ (bits >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    f64::from(u32::try_from(bits >> 34).unwrap_or(0)) / f64::from(1_u32 << 29) - 1.0
}

/// What the sensors of a fan say in an hour of its life, which has so many; with none it does not wear.
pub(super) fn row(seed: u32, life: Option<u32>, hour: u32) -> [f64; 3] {
    let wear = life.map_or(0.0, |life| ((f64::from(hour) - f64::from(life)) / 25.0).exp());
    let chance = |sensor| noise(seed, hour, sensor);
    [2.0 + 1.5 * wear + 0.1 * chance(0), 900.0 - 200.0 * wear + 15.0 * chance(1), 5.0 + chance(2)]
}

/// How many hours fans live: 120 to 200.
pub(super) fn life_of(number: u32) -> u32 {
    120 + number * 37 % 81
}

/// Recorded lives of so many fans.
pub(super) fn lives(count: u32) -> Lives {
    let mut lives = Lives::new(3);
    for number in 0..count {
        for hour in 0..life_of(number) {
            lives.add(&number.to_string(), &row(number, Some(life_of(number)), hour)).unwrap();
        }
    }
    lives
}

/// Has a model learn from forty fans.
pub(super) async fn apply(ctx: &Context, terms: WearTerms) -> Result<(Counted, Action)> {
    wear::apply(ctx, "tests", terms, lives(40), false).await
}

/// The terms of these tests: a spare fan takes a day and a half.
pub(super) fn terms() -> WearTerms {
    WearTerms { lead_time: HOUR * 36, ..fan() }
}

/// A device with a fan that reports every six hours what it read each twenty minutes.
pub(super) struct Machine {
    pub entry: Arc<DeviceEntry>,
    seed: u32,
    pub life: Option<u32>,
    pub hour: u32,
    sequence: u64,
}

impl Machine {
    pub async fn new(ctx: &Context, id: &str, seed: u32, life: Option<u32>) -> Self {
        let entry = alert_testing::device(ctx, id, "north").await;
        Machine { entry, seed, life, hour: 0, sequence: 0 }
    }

    /// The readings of its next so many hours, which begin at `from`.
    pub fn readings(&mut self, from: Timestamp, hours: u32) -> Vec<v1::Reading> {
        let mut readings = Vec::new();
        for hour in 0..hours {
            let values = row(self.seed, self.life, self.hour);
            self.hour += 1;
            for (metric, unit, value) in [
                ("fan.speed", "{rpm}", values[1]),
                ("fan.current", "A", values[0]),
                ("fan.vibration", "mm/s", values[2]),
            ] {
                for part in 0..3_u32 {
                    // The mean of the three is the value.
                    let off = 0.01 * (f64::from(part) - 1.0);
                    let at = from.after(HOUR * hour + HOUR / 3 * part);
                    readings.push(v1::Reading {
                        component: "fan".to_owned(),
                        metric: metric.to_owned(),
                        unit: unit.to_owned(),
                        ..alert_testing::reading(at, value + off)
                    });
                }
            }
        }
        readings
    }

    /// Goes on for so many hours, with the clock, and reports every six.
    pub async fn run(&mut self, ctx: &TestContext, hours: u32) {
        for _ in 0..hours / 6 {
            let from = ctx.clock.now();
            ctx.clock.advance(HOUR * 6);
            self.sequence += 1;
            let readings = self.readings(from, 6);
            report(ctx, &self.entry, self.sequence, readings).await;
        }
    }

    pub fn id(&self) -> &str {
        self.entry.id()
    }
}

/// The living alerts of a device.
pub(super) async fn living(ctx: &Context, id: &str) -> Vec<Alert> {
    let mut tx = ctx.db.read().await.unwrap();
    let mut alerts = alerts_living(&mut tx, "", 100).await.unwrap();
    alerts.retain(|alert| alert.device_id == id);
    alerts
}

/// The parts of a device that are followed.
pub(super) async fn parts(ctx: &Context, id: &str) -> Vec<PartRow> {
    let mut tx = ctx.db.read().await.unwrap();
    wear_parts_of_devices(&mut tx, &[id]).await.unwrap()
}

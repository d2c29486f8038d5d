//! A wear model, from a file and recorded lives to the alert about a part that will fail.

use std::{fmt::Write as _, fs, time::Duration};

use slipway_proto::v1::{DataClass, Reading, SendTelemetryRequest};
use slipway_tests::{clock::wait_for, member::Member, world::World};

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(60);

const MODEL: &str = r#"
id = "fan"
selector = 'labels.site = "north"'
component = "fan"
sensors = ["fan.speed", { metric = "fan.current", unit = "A" }]
step = "1h"
horizon = 60
part = "exhaust fan"
failure_mode = "bearing"
lead_time = "20h"
source = "test bench"
"#;

/// What the sensors say in an hour of a life of so many; of one without end they say what a new fan does.
fn row(seed: u32, life: Option<u32>, hour: u32) -> [f64; 2] {
    let wear = life.map_or(0.0, |life| ((f64::from(hour) - f64::from(life)) / 15.0).exp());
    let chance = |of: u32| f64::from((seed * 31 + hour * of * 7) % 11) / 11.0 - 0.5;
    [900.0 - 200.0 * wear + 20.0 * chance(1), 2.0 + 1.5 * wear + 0.1 * chance(2)]
}

fn lives() -> String {
    let mut csv = "unit,fan.current,hour,fan.speed\n".to_owned();
    for unit in 0..20 {
        let life = 70 + unit * 13 % 41;
        for hour in 0..life {
            let [speed, current] = row(unit, Some(life), hour);
            writeln!(csv, "{unit},{current},{hour},{speed}").expect("a string");
        }
    }
    csv
}

async fn report(member: &Member, sequence: u64, from: i64, first: u32, life: Option<u32>) {
    let mut readings = Vec::new();
    for hour in first..first + 6 {
        let [speed, current] = row(1_000, life, hour);
        for (metric, unit, value) in [("fan.speed", "{rpm}", speed), ("fan.current", "A", current)] {
            readings.push(Reading {
                component: "fan".into(),
                metric: metric.into(),
                unit: unit.into(),
                data_class: DataClass::Essential.into(),
                time: Some(prost_types::Timestamp {
                    seconds: from + i64::from(hour - first) * 3600,
                    nanos: 0,
                }),
                value,
                boot_id: String::new(),
            });
        }
    }
    let request = SendTelemetryRequest { sequence, readings, ..Default::default() };
    member.caller.device().send_telemetry(request).await.expect("taken");
}

async fn consumed(world: &World) {
    let ctx = &world.running.context;
    wait_for("every batch to be consumed", SOON, async || {
        let mut tx = ctx.db.read().await.expect("the database");
        let waiting = slipway_server::store::inbox::inbox_waiting(&mut tx, 1).await.expect("the inbox");
        waiting.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_lives_foretell_the_end_of_a_part() {
    let world = World::start().await;
    world.init_trust();
    let (model, csv) = (world.path("fan.toml"), world.path("lives.csv"));
    fs::write(&model, MODEL).expect("a file");
    fs::write(&csv, lives()).expect("a file");
    let apply = ["wear", "apply", "-f", &model, "--lives", &csv];
    let shown = world.slipway(&[&apply[..], &["--dry-run"]].concat());
    assert!(shown.contains("learned from    20 lives, 1779 rows\n"), "{shown}");
    assert!(world.slipway(&["wear", "list"]).contains("no wear models"));
    world.slipway(&apply);
    let shown = world.slipway(&["wear", "show", "fan"]);
    assert_eq!(world.slipway(&apply), shown, "the same again changes nothing");
    for line in
        ["looks ahead     60 steps (2d 12h)\n", "fan.speed    falls      ", "fan.current  rises      "]
    {
        assert!(shown.contains(line), "{shown}");
    }

    let worn = world.member("pump-1", &[("site", "north")]).await;
    let well = world.member("pump-2", &[("site", "north")]).await;
    let elsewhere = world.member("pump-3", &[("site", "south")]).await;
    for batch in 0..16_u32 {
        let from = world.clock.now().seconds();
        world.clock.advance(HOUR * 6);
        for (member, life) in [(&worn, Some(100)), (&well, None), (&elsewhere, Some(100))] {
            report(member, u64::from(batch) + 1, from, batch * 6, life).await;
        }
        consumed(&world).await;
    }
    let list = world.slipway(&["--output", "json", "alert", "list"]);
    let alerts: Vec<serde_json::Value> = serde_json::from_str(&list).expect("JSON");
    let told: Vec<_> = alerts.iter().filter(|alert| alert["wearModel"] == "wearModels/fan").collect();
    assert_eq!(told.len(), 1, "{list}");
    assert_eq!(told[0]["device"], "devices/pump-1");
    let id = told[0]["name"].as_str().expect("a name").to_owned();
    let shown = world.slipway(&["alert", "show", &id]);
    for line in [
        "kind          prognosis\n",
        "wear model    fan\n",
        "failure mode  bearing\n",
        "The exhaust fan of pump-1 wears as 20 others did before they failed, and will fail ",
        "Inspect the exhaust fan of pump-1 ",
        "learned from  20 recorded lives until a failure\n",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(world.slipway(&["wear", "list"]).contains("fan  fan        2 of 2   20"));

    world.slipway(&["wear", "restart", "fan", "pump-1"]);
    let shown = world.slipway(&["alert", "show", &id]);
    assert!(shown.contains("Nothing to do any more: a new part was put in."), "{shown}");
    assert!(world.slipway(&["wear", "show", "fan"]).contains("followed now    1 device\n"));
    world.slipway(&["wear", "delete", "fan"]);
    assert!(world.slipway(&["wear", "list"]).contains("no wear models"));
    world.stop().await;
}

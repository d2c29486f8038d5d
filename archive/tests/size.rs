//! What a reading takes in the archive: printed, and held to a budget.

use slipway_archive::{Columns, Names, Row, Writer};

/// Gauges of `devices` machines that are read each minute, at a second of their own: walks in steps of a tenth, of which
/// every fourth metric stands still, as counters of errors do.
fn rows(devices: u64, metrics: u64, minutes: i64) -> Vec<Row> {
    let mut names = Names::default();
    let mut seed = 7u64;
    let mut dice = move |sides: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % sides
    };
    let mut rows = Vec::new();
    for device in 0..devices {
        let offset = dice(60_000);
        for metric in 0..metrics {
            let mut value = 400 + dice(400) as i64;
            for minute in 0..minutes {
                if metric % 4 != 0 {
                    value += dice(7) as i64 - 3;
                }
                rows.push(Row {
                    device: names.share(&format!("pump-{device:05}")),
                    component: names.share(&format!("part-{}", metric % 5)),
                    metric: names.share(&format!("hw.some.metric.{metric:02}")),
                    unit: names.share(if metric % 2 == 0 { "Cel" } else { "1" }),
                    class: names.share("diagnostic"),
                    time: 1_795_305_600_000 + minute * 60_000 + offset as i64,
                    value: value as f64 / 10.0,
                    boot_id: names.share(""),
                });
            }
        }
    }
    rows.sort_unstable_by(Row::order);
    rows
}

fn bytes_a_reading(rows: Vec<Row>) -> f64 {
    let count = rows.len();
    let mut writer = Writer::new(Vec::new(), Columns::Stored).unwrap();
    for row in rows {
        writer.push(row).unwrap();
    }
    writer.finish().unwrap().0.len() as f64 / count as f64
}

#[test]
fn a_reading_takes_few_bytes() {
    let quarter = bytes_a_reading(rows(200, 20, 15));
    let day = bytes_a_reading(rows(5, 20, 1_440));
    println!("bytes a reading: {quarter:.2} in a file of a quarter of an hour, {day:.2} in one of a day");
    assert!(quarter < 4.0 && day < 3.0, "{quarter} {day}");
}

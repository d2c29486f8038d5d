//! Files as they are written and read.

use std::sync::Arc;

use bytes::Bytes;
use slipway_archive::{Columns, Footer, GROUP, Names, Row, Summary, Wanted, Writer, footer_length};

/// Devices by metrics by times, sorted.
fn rows(devices: usize, metrics: usize, times: i64) -> Vec<Row> {
    let mut names = Names::default();
    let mut rows = Vec::new();
    for device in 0..devices {
        for metric in 0..metrics {
            for time in 0..times {
                rows.push(Row {
                    device: names.share(&format!("pump-{device:03}")),
                    component: names.share("system"),
                    metric: names.share(&format!("m.{metric:02}")),
                    unit: names.share("Cel"),
                    class: names.share("diagnostic"),
                    time: 1_767_225_600_000 + time * 60_000,
                    value: (device as f64) + (metric as f64) / 10.0 + (time as f64).sin(),
                    boot_id: names.share(if metric % 2 == 0 { "" } else { "b00t" }),
                });
            }
        }
    }
    rows
}

fn file(rows: &[Row], columns: Columns) -> (Vec<u8>, Summary) {
    let mut writer = Writer::new(Vec::new(), columns).unwrap();
    for row in rows {
        writer.push(row.clone()).unwrap();
    }
    writer.finish().unwrap()
}

fn read(file: &[u8], wanted: &Wanted) -> Vec<Row> {
    let footer = Footer::read(file, "diagnostic".into()).unwrap();
    let mut names = Names::default();
    let mut rows = Vec::new();
    for group in footer.groups().unwrap() {
        if wanted.may_be_in(&group) {
            let range = group.range.start as usize..group.range.end as usize;
            let bytes = Bytes::copy_from_slice(&file[range]);
            rows.extend(footer.rows(&group, bytes, wanted, &mut names).unwrap());
        }
    }
    rows
}

#[test]
fn what_is_written_is_read() {
    let rows = rows(40, 10, 100);
    assert!(rows.len() > GROUP && rows.is_sorted_by(|a, b| a.order(b).is_lt()));
    let (bytes, summary) = file(&rows, Columns::Stored);
    assert_eq!((summary.rows, summary.first_device.as_str()), (40_000, "pump-000"));
    assert_eq!((summary.last_device.as_str(), summary.first_time), ("pump-039", rows[0].time));
    assert_eq!(summary.last_time, rows[99].time);
    assert_eq!(read(&bytes, &Wanted::default()), rows);
    assert!(footer_length(&bytes).unwrap() < 10_000);
    assert_eq!(read(&file(&rows, Columns::Exported).0, &Wanted::default()), rows);
}

#[test]
fn the_same_rows_are_the_same_bytes() {
    let rows = rows(5, 7, 100);
    assert_eq!(file(&rows, Columns::Stored), file(&rows, Columns::Stored));
}

#[test]
fn one_series_is_found_among_many() {
    let rows = rows(40, 10, 100);
    let (bytes, _) = file(&rows, Columns::Stored);
    let wanted = |device: Option<&str>, component: Option<&str>, metric: Option<&str>| Wanted {
        device: device.map(Arc::from),
        component: component.map(Arc::from),
        metric: metric.map(Arc::from),
    };
    let of = |device: &str, metric: &str| -> Vec<Row> {
        rows.iter().filter(|row| &*row.device == device && &*row.metric == metric).cloned().collect()
    };
    assert_eq!(read(&bytes, &wanted(Some("pump-017"), Some("system"), Some("m.03"))), of("pump-017", "m.03"));
    assert_eq!(read(&bytes, &wanted(Some("pump-039"), None, None)).len(), 1_000);
    assert_eq!(read(&bytes, &wanted(None, None, Some("m.09"))).len(), 40 * 100);
    for (device, component, metric) in
        [(Some("pump-04"), None, None), (None, Some("nvme"), None), (Some("a"), None, Some("m.01"))]
    {
        assert_eq!(read(&bytes, &wanted(device, component, metric)), []);
    }
    let footer = Footer::read(&bytes, "diagnostic".into()).unwrap();
    let groups = footer.groups().unwrap();
    let one = wanted(Some("pump-017"), None, None);
    assert!(groups.iter().filter(|group| one.may_be_in(group)).count() < groups.len());
}

#[test]
fn a_file_without_rows_is_a_file() {
    let (bytes, summary) = file(&[], Columns::Stored);
    assert_eq!(summary, Summary::default());
    assert_eq!(read(&bytes, &Wanted::default()), []);
}

//! Files that a disk or a hand has changed.

use std::{panic, sync::Arc};

use bytes::Bytes;
use slipway_archive::{Columns, Footer, Names, Row, Wanted, Writer};

fn file() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), Columns::Stored).unwrap();
    let text = |text: &str| -> Arc<str> { text.into() };
    for n in 0..200 {
        writer
            .push(Row {
                device: text(&format!("pump-{}", n / 100)),
                component: text("system"),
                metric: text("hw.temperature"),
                unit: text("Cel"),
                class: text("diagnostic"),
                time: 1_767_225_600_000 + n * 60_000,
                value: (n as f64).sin(),
                boot_id: text(""),
            })
            .unwrap();
    }
    writer.finish().unwrap().0
}

/// Whatever a disk makes of a file: an error, or rows; never a panic, never memory without end.
#[test]
fn a_damaged_file_is_refused() {
    let bytes = file();
    // What panics below is caught, and shall not fill the log of the test.
    panic::set_hook(Box::new(|_| {}));
    for length in [0, 4, 8, bytes.len() / 2] {
        assert!(Footer::read(&bytes[..length], "usage".into()).is_err(), "{length}");
    }
    let mut seed = 1u64;
    for _ in 0..3_000 {
        let mut damaged = bytes.clone();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (seed >> 33) as usize % damaged.len();
            damaged[at] ^= (seed >> 20) as u8;
        }
        let Ok(footer) = Footer::read(&damaged, "usage".into()) else { continue };
        let Ok(groups) = footer.groups() else { continue };
        for group in groups {
            let (start, end) = (group.range.start as usize, group.range.end as usize);
            if let Some(part) = damaged.get(start..end) {
                let part = Bytes::copy_from_slice(part);
                let _ = footer.rows(&group, part, &Wanted::default(), &mut Names::default());
            }
        }
    }
}

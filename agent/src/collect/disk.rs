//! How long disks take: time per operation between two looks, and time busy.

use std::collections::BTreeMap;

use slipway_proto::v1::DataClass;

use super::{Sink, Sysroot};

/// The last look at each disk.
#[derive(Debug, Default)]
pub(super) struct Disks(BTreeMap<String, Stat>);

/// Fields of `/sys/block/*/stat`: operations done and milliseconds they took, and milliseconds busy.
#[derive(Debug, Clone, Copy)]
struct Stat {
    reads: u64,
    read_millis: u64,
    writes: u64,
    write_millis: u64,
    busy_millis: u64,
}

impl Disks {
    pub(super) fn read(&mut self, root: &Sysroot, sink: &mut Sink) {
        let mut looks = BTreeMap::new();
        for disk in root.names("sys/block") {
            // Loop, ram and mapper devices stand on others and have no hardware of their own.
            if !root.exists(&format!("sys/block/{disk}/device")) {
                continue;
            }
            let Some(now) = root.text(&format!("sys/block/{disk}/stat")).and_then(|text| parse(&text)) else {
                continue;
            };
            let class = DataClass::Diagnostic;
            sink.counter(&disk, "system.disk.io_time", "s", class, seconds(now.busy_millis));
            if let Some(before) = self.0.get(&disk) {
                let read = latency((before.reads, now.reads), (before.read_millis, now.read_millis));
                let write = latency((before.writes, now.writes), (before.write_millis, now.write_millis));
                for (metric, latency) in
                    [("slipway.disk.read_latency", read), ("slipway.disk.write_latency", write)]
                {
                    if let Some(latency) = latency {
                        sink.gauge(&disk, metric, "s", class, latency);
                    }
                }
            }
            looks.insert(disk, now);
        }
        self.0 = looks;
    }
}

fn parse(text: &str) -> Option<Stat> {
    let fields: Vec<u64> = text.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let field = |index: usize| fields.get(index).copied();
    Some(Stat {
        reads: field(0)?,
        read_millis: field(3)?,
        writes: field(4)?,
        write_millis: field(7)?,
        busy_millis: field(9)?,
    })
}

/// Seconds per operation; nothing without an operation, or when a counter started over.
fn latency(operations: (u64, u64), millis: (u64, u64)) -> Option<f64> {
    let operations = operations.1.checked_sub(operations.0).filter(|count| *count > 0)?;
    let millis = millis.1.checked_sub(millis.0)?;
    Some(seconds(millis) / operations as f64)
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

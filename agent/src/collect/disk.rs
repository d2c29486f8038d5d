//! How long disks take, time per operation between two looks and time busy; and what they failed at.

use std::collections::BTreeMap;

use super::{
    Sink, Sysroot,
    dictionary::{DISK_IO_ERRORS, DISK_IO_TIME, DISK_READ_LATENCY, DISK_WRITE_LATENCY},
};

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
            sink.take(&disk, DISK_IO_TIME, seconds(now.busy_millis));
            let errors = root.text(&format!("sys/block/{disk}/device/ioerr_cnt"));
            let errors = errors.and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
            sink.take_some(&disk, DISK_IO_ERRORS, errors.map(|errors| errors as f64));
            if let Some(before) = self.0.get(&disk) {
                let read = latency((before.reads, now.reads), (before.read_millis, now.read_millis));
                let write = latency((before.writes, now.writes), (before.write_millis, now.write_millis));
                sink.take_some(&disk, DISK_READ_LATENCY, read);
                sink.take_some(&disk, DISK_WRITE_LATENCY, write);
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

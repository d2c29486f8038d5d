//! A reading as a device hands it over, and what a batch of them may hold.

use super::{
    device::DataClass,
    refusal::{Reason, Refusal},
    text::{is_hidden, quoted},
    time::{DAY, Timestamp},
};

/// More in one message is a spool that was not cut; at 60 bytes each this is 60 kB.
pub const MAX_READINGS: usize = 1000;
/// Longest component name, in bytes.
pub const MAX_COMPONENT: usize = 63;
/// Longest metric name, in bytes: OpenTelemetry's longest hardware metric has 47.
pub const MAX_METRIC: usize = 128;
/// Longest UCUM unit, in bytes.
pub const MAX_UNIT: usize = 16;
/// Longest boot id, in bytes.
pub const MAX_BOOT_ID: usize = 64;
/// Series that one device may have; readings of further ones are kept in the inbox and not forecast.
pub const MAX_SERIES: usize = 1000;

/// 2000-01-01T00:00:00Z. What is older was read before the device knew the time.
const EARLIEST: Timestamp = Timestamp::from_seconds(946_684_800);

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Part of the device.
    pub component: String,
    /// Metric name.
    pub metric: String,
    /// UCUM unit.
    pub unit: String,
    /// The consent it needs; none when the class is not known here.
    pub class: Option<DataClass>,
    /// When it was read; none when the device did not say.
    pub at: Option<Timestamp>,
    /// The value.
    pub value: f64,
    /// For counters, the boot in which it started from zero.
    pub boot_id: String,
}

/// Refuses more readings than one batch may hold.
pub fn check_size(readings: usize) -> Result<(), Refusal> {
    if readings <= MAX_READINGS {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::BatchTooLarge,
        format!("{readings} readings are more than the {MAX_READINGS} of one batch"),
        "cut the batch; each part needs a sequence of its own",
    )
    .field("readings"))
}

impl Reading {
    /// Refuses what no reading may be, naming `index` and the field. What a good collector can come to say
    /// all the same, for a moment, is for [`Reading::is_sound`].
    pub fn check(&self, index: usize) -> Result<(), Refusal> {
        let refuse = |field: &str, wrong: String, hint: &str| {
            Err(Refusal::new(Reason::BatchInvalid, format!("reading {index}: {wrong}"), hint)
                .field(format!("readings[{index}].{field}"))
                .fact("index", index))
        };
        if !is_component(&self.component) {
            let wrong = format!("component {} is no name", quoted(&self.component));
            return refuse("component", wrong, "use 1 to 63 of a-z, 0-9, '-', '_', '.' and '/'");
        }
        if !is_metric(&self.metric) {
            let wrong = format!("metric {} is no name", quoted(&self.metric));
            return refuse("metric", wrong, "use 1 to 128 of a-z, 0-9, '_', '.' and '/'");
        }
        if self.unit.len() > MAX_UNIT || !self.unit.bytes().all(|b| b.is_ascii_graphic()) {
            let wrong = format!("unit {} is none", quoted(&self.unit));
            return refuse(
                "unit",
                wrong,
                "use a UCUM unit of at most 16 printable characters, \"1\" for a ratio",
            );
        }
        if self.boot_id.len() > MAX_BOOT_ID || self.boot_id.chars().any(is_hidden) {
            return refuse("boot_id", "the boot id is none".to_owned(), "use at most 64 printable bytes");
        }
        Ok(())
    }

    /// Whether its value and its time can be used. A sensor that fails and a clock that jumps make some
    /// that cannot, among good ones.
    pub fn is_sound(&self, now: Timestamp) -> bool {
        self.value.is_finite() && self.at.is_some_and(|at| at >= EARLIEST && at <= now.after(DAY))
    }
}

/// Whether it may name a component.
pub fn is_component(name: &str) -> bool {
    is_name(name, MAX_COMPONENT) || (name.contains('-') && is_name(&name.replace('-', "_"), MAX_COMPONENT))
}

/// Whether it may name a metric.
pub fn is_metric(name: &str) -> bool {
    is_name(name, MAX_METRIC)
}

fn is_name(name: &str, longest: usize) -> bool {
    (1..=longest).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);
    const MILLISECOND: std::time::Duration = std::time::Duration::from_millis(1);

    fn good() -> Reading {
        Reading {
            component: "nvme-0".to_owned(),
            metric: "hw.temperature".to_owned(),
            unit: "Cel".to_owned(),
            class: Some(DataClass::Diagnostic),
            at: Some(NOW),
            value: 40.0,
            boot_id: String::new(),
        }
    }

    #[test]
    fn names_index_and_field() {
        assert_eq!(good().check(0), Ok(()));
        let cases: [(&str, Reading); 6] = [
            ("component", Reading { component: String::new(), ..good() }),
            ("component", Reading { component: "a b".to_owned(), ..good() }),
            ("metric", Reading { metric: "Temp".to_owned(), ..good() }),
            ("metric", Reading { metric: "m".repeat(129), ..good() }),
            ("unit", Reading { unit: "\u{7}".to_owned(), ..good() }),
            ("unit", Reading { unit: "x".repeat(17), ..good() }),
        ];
        for (field, reading) in cases {
            let refusal = reading.check(7).unwrap_err();
            assert_eq!(refusal.reason, Reason::BatchInvalid);
            assert_eq!(refusal.field.as_deref(), Some(format!("readings[7].{field}").as_str()));
        }
    }

    #[test]
    fn what_a_failing_sensor_and_a_jumping_clock_say() {
        let ahead = NOW.after(DAY);
        for at in [EARLIEST, NOW, ahead] {
            assert!(Reading { at: Some(at), ..good() }.is_sound(NOW));
        }
        for at in [None, Some(EARLIEST.before(MILLISECOND)), Some(ahead.after(MILLISECOND))] {
            assert!(!Reading { at, ..good() }.is_sound(NOW), "{at:?}");
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!Reading { value, ..good() }.is_sound(NOW), "{value}");
        }
    }

    #[test]
    fn a_batch_has_an_end() {
        assert_eq!(check_size(1000), Ok(()));
        assert_eq!(check_size(1001).unwrap_err().reason, Reason::BatchTooLarge);
    }
}

//! Where collectors put what they read.

use slipway_proto::v1::Reading;

use super::dictionary::{Kind, Metric};

/// The component of what belongs to the machine as a whole.
pub const SYSTEM: &str = "system";

/// Takes readings of one moment.
#[derive(Debug)]
pub struct Sink {
    now: i64,
    boot_id: String,
    run_id: String,
    readings: Vec<Reading>,
}

impl Sink {
    /// For readings at `now` in milliseconds, in the boot `boot_id`.
    pub fn new(now: i64, boot_id: &str) -> Self {
        Self { now, boot_id: boot_id.to_owned(), run_id: String::new(), readings: Vec::new() }
    }

    /// In this run of the agent.
    #[must_use]
    pub fn in_run(self, run_id: &str) -> Self {
        Self { run_id: run_id.to_owned(), ..self }
    }

    /// The moment, in milliseconds.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Takes a value; one that is no number is none. Two parts of one name are told apart by a number: the kernel
    /// gives the sensors of equal chips equal labels.
    pub fn take(&mut self, component: &str, metric: Metric, value: f64) {
        if !value.is_finite() {
            return;
        }
        let name = component_name(component);
        let mut unique = name.clone();
        let mut number = 2;
        // A hundred or two: a set of them would be more program than it saves time.
        let is_taken = |name: &str| {
            self.readings.iter().any(|taken| taken.metric == metric.name() && taken.component == name)
        };
        while is_taken(&unique) {
            unique = format!("{}-{number}", &name[..name.floor_char_boundary(LONGEST - 5)]);
            number += 1;
        }
        let boot_id = match metric.kind() {
            Kind::Counter => self.boot_id.clone(),
            Kind::Run => self.run_id.clone(),
            Kind::Gauge | Kind::Total => String::new(),
        };
        self.readings.push(Reading {
            component: unique,
            metric: metric.name().to_owned(),
            unit: metric.unit().to_owned(),
            data_class: metric.class().into(),
            time: Some(wire_time(self.now)),
            value,
            boot_id,
        });
    }

    /// Takes a value if it could be read.
    pub fn take_some(&mut self, component: &str, metric: Metric, value: Option<f64>) {
        if let Some(value) = value {
            self.take(component, metric, value);
        }
    }

    /// What was taken.
    pub fn into_readings(self) -> Vec<Reading> {
        self.readings
    }
}

/// A moment in milliseconds as it travels.
pub fn wire_time(millis: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: millis.div_euclid(1000),
        nanos: i32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000,
    }
}

/// Longest component name that the interface takes.
const LONGEST: usize = 63;

/// Sensors are labelled for people ("Package id 0"): as a component name that is `package-id-0`.
pub fn component_name(label: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    label.trim().chars().take(LONGEST).map(plain).collect::<String>().to_ascii_lowercase()
}

//! What is told when a series is unusual although no limit says anything: which view saw it, and what was usual.

use slipway_insight::{DAY_MS, detector::Anomaly};

use super::{
    alert::{Evidence, Health, Kind, Severity},
    alert_raise::Raised,
    alert_text::{metric_words, quantity},
    time::Timestamp,
};

/// It is over when nothing so unusual was read for a day: what is unusual at an hour comes back within one.
pub const QUIET_MS: i64 = DAY_MS;
/// What takes the place of the recommendation then.
pub const OVER: &str = "Nothing to do any more: for a day nothing was as unusual.";
/// The same when nobody wants to know.
pub const SWITCHED_OFF: &str = "Nothing to do any more: anomalies of this series are switched off.";

/// From this score on it is a warning: twice what is told at all.
const WARNING: f32 = 13.0;

/// The cause of alerts about anomalies of a metric.
pub fn cause(metric: &str) -> String {
    format!("anomaly/{metric}")
}

/// An unusual reading, and what it is about.
#[derive(Clone, Copy, Debug)]
pub struct Oddity<'a> {
    /// The device.
    pub device_id: &'a str,
    /// The component.
    pub component: &'a str,
    /// The metric.
    pub metric: &'a str,
    /// UCUM unit of the readings.
    pub unit: &'a str,
    /// Whether what is unusual is how fast a counter counts, a second.
    pub is_rate: bool,
    /// What was found.
    pub anomaly: &'a Anomaly,
    /// When it was read.
    pub at: Timestamp,
    /// Readings of the series until then.
    pub readings: u32,
}

impl Oddity<'_> {
    /// As an alert tells it.
    pub fn raised<'a>(&'a self, cause: &'a str) -> Raised<'a> {
        let place = format!("{} of {}", self.component, self.device_id);
        Raised {
            device_id: self.device_id,
            selector: "",
            component: self.component,
            cause,
            kind: Kind::Anomaly,
            failure_mode: "",
            severity: if self.anomaly.score >= WARNING { Severity::Warning } else { Severity::Info },
            health: Health::CheckFunction,
            summary: self.summary(&place),
            recommendation: format!("Check the {place}; no limit says that anything is wrong with it."),
            act_by: None,
            forecast: None,
            evidence: Evidence {
                metric: self.metric.to_owned(),
                unit: if self.is_rate { format!("{}/s", self.unit) } else { self.unit.to_owned() },
                value: self.anomaly.value,
                at_ms: self.at.millis(),
                limit: self.anomaly.usual,
                slope_per_day: 0.0,
                readings: self.readings,
            },
        }
    }

    fn summary(&self, place: &str) -> String {
        let what = metric_words(self.metric);
        let per = if self.is_rate { " a second" } else { "" };
        let [value, usual] = apart([self.anomaly.value, self.anomaly.usual], self.unit);
        match self.anomaly.view() {
            0 => {
                format!("The {place}: {what} jumped to {value}{per}; just before it was about {usual}{per}.")
            }
            1 => format!(
                "The {place}: {what} has moved to about {value}{per}; until now it was about {usual}{per}."
            ),
            2 => format!(
                "The {place}: {what} is {value}{per}, which is unusual at this time of day; usual is about {usual}{per}."
            ),
            _ => format!(
                "The {place}: {what} has been about {value}{per} for a while, which is unusual at this time of day; \
                 usual is about {usual}{per}."
            ),
        }
    }
}

/// Two values in words that differ: with more digits where they would read the same.
fn apart(values: [f64; 2], unit: &str) -> [String; 2] {
    let words = values.map(|value| quantity(value, unit));
    if words[0] != words[1] {
        return words;
    }
    let longest = values.map(|value| format!("{value} {unit}"));
    (1..=12)
        .map(|digits| values.map(|value| format!("{value:.digits$} {unit}").trim_end().to_owned()))
        .find(|words| words[0] != words[1])
        .unwrap_or(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(views: [f32; 4], is_rate: bool, values: [f64; 2]) -> String {
        let anomaly = Anomaly { score: 7.0, views, value: values[0], usual: values[1] };
        let oddity = Oddity {
            device_id: "pump-3",
            component: "fan-1",
            metric: "hw.fan.speed",
            unit: "{rpm}",
            is_rate,
            anomaly: &anomaly,
            at: Timestamp::from_millis(0),
            readings: 900,
        };
        oddity.raised("anomaly/hw.fan.speed").summary
    }

    #[test]
    fn says_which_view_was_unusual_and_what_was_usual() {
        for (view, text) in [
            "The fan-1 of pump-3: fan speed jumped to 900 rpm; just before it was about 3000 rpm.",
            "The fan-1 of pump-3: fan speed has moved to about 900 rpm; until now it was about 3000 rpm.",
            "The fan-1 of pump-3: fan speed is 900 rpm, which is unusual at this time of day; usual is about 3000 rpm.",
            "The fan-1 of pump-3: fan speed has been about 900 rpm for a while, which is unusual at this time of day; \
             usual is about 3000 rpm.",
        ]
        .into_iter()
        .enumerate()
        {
            let mut views = [1.0; 4];
            views[view] = 5.0;
            assert_eq!(told(views, false, [900.0, 3000.0]), text);
        }
        assert_eq!(
            told([5.0, 1.0, 1.0, 1.0], true, [40.0, 2.0]),
            "The fan-1 of pump-3: fan speed jumped to 40 rpm a second; just before it was about 2 rpm a second."
        );
    }

    #[test]
    fn two_values_never_read_the_same() {
        assert_eq!(apart([1_000.4, 1_000.1], ""), ["1000.4", "1000.1"]);
        assert_eq!(apart([20.0, 20.000_01], "Cel"), ["20.00000 Cel", "20.00001 Cel"]);
        assert_eq!(apart([61.5, 45.0], "Cel"), ["61.5 °C", "45 °C"]);
    }
}

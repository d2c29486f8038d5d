//! Waves as people write them: `10:max-failures=1,soak=30s`.

use std::str::FromStr;

use slipway_proto::v1;

use crate::{duration, human};

const KEYS: &str =
    "min-success-percent, min-sample, max-failures, max-failure-percent, max-in-flight and soak";

/// One `--wave` of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveSpec(v1::Wave);

impl FromStr for WaveSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (percent, settings) = text.split_once(':').unwrap_or((text, ""));
        let number = percent.trim().trim_end_matches('%');
        let percent = number.parse::<f64>().ok().filter(|p| *p > 0.0 && *p <= 100.0).ok_or_else(|| {
            match percent.split_once([',', ' ', ';']) {
                Some((share, rest)) if rest.contains('=') => {
                    format!("after the share stands a colon: {share}:{}", rest.trim())
                }
                _ => format!(
                    "`{percent}` is not a share; a wave starts with a percentage up to 100, as in 10:soak=5m"
                ),
            }
        })?;
        let mut gate = v1::Gate::default();
        let mut wave = v1::Wave { percent, ..v1::Wave::default() };
        for setting in settings.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let (key, value) = setting
                .split_once('=')
                .ok_or_else(|| format!("`{setting}` has no value; write for example {setting}=1"))?;
            match key {
                "max-failures" if value.ends_with('%') => {
                    return Err(format!(
                        "{key}={value}: {key} is a number of devices; for a share write max-failure-percent={value}"
                    ));
                }
                "max-failures" => gate.max_failures = count(key, value)?,
                "min-sample" => gate.min_sample = count(key, value)?,
                "max-in-flight" => {
                    wave.max_in_flight = count(key, value)?;
                    if wave.max_in_flight == 0 {
                        return Err(
                            "max-in-flight=0 would let nobody in; leave it out for no limit".to_owned()
                        );
                    }
                }
                "min-success-percent" | "min-success" => gate.min_success_percent = share(key, value)?,
                "max-failure-percent" | "max-failure" => gate.max_failure_percent = share(key, value)?,
                "soak" => gate.soak = Some(duration::to_wire(duration::parse(value)?)),
                _ => {
                    return Err(format!(
                        "`{key}` is not a setting of a wave; there are {KEYS} (`slipway rollout create --help` \
                         says what each means)"
                    ));
                }
            }
        }
        wave.gate = Some(gate);
        Ok(Self(wave))
    }
}

fn count(key: &str, value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("{key}={value}: `{value}` is not a whole number"))
}

fn share(key: &str, value: &str) -> Result<u32, String> {
    count(key, value.trim_end_matches('%'))
        .ok()
        .filter(|n| (1..=100).contains(n))
        .ok_or_else(|| format!("{key}={value}: `{value}` is not a percentage from 1 to 100"))
}

/// The waves of a plan: those given, or three that suit most fleets. The last one has to end at 100.
///
/// # Errors
/// Waves that do not grow or do not end at 100.
pub fn plan(given: &[WaveSpec]) -> Result<Vec<v1::Wave>, String> {
    if given.is_empty() {
        return Ok(default_plan());
    }
    let mut reached = 0.0;
    for WaveSpec(wave) in given {
        if wave.percent <= reached {
            return Err(format!(
                "wave {} does not go further than the one before it, {reached}; each wave names the share reached at its end",
                wave.percent
            ));
        }
        reached = wave.percent;
    }
    if reached < 100.0 {
        return Err(format!("the last wave ends at {reached} percent; the last --wave has to be 100"));
    }
    Ok(given.iter().map(|WaveSpec(wave)| *wave).collect())
}

/// 5, 25 and 100 percent. A first wave is small and tolerates nothing: what is broken shows there.
/// The later ones watch a share, because among many devices some fail for reasons of their own.
fn default_plan() -> Vec<v1::Wave> {
    let wave = |percent, max_failures, soak_minutes: i64| v1::Wave {
        percent,
        gate: Some(v1::Gate {
            max_failures,
            soak: Some(prost_types::Duration { seconds: soak_minutes * 60, nanos: 0 }),
            ..v1::Gate::default()
        }),
        ..v1::Wave::default()
    };
    vec![wave(5.0, 0, 30), wave(25.0, 1, 60), wave(100.0, 3, 0)]
}

/// A gate in words, as `wave` reads it.
pub fn gate_words(gate: &v1::Gate) -> String {
    let or = |value: u32, default: u32| if value == 0 { default } else { value };
    let sample = if gate.min_sample == 0 { "all".to_owned() } else { format!("{} or more", gate.min_sample) };
    let mut words = format!(
        "opens the next at ≥{}% ok of {sample}, fails above {}% failed (at once from {} on)",
        or(gate.min_success_percent, 95),
        or(gate.max_failure_percent, 5),
        human::counted(u64::from(gate.max_failures) + 1, "failure"),
    );
    let soak = gate.soak.as_ref().map(duration::from_wire).unwrap_or_default();
    if !soak.is_zero() {
        words.push_str(&format!(", soak {}", duration::show(soak)));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_setting() {
        let WaveSpec(wave) =
            "10:max-failures=1,soak=30s,min-sample=1,max-in-flight=2,min-success=95,max-failure=10%"
                .parse()
                .unwrap();
        let gate = wave.gate.unwrap();
        assert_eq!((wave.percent, wave.max_in_flight), (10.0, 2));
        assert_eq!((gate.max_failures, gate.min_sample), (1, 1));
        assert_eq!((gate.min_success_percent, gate.max_failure_percent), (95, 10));
        assert_eq!(gate.soak.unwrap().seconds, 30);
        assert_eq!("2.5%".parse::<WaveSpec>().unwrap().0.percent, 2.5);
    }

    #[test]
    fn refusals_name_the_setting() {
        let refusal = |text: &str| text.parse::<WaveSpec>().unwrap_err();
        assert_eq!(
            refusal("soak=5m"),
            "`soak=5m` is not a share; a wave starts with a percentage up to 100, as in 10:soak=5m"
        );
        assert_eq!(refusal("10:soak"), "`soak` has no value; write for example soak=1");
        assert_eq!(
            refusal("10:soke=5m"),
            "`soke` is not a setting of a wave; there are min-success-percent, min-sample, max-failures, \
             max-failure-percent, max-in-flight and soak (`slipway rollout create --help` says what each means)"
        );
        assert_eq!(refusal("10, soak=5m"), "after the share stands a colon: 10:soak=5m");
        assert_eq!(
            refusal("10:max-failures=5%"),
            "max-failures=5%: max-failures is a number of devices; for a share write max-failure-percent=5%"
        );
        assert_eq!(refusal("10:max-failures=few"), "max-failures=few: `few` is not a whole number");
        assert_eq!(
            refusal("10:max-in-flight=0"),
            "max-in-flight=0 would let nobody in; leave it out for no limit"
        );
        assert_eq!(refusal("10:min-success=0"), "min-success=0: `0` is not a percentage from 1 to 100");
        assert_eq!(refusal("10:soak=5"), "`5` has no unit after 5; write for example 5s or 5m");
        assert!(refusal("NaN").starts_with("`NaN` is not a share"));
    }

    #[test]
    fn a_plan_grows_to_the_end() {
        let specs = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<WaveSpec>>();
        assert_eq!(plan(&[]).unwrap().last().unwrap().percent, 100.0);
        assert_eq!(plan(&specs(&["10", "100"])).unwrap().len(), 2);
        assert_eq!(
            plan(&specs(&["50", "10", "100"])).unwrap_err(),
            "wave 10 does not go further than the one before it, 50; each wave names the share reached at its end"
        );
        assert_eq!(
            plan(&specs(&["10", "50"])).unwrap_err(),
            "the last wave ends at 50 percent; the last --wave has to be 100"
        );
    }

    #[test]
    fn a_gate_is_legible() {
        let WaveSpec(wave) = "10:max-failures=1,soak=30m".parse().unwrap();
        assert_eq!(
            gate_words(&wave.gate.unwrap()),
            "opens the next at ≥95% ok of all, fails above 5% failed (at once from 2 failures on), soak 30m"
        );
        let WaveSpec(wave) =
            "10:min-sample=5,min-success-percent=90,max-failure-percent=20%".parse().unwrap();
        assert_eq!(
            gate_words(&wave.gate.unwrap()),
            "opens the next at ≥90% ok of 5 or more, fails above 20% failed (at once from 1 failure on)"
        );
    }
}

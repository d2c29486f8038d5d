//! Heat, and what the machine does against it: zones, cooling devices, and processors that are slowed down.

use super::{
    SYSTEM, Sink, Sysroot,
    dictionary::{
        COOLING, CPU_FREQUENCY, CPU_FREQUENCY_LIMIT, CPU_THROTTLES, PACKAGE_THROTTLES, TEMPERATURE,
    },
};

pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    let folder = "sys/class/thermal";
    for zone in root.numbered(folder, "thermal_zone") {
        let name = root.text(&format!("{folder}/{zone}/type")).unwrap_or_else(|| zone.clone());
        let value = root.number(&format!("{folder}/{zone}/temp")).map(|value| value / 1000.0);
        sink.take_some(&name, TEMPERATURE, value);
    }
    // Each processor is a cooling device of its own; of one kind, the one that does most is told.
    let mut most: Vec<(String, f64)> = Vec::new();
    for device in root.numbered(folder, "cooling_device") {
        let number = |file: &str| root.number(&format!("{folder}/{device}/{file}"));
        let Some(kind) = root.text(&format!("{folder}/{device}/type")) else { continue };
        if let (Some(now), Some(limit)) = (number("cur_state"), number("max_state").filter(|max| *max > 0.0))
        {
            // "thermal-cpufreq-0" and "thermal-cpufreq-1" are of one kind.
            let kind = kind.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-').to_owned();
            match most.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, share)) => *share = share.max(now / limit),
                None => most.push((kind, now / limit)),
            }
        }
    }
    for (kind, share) in most {
        sink.take(&kind, COOLING, share);
    }
    processors(root, sink);
}

fn processors(root: &Sysroot, sink: &mut Sink) {
    let folder = "sys/devices/system/cpu";
    let processors = root.numbered(folder, "cpu");
    let most = |file: &str| {
        let counts = processors
            .iter()
            .filter_map(|cpu| root.number(&format!("{folder}/{cpu}/thermal_throttle/{file}")));
        counts.reduce(f64::max)
    };
    sink.take_some(SYSTEM, CPU_THROTTLES, most("core_throttle_count"));
    sink.take_some(SYSTEM, PACKAGE_THROTTLES, most("package_throttle_count"));

    let folder = format!("{folder}/cpufreq");
    let policies = root.numbered(&folder, "policy");
    let number = |policy: &str, file: &str| root.number(&format!("{folder}/{policy}/{file}"));
    let clocks: Vec<f64> = policies.iter().filter_map(|policy| number(policy, "scaling_cur_freq")).collect();
    if !clocks.is_empty() {
        // Kilohertz.
        let mean = clocks.iter().sum::<f64>() / clocks.len() as f64;
        sink.take(SYSTEM, CPU_FREQUENCY, mean * 1000.0);
    }
    let limit = |policy: &String| {
        let hardware = number(policy, "cpuinfo_max_freq").filter(|hardware| *hardware > 0.0)?;
        Some(number(policy, "scaling_max_freq")? / hardware)
    };
    sink.take_some(SYSTEM, CPU_FREQUENCY_LIMIT, policies.iter().filter_map(limit).reduce(f64::min));
}

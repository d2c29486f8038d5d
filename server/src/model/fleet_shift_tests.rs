use super::*;
use crate::model::alert_raise::raise;

const NOW: Timestamp = Timestamp::from_seconds(1_772_323_200);
const METRIC: &str = "slipway.disk.write_latency";

fn measure(metric: &str) -> Measure {
    let text = str::to_owned;
    let (product, hardware) = (text("pump"), text("gw-a"));
    let model = Model { product, hardware, component: text("mmcblk0"), unit: text("s") };
    Measure { metric: text(metric), model }
}

/// A number from -1 to 1, the same each time.
fn noise(n: u32) -> f64 {
    f64::from(n.wrapping_mul(2_654_435_761) % 2_001) / 1_000.0 - 1.0
}

/// 160 devices at 10 ms, and `new` ones with version 2.1.0 that are at `now` and were at `before`.
fn add(groups: &mut Groups<Measure, Compared>, metric: &str, new: u32, now: f64, before: f64) {
    let device = |version: &str, n: u32, now: f64, before: f64| Compared {
        version: Arc::from(version),
        now: now + 0.002 * noise(n),
        change: now - before + 0.001 * noise(n + 7),
        deviation: 0.003,
        is_rate: false,
    };
    for n in 0..160 {
        groups.add(measure(metric), device("2.0.0", n, 0.010, 0.010));
    }
    for n in 0..new {
        groups.add(measure(metric), device("2.1.0", 1_000 + n, now, before));
    }
}

fn found(new: u32, now: f64, before: f64, living: &[Alert], bad: Option<Side>) -> Vec<FleetFinding> {
    let mut groups = Groups::new(100, 100_000, LEAST_DEVICES);
    add(&mut groups, METRIC, new, now, before);
    shifts(&groups, living, |_| bad, NOW)
}

#[test]
fn a_version_that_makes_disks_slow_is_one_finding() {
    let found = found(40, 0.030, 0.010, &[], Some(Side::Above));
    // The other version, which is as slow as ever beside it, is the same difference seen from the other side.
    let [slow] = &found[..] else { panic!("{found:?}") };
    assert_eq!(slow.cause, "level/pump/version/2.1.0/slipway.disk.write_latency");
    assert_eq!(slow.selector, "product = \"pump\" AND version = \"2.1.0\"");
    assert!(
        slow.summary
            .starts_with("With version 2.1.0 write latency of mmcblk0 is higher: half of 40 devices of pump"),
        "{}",
        slow.summary
    );
    assert_eq!(slow.severity, Severity::Warning);
}

#[test]
fn what_no_limit_calls_bad_is_information_and_what_helps_is_nothing() {
    let told = found(40, 0.030, 0.010, &[], None);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].severity, Severity::Info);
    assert_eq!(found(40, 0.030, 0.010, &[], Some(Side::Below)), []);
}

#[test]
fn few_devices_small_differences_and_those_of_old_say_nothing() {
    assert_eq!(found(9, 0.030, 0.010, &[], None), [], "nine devices");
    assert_eq!(found(40, 0.011, 0.010, &[], None), [], "less than one device differs by itself");
    assert_eq!(found(40, 0.030, 0.030, &[], None), [], "they always were like that");
    assert!(!is_comparable("system.uptime") && is_comparable(METRIC));
}

#[test]
fn many_metrics_ask_for_more() {
    // Ten devices are just enough for one metric, and too few among thousands.
    let mut groups = Groups::new(10_000, 1_000_000, LEAST_DEVICES);
    add(&mut groups, METRIC, 10, 0.030, 0.010);
    assert_eq!(shifts(&groups, &[], |_| None, NOW).len(), 1);
    for n in 0..9_000 {
        add_small(&mut groups, &format!("other-{n}"));
    }
    let among = shifts(&groups, &[], |_| None, NOW);
    assert_eq!(among, []);
}

fn add_small(groups: &mut Groups<Measure, Compared>, metric: &str) {
    for n in 0..20_u32 {
        let version = Arc::from(if n < 10 { "2.0.0" } else { "2.1.0" });
        groups.add(
            measure(metric),
            Compared { version, now: 1.0, change: 0.0, deviation: 0.1, is_rate: false },
        );
    }
}

#[test]
fn stays_until_it_is_clearly_gone_and_is_told_once() {
    let told = found(40, 0.030, 0.010, &[], None);
    let alert = raise(None, &told[0].raised(), "a".to_owned(), NOW).unwrap();
    let living = std::slice::from_ref(&alert);
    assert!(is_one(&alert));
    // Weeks later nobody remembers how it was before; it is told for as long as it is so.
    assert_eq!(found(40, 0.030, 0.030, living, None).len(), 1);
    assert_eq!(found(40, 0.010, 0.030, living, None), []);
    let shares = Alert { cause: "fleet/pump/version/2.1.0/slipway.disk.write_latency".to_owned(), ..alert };
    assert_eq!(found(40, 0.030, 0.010, &[shares], None), [], "alerts of the devices tell it");
}

use std::borrow::Cow;

use super::*;
use crate::model::{
    alert::{AlertState, Evidence, Health, Severity},
    time::DAY,
};

const NOW: Timestamp = Timestamp::from_seconds(1_772_323_200);

struct Pump {
    version: &'static str,
}

impl Subject for Pump {
    fn field(&self, path: &str) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match path {
            "id" => "pump-3",
            "product" => "pump",
            "hardware" => "gw-a",
            "version" => self.version,
            "labels.site" => "north",
            _ => return None,
        }))
    }
}

fn alert(id: &str, severity: Severity) -> Alert {
    Alert {
        id: id.to_owned(),
        device_id: "pump-3".to_owned(),
        selector: String::new(),
        component: "emmc".to_owned(),
        cause: format!("limit-{id}"),
        failure_mode: "storage_wear".to_owned(),
        kind: Kind::Prognosis,
        state: AlertState::Open,
        severity,
        health: Health::MaintenanceRequired,
        summary: "It wears.".to_owned(),
        recommendation: "Inspect it.".to_owned(),
        act_by: None,
        forecast: None,
        evidence: Evidence {
            metric: "hw.life_used".to_owned(),
            unit: "1".to_owned(),
            value: 0.8,
            at_ms: 0,
            limit: 0.9,
            slope_per_day: 0.0,
            readings: 9,
        },
        suppressed_by: String::new(),
        told: true,
        update_to: String::new(),
        acknowledged_by: String::new(),
        note: String::new(),
        created_at: NOW,
        updated_at: NOW,
        resolved_at: None,
        generation: 1,
    }
}

fn silence(matcher: &str) -> Silence {
    Silence {
        id: "s".to_owned(),
        matcher: Silence::matcher(matcher).unwrap(),
        reason: "works at the site".to_owned(),
        created_at: NOW,
        created_by: "tests".to_owned(),
        ends_at: NOW.after(DAY),
    }
}

fn fix(version: &str, selector: &str) -> Fix {
    Fix {
        id: "f".to_owned(),
        failure_mode: "storage_wear".to_owned(),
        product: "pump".to_owned(),
        version: version.parse().unwrap(),
        selector: Selector::parse(selector).unwrap(),
        managed_by: String::new(),
        created_at: NOW,
        created_by: "tests".to_owned(),
    }
}

#[test]
fn silences_match_alert_and_device() {
    let pump = Pump { version: "1.0" };
    for (matcher, expected) in [
        ("labels.site = north", true),
        ("labels.site = south", false),
        ("failure_mode = storage_wear AND severity = warning", true),
        ("kind = anomaly", false),
        ("device = pump-3 AND product = pump AND version < 2.0", true),
        ("severity:*", true),
    ] {
        let around = Circumstances { silences: vec![silence(matcher)], ..Circumstances::default() };
        let by = around.suppressor(&alert("a", Severity::Warning), Some(&pump), None, NOW);
        assert_eq!(by == "silences/s", expected, "{matcher}");
        assert_eq!(around.suppressor(&alert("a", Severity::Warning), Some(&pump), None, NOW.after(DAY)), "");
    }
    assert!(Silence::matcher("  ").is_err());
    let mut bad = silence("severity:*");
    bad.reason = " ".to_owned();
    assert_eq!(bad.check(NOW).unwrap_err().field.as_deref(), Some("silence.reason"));
    let bad = Silence { ends_at: NOW, ..silence("severity:*") };
    assert_eq!(bad.check(NOW).unwrap_err().field.as_deref(), Some("silence.end_time"));
    let bad = Silence { ends_at: NOW.after(DAY * 93), ..silence("severity:*") };
    assert!(bad.check(NOW).is_err());
    assert_eq!(silence("severity:*").check(NOW), Ok(()));
}

#[test]
fn an_outage_explains_the_others_and_not_itself() {
    let pump = Pump { version: "1.0" };
    let selector = Selector::parse("labels.site = north").unwrap();
    let outage = Outage { alert_id: "o".to_owned(), selector, silent_since: NOW };
    let around = Circumstances { outages: vec![outage], ..Circumstances::default() };
    let warning = alert("a", Severity::Warning);
    assert_eq!(around.outage_of(&pump, NOW), Some("o"));
    assert_eq!(around.outage_of(&pump, NOW.after(DAY)), None, "it called since");
    assert_eq!(around.suppressor(&warning, Some(&pump), None, NOW), "");
    assert_eq!(around.suppressor(&warning, Some(&pump), Some("o"), NOW), "alerts/o");
    let offline = Alert { kind: Kind::Offline, ..warning };
    assert_eq!(around.suppressor(&offline, Some(&pump), Some("o"), NOW), "");
}

#[test]
fn the_newest_release_that_helps_is_named_while_something_older_runs() {
    let fixes = vec![fix("2.0", ""), fix("3.0", "version >= 2.0"), fix("4.0", "hardware = gw-b")];
    let around = Circumstances { fixes, ..Circumstances::default() };
    let worn = alert("a", Severity::Warning);
    let update_to = |version| around.update_to(&worn, Some(&Pump { version }));
    assert_eq!(update_to("1.0"), "releases/pump/2.0");
    assert_eq!(update_to("2.1"), "releases/pump/3.0");
    assert_eq!(update_to("3.0"), "");
    assert_eq!(update_to(""), "", "nobody knows what it runs");
    let told = around.revise(&worn, Some(&Pump { version: "1.0" }), None, NOW).unwrap();
    assert_eq!(told.generation, 2);
    assert_eq!(told.advice(), "Inspect it. Update to pump 2.0 first: that release fixes it.");
    assert_eq!(around.revise(&told, Some(&Pump { version: "1.0" }), None, NOW), None);
    assert_eq!(around.revise(&told, Some(&Pump { version: "3.0" }), None, NOW).unwrap().update_to, "");
}

#[test]
fn what_opens_under_a_silence_is_told_when_that_ends() {
    let pump = Pump { version: "1.0" };
    let around = Circumstances { silences: vec![silence("severity:*")], ..Circumstances::default() };
    let hidden = around.dress(alert("a", Severity::Info), Some(&pump), None, true, NOW);
    assert_eq!((hidden.suppressed_by.as_str(), hidden.told), ("silences/s", false));
    let told = Circumstances::default().revise(&hidden, Some(&pump), None, NOW).unwrap();
    assert_eq!((told.suppressed_by.as_str(), told.told), ("", true));
    // One that was told before keeps that it was.
    let hushed = around.revise(&told, Some(&pump), None, NOW).unwrap();
    assert_eq!((hushed.suppressed_by.as_str(), hushed.told), ("silences/s", true));
}

#[test]
fn one_failure_mode_of_a_part_is_one_alert() {
    let living = [alert("a", Severity::Warning)];
    let other = |severity| alert("b", severity);
    assert_eq!(beside(&other(Severity::Warning), &living, NOW), Beside::IsTold);
    let Beside::Replaces(ended) = beside(&other(Severity::Critical), &living, NOW) else { panic!() };
    assert_eq!((ended.id.as_str(), ended.state), ("a", AlertState::Resolved));
    let elsewhere = Alert { component: "nvme".to_owned(), ..other(Severity::Info) };
    assert_eq!(beside(&elsewhere, &living, NOW), Beside::Opens);
    let nameless = Alert { failure_mode: String::new(), ..other(Severity::Info) };
    assert_eq!(beside(&nameless, &living, NOW), Beside::Opens);
    let odd = Alert { kind: Kind::Anomaly, ..other(Severity::Info) };
    assert_eq!(beside(&odd, &living, NOW), Beside::Opens);
    assert_eq!(beside(&living[0], &living, NOW), Beside::Opens, "itself");
}

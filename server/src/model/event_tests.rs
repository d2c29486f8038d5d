use super::*;
use crate::model::{
    alert::{Evidence, Health, Kind, Severity},
    rollout_fixtures::rollout,
};

const NOW: Timestamp = Timestamp::from_seconds(1_772_323_200); // 2026-03-01

fn alert() -> Alert {
    Alert {
        id: "0a1b".into(),
        device_id: "pump-3".into(),
        selector: String::new(),
        component: "filter".into(),
        cause: "dirt".into(),
        failure_mode: String::new(),
        kind: Kind::StateDetection,
        state: AlertState::Open,
        severity: Severity::Critical,
        health: Health::OutOfSpecification,
        summary: "Größer als 250 Pa.".into(),
        recommendation: "Replace it now.".into(),
        act_by: Some(NOW),
        forecast: None,
        evidence: Evidence {
            metric: "pressure".into(),
            unit: "Pa".into(),
            value: 251.25,
            at_ms: NOW.millis() - 1,
            limit: 250.0,
            slope_per_day: 0.1 + 0.2,
            readings: 12,
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

/// Tells an alert in each of these states, and what is told of it.
fn told(states: &[(AlertState, &str)]) -> Vec<Option<&'static str>> {
    let mut last = None;
    let tell = |(state, suppressed_by): &(AlertState, &str)| {
        let alert = Alert { state: *state, suppressed_by: (*suppressed_by).to_owned(), ..alert() };
        let event = NewEvent::of_alert(&alert, last.as_ref())?;
        last = Some(event.data);
        Some(event.kind.as_str())
    };
    states.iter().map(tell).collect()
}

#[test]
fn a_life_is_told_once_and_in_words() {
    use AlertState::{Acknowledged, Open, Resolved};
    let states = [Open, Open, Acknowledged, Acknowledged, Resolved, Open].map(|state| (state, ""));
    let words = ["opened", "changed", "acknowledged", "changed", "resolved", "opened"];
    assert_eq!(
        told(&states),
        words.map(|word| EventKind::parse(&format!("alert.{word}")).map(EventKind::as_str))
    );
    // Silenced at first, heard later, silenced again.
    let states = [(Open, "silences/a"), (Open, ""), (Open, "silences/b"), (Resolved, "")];
    assert_eq!(told(&states), [None, Some("alert.opened"), None, Some("alert.resolved")]);
    let old = Alert { created_at: NOW.before(KEPT), ..alert() };
    assert_eq!(NewEvent::of_alert(&old, None).map(|event| event.kind), Some(EventKind::AlertChanged));
}

#[test]
fn what_is_sent() {
    let event = NewEvent::of_alert(&alert(), None).unwrap().at_position(7);
    assert_eq!(
        event.body("https://fleet.example:7443").unwrap(),
        concat!(
            r#"{"specversion":"1.0","id":"ID","source":"https://fleet.example:7443","type":"alert.opened","#,
            r#""subject":"alerts/0a1b","time":"2026-03-01T00:00:00.000Z","datacontenttype":"application/json","#,
            r#""data":{"act_by":"2026-03-01T00:00:00.000Z","component":"filter","#,
            r#""create_time":"2026-03-01T00:00:00.000Z","device":"devices/pump-3","etag":"1","evidence":"#,
            r#"{"limit":250.0,"metric":"pressure","readings":12,"slope_per_day":0.30000000000000004,"#,
            r#""time":"2026-02-28T23:59:59.999Z","unit":"Pa","value":251.25},"health":"out_of_specification","#,
            r#""kind":"state_detection","name":"alerts/0a1b","recommendation":"Replace it now.","#,
            r#""severity":"critical","state":"open","summary":"Größer als 250 Pa.","#,
            r#""update_time":"2026-03-01T00:00:00.000Z"}}"#
        )
        .replace("ID", &event.id)
    );
    assert_eq!(Event { data: "{".into(), ..event }.body(""), None);
}

#[test]
fn a_rollout_is_told_in_every_state() {
    let rollout = rollout(RolloutState::Paused, &[]);
    let mut kinds = Vec::new();
    for state in RolloutState::ALL {
        let event = NewEvent::of_rollout(&rollout, state, "wave 1 failed", NOW);
        assert_eq!((event.subject.as_str(), event.device_id.as_str()), (rollout.name().as_str(), ""));
        assert_eq!(
            (&event.data["state"], &event.data["reason"]),
            (&state.as_str().into(), &"wave 1 failed".into())
        );
        kinds.push(event.kind.as_str().trim_start_matches("rollout.").to_owned());
    }
    assert_eq!(kinds, RolloutState::ALL.map(RolloutState::as_str));
}

#[test]
fn an_id_is_of_one_event_alone() {
    let event = |position| NewEvent::of_alert(&alert(), None).unwrap().at_position(position);
    assert_eq!(event(7).id, event(7).id);
    assert_ne!(event(7).id, event(8).id);
    let other = NewEvent::of_alert(&Alert { generation: 2, ..alert() }, None).unwrap().at_position(7);
    assert_ne!(
        event(7).id,
        other.id,
        "a server restored from a backup tells something else at the same place"
    );
    assert!(event(7).id.starts_with("msg_") && event(7).id.len() == 36);
}

#[test]
fn types_are_chosen_by_name_or_beginning() {
    let types = |text: &str| text.split(' ').filter(|t| !t.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let kind = EventKind::AlertResolved;
    for (wanted, is_one) in [
        ("", true),
        ("alert.resolved", true),
        ("alert.*", true),
        ("alert.opened", false),
        ("device.* alert.r", false),
    ] {
        assert_eq!(kind.is_one_of(&types(wanted)), is_one, "{wanted}");
    }
    for good in ["alert.*", "alert.opened"] {
        assert!(EventKind::is_type(good), "{good}");
    }
    for bad in ["", "*", "alert", "alert*", "alert.", "alert.o*", "alert.closed", "nothing.*", "webhook.test"]
    {
        assert!(!EventKind::is_type(bad), "{bad}");
    }
}

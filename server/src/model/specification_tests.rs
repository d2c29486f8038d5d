use super::*;
use crate::model::{limit::tests::filter_limit, selector::Selector, time::Timestamp};

fn specification() -> Specification {
    let limit = |id: &str| Limit { id: id.to_owned(), managed_by: "pumps".to_owned(), ..filter_limit() };
    let fix = Fix {
        id: "leak".to_owned(),
        failure_mode: "leak".to_owned(),
        product: "pump".to_owned(),
        version: "2.1".parse().unwrap(),
        selector: Selector::default(),
        managed_by: "pumps".to_owned(),
        created_at: Timestamp::from_millis(0),
        created_by: "tests".to_owned(),
    };
    Specification { set: "pumps".to_owned(), limits: vec![limit("air"), limit("oil")], fixes: vec![fix] }
}

fn actions(changes: &[Change]) -> Vec<(&str, Action)> {
    changes.iter().map(|change| (change.name.as_str(), change.action)).collect()
}

#[test]
fn applied_twice_it_changes_nothing() {
    let wanted = specification();
    assert_eq!(wanted.faults(), []);
    let first = wanted.changes(&[], &[], false).unwrap();
    let all_new =
        [("limits/air", Action::Create), ("limits/oil", Action::Create), ("fixes/leak", Action::Create)];
    assert_eq!(actions(&first), all_new);
    let again = wanted.changes(&wanted.limits, &wanted.fixes, true).unwrap();
    assert!(
        again.iter().all(|change| change.action == Action::Keep && change.fields.is_empty()),
        "{again:?}"
    );
}

#[test]
fn says_what_changes_and_what_is_no_longer_there() {
    let before = specification();
    let mut wanted = specification();
    wanted.limits[0].value = 240.0;
    wanted.limits[0].unit = "Pa".to_owned();
    wanted.limits.truncate(1);
    wanted.fixes.clear();
    let changes = wanted.changes(&before.limits, &before.fixes, false).unwrap();
    let expected =
        [("limits/air", Action::Update), ("limits/oil", Action::Leave), ("fixes/leak", Action::Leave)];
    assert_eq!(actions(&changes), expected);
    let field = |field, before: &str, after: &str| FieldChange {
        field,
        before: before.to_owned(),
        after: after.to_owned(),
    };
    assert_eq!(changes[0].fields, [field("above", "250", "240"), field("unit", "", "Pa")]);
    let pruned = wanted.changes(&before.limits, &before.fixes, true).unwrap();
    assert_eq!(actions(&pruned)[1..], [("limits/oil", Action::Delete), ("fixes/leak", Action::Delete)]);
    // What somebody set by hand is none of its business.
    let by_hand = Limit { id: "own".to_owned(), managed_by: String::new(), ..filter_limit() };
    assert_eq!(wanted.changes(&[by_hand], &[], true).unwrap().len(), 1);
}

#[test]
fn a_difference_speaks_the_words_of_the_file() {
    use std::time::Duration;
    let mut wanted = specification();
    wanted.limits[0].side = slipway_insight::Side::Below;
    wanted.limits[0].value = 0.0;
    wanted.limits[0].lead_time = Duration::from_secs(14 * 86_400);
    wanted.limits[0].horizon = Duration::from_secs(365 * 86_400 + 5_400);
    let new = wanted.changes(&[], &[], false).unwrap();
    let said = |change: &Change, field: &str| {
        let found = change.fields.iter().find(|known| known.field == field);
        found.map(|known| known.after.clone())
    };
    assert_eq!(said(&new[0], "below").as_deref(), Some("0"));
    assert_eq!(said(&new[0], "lead_time").as_deref(), Some("14d"));
    assert_eq!(said(&new[0], "horizon").as_deref(), Some("365d1h30m"));
    assert_eq!(said(&new[2], "release").as_deref(), Some("pump/2.1"));
    for absent in ["above", "value", "consumable", "learn", "factor"] {
        assert_eq!(said(&new[0], absent), None, "{absent}");
    }
    let before = specification();
    let learned = crate::model::learned::Learned::by(4.0);
    wanted.limits[0] = Limit { learned: Some(learned), value: 0.0, ..before.limits[0].clone() };
    let changed = wanted.changes(&before.limits, &[], false).unwrap();
    let field = |field, before: &str, after: &str| FieldChange {
        field,
        before: before.to_owned(),
        after: after.to_owned(),
    };
    let expected = [field("above", "250", ""), field("learn", "", "above"), field("factor", "", "4")];
    assert_eq!(changed[0].fields, expected);
}

#[test]
fn leaves_what_belongs_to_another_file_alone() {
    let wanted = specification();
    let theirs = Limit { id: "oil".to_owned(), managed_by: "oils".to_owned(), ..filter_limit() };
    let refusal = wanted.changes(&[theirs], &[], false).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("limits[1].name"));
    // One set by hand is taken over, and says so.
    let by_hand = Limit { id: "oil".to_owned(), managed_by: String::new(), ..filter_limit() };
    let taken = wanted.changes(&[by_hand], &[], false).unwrap();
    assert_eq!(taken[1].fields.iter().map(|field| field.field).collect::<Vec<_>>(), ["specification"]);
}

#[test]
fn tells_every_fault_with_its_place() {
    let mut wanted = specification();
    wanted.set = "My pumps".to_owned();
    wanted.limits[1].id = "air".to_owned();
    wanted.limits[1].metric = String::new();
    wanted.fixes[0].failure_mode = "a leak".to_owned();
    let faults = wanted.faults();
    let fields: Vec<&str> = faults.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["set", "limits[1].metric", "limits[1].name", "fixes[0].failure_mode"]);
}

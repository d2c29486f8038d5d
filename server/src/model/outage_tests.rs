use super::*;

const START: Timestamp = Timestamp::from_seconds(1_767_225_600);
const MINUTE: Duration = Duration::from_secs(60);

fn rule() -> Rule {
    Rule { after: MINUTE * 15, within: MINUTE * 5, percent: 50 }
}

fn at(minutes: u32) -> Timestamp {
    START.after(MINUTE * minutes)
}

fn site(name: &str) -> Group {
    Group::Label { key: "site".to_owned(), value: name.to_owned() }
}

/// Devices of a site, all heard at the same minute.
fn members<'a>(ids: &'a [String], site_name: &str, heard: u32) -> Vec<Member<'a>> {
    let member = |id: &'a String| Member {
        id,
        heard_at: at(heard),
        called_at: at(heard),
        groups: vec![site(site_name)],
    };
    ids.iter().map(member).collect()
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

#[test]
fn one_device_is_told_once_and_when_it_is_back() {
    let (north, lone) = (ids("n", 9), ids("x", 1));
    let mut all = members(&north, "north", 20);
    all.extend(members(&lone, "north", 0));
    let silent = judge(&rule(), &all, &BTreeMap::new(), &[], at(16));
    assert_eq!(silent, Told { offline: lone.clone(), ..Told::default() });
    let reported = BTreeMap::from([("x0".to_owned(), at(0))]);
    assert_eq!(judge(&rule(), &all, &reported, &[], at(30)), Told::default());
    all[9].called_at = at(31);
    all[9].heard_at = at(31);
    let back = judge(&rule(), &all, &reported, &[], at(32));
    assert_eq!(back, Told { back: lone, ..Told::default() });
}

#[test]
fn a_site_is_one_outage_and_the_fleet_is_one() {
    let (north, south) = (ids("n", 9), ids("s", 9));
    let mut all = members(&north, "north", 0);
    // The last of them called four minutes later: still the same outage.
    all[8].heard_at = at(4);
    all.extend(members(&south, "south", 16));
    let told = judge(&rule(), &all, &BTreeMap::new(), &[], at(16));
    let outage = Ongoing { group: site("north"), since: at(0) };
    assert_eq!(told, Told { begins: vec![outage.clone()], ..Told::default() });
    // It goes on: nothing more to tell, also when the last one passes its own deadline.
    let living = std::slice::from_ref(&outage);
    all[9..].iter_mut().for_each(|member| (member.heard_at, member.called_at) = (at(25), at(25)));
    assert_eq!(judge(&rule(), &all, &BTreeMap::new(), living, at(25)), Told::default());
    // All but one are back: it is over, and the one is told for itself.
    all.iter_mut().skip(1).for_each(|member| (member.heard_at, member.called_at) = (at(30), at(30)));
    let over = judge(&rule(), &all, &BTreeMap::new(), living, at(30));
    let expected = Told { ends: vec![site("north")], offline: vec!["n0".to_owned()], ..Told::default() };
    assert_eq!(over, expected);

    let mut all = members(&north, "north", 0);
    all.extend(members(&south, "south", 1));
    let told = judge(&rule(), &all, &BTreeMap::new(), &[], at(16));
    let fleet = Ongoing { group: Group::Fleet, since: at(0) };
    assert_eq!(told, Told { begins: vec![fleet], ..Told::default() });
}

#[test]
fn few_devices_and_old_silences_are_no_outage() {
    let few = ids("n", 4);
    let told = judge(&rule(), &members(&few, "north", 0), &BTreeMap::new(), &[], at(16));
    assert_eq!(told, Told { offline: few, ..Told::default() });
    // Nine that went one by one over hours, as machines are decommissioned.
    let many = ids("n", 9);
    let mut all = members(&many, "north", 0);
    for (minute, member) in (0..).step_by(30).zip(&mut all) {
        member.heard_at = at(minute);
        member.called_at = at(minute);
    }
    let told = judge(&rule(), &all, &BTreeMap::new(), &[], at(300));
    assert_eq!(told.begins, []);
    assert_eq!(told.offline.len(), 9);
}

#[test]
fn a_server_that_was_down_accuses_nobody() {
    let north = ids("n", 9);
    let mut all = members(&north, "north", 600);
    all.iter_mut().for_each(|member| member.called_at = at(0));
    assert_eq!(judge(&rule(), &all, &BTreeMap::new(), &[], at(610)), Told::default());
    // What was said before stays said: a restart is no sign of life.
    let reported = BTreeMap::from([("n0".to_owned(), at(0))]);
    let outage = Ongoing { group: site("north"), since: at(0) };
    assert_eq!(judge(&rule(), &all, &reported, &[outage], at(610)), Told::default());
}

#[test]
fn selectors_of_groups_can_be_read() {
    use crate::model::selector::Selector;
    let odd = Group::Label { key: "my \"site\"".to_owned(), value: "a\\b\"c".to_owned() };
    for group in [Group::Fleet, site("north"), odd] {
        Selector::parse(&group.selector()).unwrap_or_else(|e| panic!("{}: {e}", group.selector()));
    }
}

#[test]
fn settings_become_times() {
    let rule = Settings::default().rule(MINUTE);
    assert_eq!(rule.after, Duration::from_secs(15 * 75 + 60));
    assert_eq!(rule.within, MINUTE * 5);
    assert_eq!(Settings::default().fault(), None);
    for bad in [
        Settings { after: 1, ..Settings::default() },
        Settings { group_percent: 5, ..Settings::default() },
        Settings { group_within: 0, ..Settings::default() },
    ] {
        assert!(bad.fault().is_some(), "{bad:?}");
    }
}

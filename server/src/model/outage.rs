//! Who has fallen silent, and whether that is one device or many at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// A group with fewer devices is not told as a group: two of three are two alerts.
const MIN_GROUP: usize = 5;
/// Beside whole intervals: what a device may be late.
const LATE: Duration = Duration::from_secs(60);
/// Check-ins are spread by a quarter around the interval.
const SPREAD: f64 = 1.25;

/// When a device counts as offline, and when many are told as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// After so many check-in intervals without a call; 0 turns these alerts off.
    pub after: u32,
    /// Labels whose devices fail together, the widest first: a site, a gateway.
    pub group_by: Vec<String>,
    /// More than so many of a hundred of a group are told as one alert.
    pub group_percent: u32,
    /// When they fell silent within so many seconds.
    pub group_within: u64,
}

impl Default for Settings {
    fn default() -> Self {
        // Fifteen missed calls of the usual minute are no reboot and no change of cell any more.
        Settings {
            after: 15,
            group_by: vec!["site".to_owned(), "gateway".to_owned()],
            group_percent: 50,
            group_within: 300,
        }
    }
}

impl Settings {
    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<String> {
        if !(self.after == 0 || (2..=1000).contains(&self.after)) {
            return Some(format!("after = {} is not 0, or 2 to 1000 intervals", self.after));
        }
        if !(10..=100).contains(&self.group_percent) {
            return Some(format!("group_percent = {} is not between 10 and 100", self.group_percent));
        }
        if !(1..=86_400).contains(&self.group_within) {
            return Some(format!("group_within = {} is not between 1 second and a day", self.group_within));
        }
        (self.group_by.len() > 8).then(|| "group_by names more than 8 labels".to_owned())
    }

    /// The rule for devices that check in this often.
    pub fn rule(&self, interval: Duration) -> Rule {
        let after = interval.mul_f64(SPREAD) * self.after + LATE;
        // Whoever fell silent last of a group has missed half of the calls when the first one counts.
        let within = Duration::from_secs(self.group_within).min(after / 2);
        Rule { after, within, percent: self.group_percent }
    }
}

/// [`Settings`] as times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A device that has not called for so long is offline.
    pub after: Duration,
    /// Devices that fell silent so close to each other fell silent at once.
    pub within: Duration,
    /// More than so many of a hundred make it one outage.
    pub percent: u32,
}

impl Rule {
    /// Whoever called later than this is not part of an outage in which the first was heard last at `first`.
    pub fn silent_since(&self, first: Timestamp) -> Timestamp {
        first.after(self.within * 2)
    }

    /// Heard at all, when those that count as offline by now were.
    fn is_lately(&self, member: &Member, now: Timestamp) -> bool {
        now.since(member.heard_at) <= self.after + self.within
    }

    /// Not heard since those fell silent that count as offline by now.
    fn is_falling_silent(&self, member: &Member, now: Timestamp) -> bool {
        self.is_lately(member, now) && now.since(member.heard_at) > self.after.saturating_sub(self.within)
    }
}

/// Devices that fail together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Every device.
    Fleet,
    /// Those with the same value of a label.
    Label {
        /// The label.
        key: String,
        /// Its value.
        value: String,
    },
}

impl Group {
    /// Which devices, as a selector.
    pub fn selector(&self) -> String {
        match self {
            Group::Fleet => "id:*".to_owned(),
            Group::Label { key, value } => {
                format!("labels.\"{}\" = \"{}\"", escaped(key), escaped(value))
            }
        }
    }

    /// The cause of its alert.
    pub fn cause(&self) -> String {
        match self {
            Group::Fleet => "offline/fleet".to_owned(),
            Group::Label { key, value } => format!("offline/{key}={value}"),
        }
    }

    /// What people call it.
    pub fn words(&self) -> String {
        match self {
            Group::Fleet => "the whole fleet".to_owned(),
            Group::Label { key, value } => format!("{key} {value}"),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// A device that is expected to call.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Its id.
    pub id: &'a str,
    /// When it called last, or when the server began to listen, whichever is later: a server that was
    /// down heard nobody.
    pub heard_at: Timestamp,
    /// When it called last; the epoch for one that never did.
    pub called_at: Timestamp,
    /// What it fails together with, beside the fleet; the widest first.
    pub groups: Vec<Group>,
}

/// An outage that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ongoing {
    /// Of whom.
    pub group: Group,
    /// When the first of them was heard last.
    pub since: Timestamp,
}

/// What is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Outages that begin.
    pub begins: Vec<Ongoing>,
    /// Outages that are over.
    pub ends: Vec<Group>,
    /// Devices that are offline, each for itself.
    pub offline: Vec<String>,
    /// Devices that are back.
    pub back: Vec<String>,
}

/// What is to be told, from when devices were heard last. `reported` are the devices whose alert lives,
/// each with the call that was its last when it opened.
pub fn judge(
    rule: &Rule,
    members: &[Member],
    reported: &BTreeMap<String, Timestamp>,
    ongoing: &[Ongoing],
    now: Timestamp,
) -> Told {
    let mut told = Told::default();
    let mut lasting: Vec<Ongoing> = Vec::new();
    for outage in ongoing {
        match is_over(rule, outage, members) {
            true => told.ends.push(outage.group.clone()),
            false => lasting.push(outage.clone()),
        }
    }
    for member in members {
        if reported.get(member.id).is_some_and(|last| member.called_at > *last) {
            told.back.push(member.id.to_owned());
        }
    }
    let is_silent = |member: &&Member| now.since(member.heard_at) > rule.after;
    let is_news = |member: &&Member| is_silent(member) && !reported.contains_key(member.id);
    let news: Vec<&Member> = members.iter().filter(is_news).collect();
    let of_outage =
        |outage: &Ongoing, member: &Member| belongs(member, &outage.group) && member.heard_at >= outage.since;
    // Fleet before sites before gateways: the widest outage explains the others.
    for group in candidates(rule, &news, members, now) {
        let is_explained = |member: &&Member| lasting.iter().any(|outage| of_outage(outage, member));
        if news.iter().filter(|member| belongs(member, &group)).all(is_explained) {
            continue;
        }
        if let Some(since) = begins(rule, &group, members, now) {
            let outage = Ongoing { group, since };
            told.begins.push(outage.clone());
            lasting.push(outage);
        }
    }
    let alone = news.iter().filter(|member| !lasting.iter().any(|outage| of_outage(outage, member)));
    told.offline = alone.map(|member| member.id.to_owned()).collect();
    told
}

fn belongs(member: &Member, group: &Group) -> bool {
    *group == Group::Fleet || member.groups.contains(group)
}

/// The groups of those who fell silent, widest first. The fleet is one only when devices of several
/// groups are falling silent: what is silent at one site is that site.
fn candidates(rule: &Rule, news: &[&Member], members: &[Member], now: Timestamp) -> Vec<Group> {
    let falling = members.iter().filter(|member| rule.is_falling_silent(member, now));
    let widest: BTreeSet<Option<&Group>> = falling.map(|member| member.groups.first()).collect();
    let is_one_group = widest.len() == 1 && widest.iter().all(|group| group.is_some());
    let depth = news.iter().map(|member| member.groups.len()).max().unwrap_or(0);
    let mut groups = Vec::new();
    if !news.is_empty() && !is_one_group {
        groups.push(Group::Fleet);
    }
    for level in 0..depth {
        let of_level: BTreeSet<&Group> = news.iter().filter_map(|member| member.groups.get(level)).collect();
        groups.extend(of_level.into_iter().cloned());
    }
    groups
}

/// Since when the group is silent, if so many of those heard lately are.
fn begins(rule: &Rule, group: &Group, members: &[Member], now: Timestamp) -> Option<Timestamp> {
    let is_lately = |member: &&Member| belongs(member, group) && rule.is_lately(member, now);
    let lately: Vec<&Member> = members.iter().filter(is_lately).collect();
    let silent: Vec<&&Member> = lately.iter().filter(|member| rule.is_falling_silent(member, now)).collect();
    let is_many = silent.len() >= MIN_GROUP && is_more(silent.len(), lately.len(), rule.percent);
    silent.iter().map(|member| member.heard_at).min().filter(|_| is_many)
}

/// Over when at most half of the share that began it is still silent.
fn is_over(rule: &Rule, outage: &Ongoing, members: &[Member]) -> bool {
    let until = rule.silent_since(outage.since);
    let affected: Vec<&Member> = members
        .iter()
        .filter(|member| belongs(member, &outage.group) && member.heard_at >= outage.since)
        .collect();
    let silent = affected.iter().filter(|member| member.called_at <= until).count();
    !is_more(silent, affected.len(), rule.percent / 2)
}

fn is_more(part: usize, whole: usize, percent: u32) -> bool {
    let (part, whole) = (u64::try_from(part).unwrap_or(u64::MAX), u64::try_from(whole).unwrap_or(u64::MAX));
    part.saturating_mul(100) > whole.saturating_mul(u64::from(percent))
}

#[cfg(test)]
#[path = "outage_tests.rs"]
mod tests;

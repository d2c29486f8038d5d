//! A specification of limits and fixes, as one file holds it, and what applying it changes.

use super::{
    fix::Fix,
    limit::{Limit, is_word},
    refusal::{Reason, Refusal},
    text::quoted,
};

/// Most limits and fixes of one specification.
pub const MAX_ENTRIES: usize = 1000;

/// What one file says.
#[derive(Clone, Debug, Default)]
pub struct Specification {
    /// Its name: what it applied before is known by it.
    pub set: String,
    /// The limits, in the order of the file.
    pub limits: Vec<Limit>,
    /// The fixes, in the order of the file.
    pub fixes: Vec<Fix>,
}

/// What becomes of one limit or fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `limits/ID` or `fixes/ID`.
    pub name: String,
    /// What happens to it.
    pub action: Action,
    /// Its fields as they were and as they are to be, where they differ.
    pub fields: Vec<FieldChange>,
}

/// What happens to a limit or a fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Create,
    /// It changes.
    Update,
    /// It is as the file says already.
    Keep,
    /// The file no longer has it, and it goes.
    Delete,
    /// The file no longer has it, and it stays, because nobody asked to prune.
    Leave,
}

/// One field as it was and as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The field.
    pub field: &'static str,
    /// As it was; empty for what is new.
    pub before: String,
    /// As it is to be; empty for what goes.
    pub after: String,
}

impl Specification {
    /// Everything that is wrong with it, each with the field at fault.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if !is_set_name(&self.set) {
            let wrong = format!(
                "{} is no name for a specification: use 1 to 63 of a-z, 0-9 and '-'",
                quoted(&self.set)
            );
            faults.push(("set".to_owned(), wrong));
        }
        if self.limits.len() + self.fixes.len() > MAX_ENTRIES {
            faults
                .push(("limits".to_owned(), format!("more than {MAX_ENTRIES} limits and fixes in one file")));
        }
        for (at, limit) in self.limits.iter().enumerate() {
            for refusal in limit.faults() {
                let field = refusal.field.unwrap_or_default();
                let field = field.strip_prefix("limit.").unwrap_or(&field).to_owned();
                faults.push((format!("limits[{at}].{field}"), refusal.message));
            }
            if self.limits.iter().take(at).any(|other| other.id == limit.id) {
                faults.push((
                    format!("limits[{at}].name"),
                    format!("there is a limit {} above", quoted(&limit.id)),
                ));
            }
        }
        for (at, fix) in self.fixes.iter().enumerate() {
            if !is_set_name(&fix.id) {
                let wrong =
                    format!("{} is no name for a fix: use 1 to 63 of a-z, 0-9 and '-'", quoted(&fix.id));
                faults.push((format!("fixes[{at}].name"), wrong));
            }
            if !is_word(&fix.failure_mode) {
                let wrong = format!(
                    "failure mode {} is no word: use 1 to 63 of a-z, 0-9 and '_'",
                    quoted(&fix.failure_mode)
                );
                faults.push((format!("fixes[{at}].failure_mode"), wrong));
            }
            if self.fixes.iter().take(at).any(|other| other.id == fix.id) {
                faults
                    .push((format!("fixes[{at}].name"), format!("there is a fix {} above", quoted(&fix.id))));
            }
        }
        faults
    }

    /// What applying it changes, limits first, in the order of the file; then what is no longer in it.
    ///
    /// Refused when it would take over what another file set.
    pub fn changes(&self, limits: &[Limit], fixes: &[Fix], prune: bool) -> Result<Vec<Change>, Refusal> {
        let mut changes = Vec::new();
        for (at, limit) in self.limits.iter().enumerate() {
            let before = limits.iter().find(|known| known.id == limit.id);
            let name = format!("limits/{}", limit.id);
            self.check_owner(
                &name,
                before.map(|known| known.managed_by.as_str()),
                &format!("limits[{at}].name"),
            )?;
            changes.push(change(name, before.map(limit_fields), Some(limit_fields(limit)), prune));
        }
        for (at, fix) in self.fixes.iter().enumerate() {
            let before = fixes.iter().find(|known| known.id == fix.id);
            let name = format!("fixes/{}", fix.id);
            self.check_owner(
                &name,
                before.map(|known| known.managed_by.as_str()),
                &format!("fixes[{at}].name"),
            )?;
            changes.push(change(name, before.map(fix_fields), Some(fix_fields(fix)), prune));
        }
        for limit in limits.iter().filter(|known| known.managed_by == self.set) {
            if !self.limits.iter().any(|wanted| wanted.id == limit.id) {
                changes.push(change(format!("limits/{}", limit.id), Some(limit_fields(limit)), None, prune));
            }
        }
        for fix in fixes.iter().filter(|known| known.managed_by == self.set) {
            if !self.fixes.iter().any(|wanted| wanted.id == fix.id) {
                changes.push(change(format!("fixes/{}", fix.id), Some(fix_fields(fix)), None, prune));
            }
        }
        Ok(changes)
    }

    fn check_owner(&self, name: &str, owner: Option<&str>, field: &str) -> Result<(), Refusal> {
        match owner {
            // One that was set by hand is taken over, and the difference is shown.
            None | Some("") => Ok(()),
            Some(owner) if owner == self.set => Ok(()),
            Some(owner) => Err(Refusal::new(
                Reason::LimitInvalid,
                format!("{name} belongs to the specification {}", quoted(owner)),
                "give it another name here, or take it out of the other file and apply that with --prune first",
            )
            .field(field)),
        }
    }
}

type Fields = Vec<(&'static str, String)>;

fn change(name: String, before: Option<Fields>, after: Option<Fields>, prune: bool) -> Change {
    let action = match (&before, &after) {
        (None, _) => Action::Create,
        (Some(_), None) if prune => Action::Delete,
        (Some(_), None) => Action::Leave,
        (Some(before), Some(after)) if before == after => Action::Keep,
        (Some(_), Some(_)) => Action::Update,
    };
    let names = before.iter().chain(&after).flatten().map(|(field, _)| *field);
    let mut fields: Vec<FieldChange> = Vec::new();
    if !matches!(action, Action::Leave) {
        for field in names {
            let of = |fields: &Option<Fields>| {
                let found = fields.iter().flatten().find(|(name, _)| *name == field);
                found.map(|(_, value)| value.clone()).unwrap_or_default()
            };
            let (before, after) = (of(&before), of(&after));
            if before != after && !fields.iter().any(|known| known.field == field) {
                fields.push(FieldChange { field, before, after });
            }
        }
    }
    Change { name, action, fields }
}

/// What is compared and shown, in the words of the file: everything but who made it and when.
fn limit_fields(limit: &Limit) -> Fields {
    let is_below = limit.side == slipway_insight::Side::Below;
    let side = if is_below { "below" } else { "above" };
    let bound_of = |name: &str| match limit.learned {
        None if name == side => limit.value.to_string(),
        _ => String::new(),
    };
    let learned = limit.learned.as_ref();
    vec![
        ("selector", limit.selector.as_str().to_owned()),
        ("component", limit.component.clone()),
        ("metric", limit.metric.clone()),
        ("above", bound_of("above")),
        ("below", bound_of("below")),
        ("learn", learned.map(|_| side.to_owned()).unwrap_or_default()),
        ("factor", learned.map(|learned| learned.factor.to_string()).unwrap_or_default()),
        ("unit", limit.unit.clone()),
        ("consumable", if limit.consumable { "true".to_owned() } else { String::new() }),
        ("lead_time", span(limit.lead_time)),
        ("horizon", span(limit.horizon)),
        ("part", limit.part.clone()),
        ("failure_mode", limit.failure_mode.clone()),
        ("severity", limit.severity.as_str().to_owned()),
        ("source", limit.source.clone()),
        ("specification", limit.managed_by.clone()),
    ]
}

/// A time as a file has it: `14d`, `1d12h`; nothing where there is none.
fn span(span: std::time::Duration) -> String {
    let mut left = span.as_secs();
    let mut text = String::new();
    for (unit, seconds) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        if left >= seconds {
            text.push_str(&format!("{}{unit}", left / seconds));
            left %= seconds;
        }
    }
    text
}

fn fix_fields(fix: &Fix) -> Fields {
    vec![
        ("failure_mode", fix.failure_mode.clone()),
        ("release", format!("{}/{}", fix.product, fix.version)),
        ("selector", fix.selector.as_str().to_owned()),
        ("specification", fix.managed_by.clone()),
    ]
}

fn is_set_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
#[path = "specification_tests.rs"]
mod tests;

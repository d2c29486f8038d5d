//! Selectors: which devices something is for.

use std::collections::BTreeSet;

use super::{
    alert::{Kind, Severity},
    filter::{Field, Filter, Subject, equals},
    refusal::{Reason, Refusal},
    text::quoted,
};

/// What a limit may select by. `version` is what the device runs now.
pub const FIELDS: &[Field] = &[
    Field::text("id"),
    Field::text("product"),
    Field::text("hardware"),
    Field::version("version"),
    Field::text("labels."),
];
const KIND: &str = "alerts.kind";
const SEVERITY: &str = "alerts.severity";
/// Where a failure mode is asked for; `alerts.kind` takes them, too.
const FAILURE_MODE: &str = "alerts.failure_mode";
/// Those of the files in `deploy/limits`, which may be applied tomorrow.
const SHIPPED: [&str; 9] = [
    "battery_wear",
    "clock_battery_empty",
    "data_loss",
    "disk_failing",
    "memory_failing",
    "monitor_alarm",
    "overheating",
    "storage_full",
    "storage_wear",
];
/// What a rollout may select by: also what is wrong with a device, by its living alerts.
pub const ROLLOUT_FIELDS: &[Field] = &rollout_fields(Field::set_of(SEVERITY, Severity::words));
/// What a stored rollout may select by: some were made when any word was taken as a severity.
const STORED_FIELDS: &[Field] = &rollout_fields(Field::set(SEVERITY));
/// What a scope may select by: only what the device cannot say of itself.
pub const SCOPE_FIELDS: &[Field] = &[Field::text("id"), Field::text("product"), Field::text("labels.")];

const fn rollout_fields(severity: Field) -> [Field; 9] {
    [
        Field::text("id"),
        Field::text("product"),
        Field::text("hardware"),
        Field::version("version"),
        Field::text("labels."),
        Field::set(KIND),
        Field::set(FAILURE_MODE),
        severity,
        Field::set("alerts.component"),
    ]
}

/// Failure modes that a hint names.
const MODES_SHOWN: usize = 30;

/// Which devices something is for; the empty selector means all.
#[derive(Clone, Debug, Default)]
pub struct Selector(Filter);

impl Selector {
    /// Reads a selector; refused with `SELECTOR_INVALID` and a caret.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        Filter::parse(text, FIELDS, Reason::SelectorInvalid).map(Selector)
    }

    /// Reads a selector of a rollout, which may also ask for living alerts.
    pub fn parse_rollout(text: &str) -> Result<Self, Refusal> {
        Filter::parse(text, ROLLOUT_FIELDS, Reason::SelectorInvalid).map(Selector)
    }

    /// Reads the selector of a rollout that was made before, perhaps by an older version.
    pub fn parse_stored_rollout(text: &str) -> Result<Self, Refusal> {
        Filter::parse(text, STORED_FIELDS, Reason::SelectorInvalid).map(Selector)
    }

    /// Refuses a failure mode that is none of `known`, nor one that ships: `NOT alerts.failure_mode:laek` would protect
    /// nothing.
    pub fn check_failure_modes<'a>(
        &self,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), Refusal> {
        let known = known.chain(SHIPPED);
        let is_known = |word: &str| word == "*" || known.clone().any(|mode| equals(mode, word));
        let Some(word) = self.failure_modes().into_iter().find(|word| !is_known(word)) else { return Ok(()) };
        let modes: BTreeSet<&str> = known.clone().take(MODES_SHOWN).collect();
        let modes: Vec<&str> = modes.into_iter().collect();
        let message = format!("no limit, no fix and no living alert has the failure mode {}", quoted(word));
        let kinds = Kind::words().join(", ");
        let hint = format!("failure modes are {}; kinds of alerts are {kinds}", modes.join(", "));
        Err(Refusal::new(Reason::SelectorInvalid, message, hint).field("selector"))
    }

    /// Whether it asks for failure modes.
    pub fn asks_failure_modes(&self) -> bool {
        !self.failure_modes().is_empty()
    }

    /// Those that it asks for. `alerts.kind` takes them, too.
    fn failure_modes(&self) -> Vec<&str> {
        let mut asked = self.0.words(FAILURE_MODE);
        let is_kind = |word: &str| Kind::words().iter().any(|kind| equals(kind, word));
        asked.extend(self.0.words(KIND).into_iter().filter(|word| !is_kind(word)));
        asked
    }

    /// Reads a scope: a selector over what operators set, never over what a device claims.
    pub fn parse_scope(text: &str) -> Result<Self, Refusal> {
        Filter::parse(text, SCOPE_FIELDS, Reason::SelectorInvalid).map(Selector)
    }

    /// Whether the device is one of them.
    pub fn matches(&self, device: &impl Subject) -> bool {
        self.0.matches(device)
    }

    /// Whether it names the devices that it is for: `id = "pump-3"`.
    pub fn names_devices(&self) -> bool {
        self.0.names("id")
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protective_selector_with_a_typing_error_is_refused() {
        for (text, says) in [
            ("NOT alerts.severity:hihg", "write alerts.severity: and one of: info, warning, critical"),
            ("labels.site = x AND NOT (alerts.kind:prognosis OR alerts.severity:\"\")", "critical"),
        ] {
            let refused = Selector::parse_rollout(text).unwrap_err();
            assert_eq!(refused.reason, Reason::SelectorInvalid);
            assert!(refused.message.contains("is never") && refused.hint.contains(says), "{refused:?}");
            assert!(refused.message.ends_with('^'), "{refused:?}");
            // What older versions took is still what it was.
            assert!(Selector::parse_stored_rollout(text).is_ok(), "{text}");
        }
        for text in ["NOT alerts.kind:*", "alerts.kind:progn*", "alerts.severity:warning"] {
            assert!(Selector::parse_rollout(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_failure_mode_has_to_be_one_that_somebody_set() {
        let known = ["leak", "storage_wear"];
        let check = |text: &str, known: &[&str]| {
            let selector = Selector::parse_rollout(text).unwrap();
            selector
                .check_failure_modes(known.iter().copied())
                .map_err(|refusal| (refusal.message, refusal.hint))
        };
        for text in [
            "",
            "NOT alerts.kind:prognosis",
            "NOT alerts.failure_mode:leak",
            "NOT alerts.kind:leak",
            "NOT alerts.kind:disk_failing",
            "NOT alerts.failure_mode:storage*",
            "NOT (labels.site = x OR alerts.failure_mode:*)",
        ] {
            assert_eq!(check(text, &known), Ok(()), "{text}");
        }
        for typed in ["alerts.failure_mode:laek", "alerts.kind:laek"] {
            let (message, hint) = check(&format!("labels.a = b AND NOT {typed}"), &known).unwrap_err();
            assert_eq!(message, "no limit, no fix and no living alert has the failure mode \"laek\"");
            assert!(hint.contains("leak") && hint.contains("state_detection"), "{hint}");
        }
        assert!(check("NOT alerts.kind:prognosi", &known).is_err());
        assert!(check("NOT alerts.failure_mode:leak", &[]).is_err());
    }

    #[test]
    fn what_ships_is_known() {
        let mut found = BTreeSet::new();
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/limits")).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let modes = text.lines().filter_map(|line| line.strip_prefix("failure_mode = "));
            found.extend(modes.map(|mode| mode.trim_matches('"').to_owned()));
        }
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), SHIPPED);
    }

    #[test]
    fn names_devices_or_describes_them() {
        let names = |text: &str| Selector::parse(text).unwrap().names_devices();
        for text in [
            "id = \"pump-3\"",
            "id = a OR id = b",
            "product = pump AND id = a",
            "NOT product = x AND (id = a OR id = b)",
        ] {
            assert!(names(text), "{text}");
        }
        for text in
            ["", "id = \"pump-*\"", "NOT id = a", "id != a", "id = a OR product = pump", "labels.id = a"]
        {
            assert!(!names(text), "{text}");
        }
    }
}

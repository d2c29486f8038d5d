//! Selectors: which devices something is for.

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
/// Where a failure mode is asked for.
const FAILURE_MODE: &str = "alerts.failure_mode";
/// What a rollout may select by: also what is wrong with a device, by its living alerts.
pub const ROLLOUT_FIELDS: &[Field] = &[
    Field::text("id"),
    Field::text("product"),
    Field::text("hardware"),
    Field::version("version"),
    Field::text("labels."),
    Field::set_of("alerts.kind", Kind::words, Some(FAILURE_MODE)),
    Field::set(FAILURE_MODE),
    Field::set_of("alerts.severity", Severity::words, None),
    Field::set("alerts.component"),
];
/// What a stored rollout may select by: some were made when any word was taken as a kind or a severity.
const STORED_FIELDS: &[Field] = &[
    Field::text("id"),
    Field::text("product"),
    Field::text("hardware"),
    Field::version("version"),
    Field::text("labels."),
    Field::set("alerts.kind"),
    Field::set(FAILURE_MODE),
    Field::set("alerts.severity"),
    Field::set("alerts.component"),
];
/// What a scope may select by: only what the device cannot say of itself.
pub const SCOPE_FIELDS: &[Field] = &[Field::text("id"), Field::text("product"), Field::text("labels.")];

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

    /// Refuses a failure mode that is none of `known`: `NOT alerts.failure_mode:laek` would protect nothing.
    pub fn check_failure_modes<'a>(
        &self,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), Refusal> {
        let asked = self.0.words(FAILURE_MODE);
        let is_known = |word: &str| word == "*" || known.clone().any(|mode| equals(mode, word));
        let Some(word) = asked.into_iter().find(|word| !is_known(word)) else { return Ok(()) };
        let mut modes: Vec<&str> = known.take(MODES_SHOWN).collect();
        modes.sort_unstable();
        let hint = match modes.as_slice() {
            [] => "no limit has one yet; a limit says it with failure_mode (docs/limits.md)".to_owned(),
            modes => format!("write {FAILURE_MODE}: and one of: {}", modes.join(", ")),
        };
        let message = format!("no limit, no fix and no living alert has the failure mode {}", quoted(word));
        Err(Refusal::new(Reason::SelectorInvalid, message, hint).field("selector"))
    }

    /// Whether it asks for failure modes.
    pub fn asks_failure_modes(&self) -> bool {
        !self.0.words(FAILURE_MODE).is_empty()
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
            ("NOT alerts.kind:storage_ful", "did you mean alerts.failure_mode:storage_ful?"),
            ("NOT alerts.kind:prognosi", "prognosis"),
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
            "NOT alerts.failure_mode:storage*",
            "NOT (labels.site = x OR alerts.failure_mode:*)",
        ] {
            assert_eq!(check(text, &known), Ok(()), "{text}");
        }
        let (message, hint) = check("labels.a = b AND NOT alerts.failure_mode:laek", &known).unwrap_err();
        assert_eq!(message, "no limit, no fix and no living alert has the failure mode \"laek\"");
        assert_eq!(hint, "write alerts.failure_mode: and one of: leak, storage_wear");
        assert!(check("NOT alerts.failure_mode:disk*", &known).is_err());
        assert!(check("NOT alerts.failure_mode:leak", &[]).unwrap_err().1.contains("no limit has one yet"));
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

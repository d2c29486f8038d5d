//! Selectors: which devices something is for.

use super::{
    filter::{Field, Filter, Subject},
    refusal::{Reason, Refusal},
};

/// What a limit may select by. `version` is what the device runs now.
pub const FIELDS: &[Field] = &[
    Field::text("id"),
    Field::text("product"),
    Field::text("hardware"),
    Field::version("version"),
    Field::text("labels."),
];
/// What a rollout may select by: also what is wrong with a device, by its living alerts.
pub const ROLLOUT_FIELDS: &[Field] = &[
    Field::text("id"),
    Field::text("product"),
    Field::text("hardware"),
    Field::version("version"),
    Field::text("labels."),
    Field::set("alerts.kind"),
    Field::set("alerts.failure_mode"),
    Field::set("alerts.severity"),
    Field::set("alerts.component"),
];
/// What a scope may select by: only what the device cannot say of itself.
pub const SCOPE_FIELDS: &[Field] = &[Field::text("id"), Field::text("product"), Field::text("labels.")];

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

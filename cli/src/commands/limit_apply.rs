//! `slipway limit apply`: a whole file of limits and fixes, and what it changes.

use slipway_proto::v1;
use tonic_types::StatusExt as _;

use crate::{
    args::LimitApply, connect::Api, error::Failure, human, output::Console, specification::Specification,
};

/// Applies each file, or with `--dry-run` says what it would change.
///
/// # Errors
/// What is wrong with a file, with its lines; what the server refuses.
pub async fn run(args: LimitApply, api: &Api, console: &Console) -> Result<(), Failure> {
    // All of them are read before the first is applied.
    let mut files = Vec::new();
    for path in &args.files {
        files.push((path, Specification::read(path)?));
    }
    for (path, file) in &files {
        let request =
            v1::ApplyLimitsRequest { prune: args.prune, validate_only: args.dry_run, ..file.request.clone() };
        let applied = match api.alerts().apply_limits(request).await {
            Ok(applied) => applied.into_inner(),
            Err(status) => {
                let details = status.get_error_details();
                let violations =
                    details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
                let violations: Vec<(String, String)> =
                    violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect();
                return Err(file.refused(path, &violations).unwrap_or_else(|| status.into()));
            }
        };
        console.say(&sentence(&file.request.set, &applied, args.dry_run));
        console.show("ApplyLimitsResponse", &applied, render)?;
    }
    Ok(())
}

/// What became of the whole: `emmc: 3 new, 1 changed; 2 as before`.
fn sentence(set: &str, applied: &v1::ApplyLimitsResponse, is_dry_run: bool) -> String {
    use v1::LimitAction as Action;
    let count = |action: Action| applied.changes.iter().filter(|change| change.action() == action).count();
    let mut parts = Vec::new();
    for (action, word) in [
        (Action::Create, "new"),
        (Action::Update, "changed"),
        (Action::Delete, "removed"),
        (Action::Keep, "as before"),
    ] {
        let number = count(action);
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    let what = if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
    let mut text = format!("{set}: {what}");
    if is_dry_run {
        text.push_str(" (a dry run: nothing was changed)");
    }
    let left = u64::try_from(count(Action::Leave)).unwrap_or(u64::MAX);
    if left > 0 {
        text.push_str(&format!(
            "; {} no longer in the file left as before (--prune removes what it no longer has)",
            human::counted(left, "entry").replace("entrys", "entries")
        ));
    }
    text
}

/// A difference as people know it: `+` new, `~` changed, `-` removed; what stays is not shown.
fn render(applied: &v1::ApplyLimitsResponse) -> String {
    use v1::LimitAction as Action;
    let mut text = String::new();
    for change in &applied.changes {
        let sign = match change.action() {
            Action::Create => '+',
            Action::Update => '~',
            Action::Delete => '-',
            Action::Leave => '?',
            Action::Keep | Action::Unspecified => continue,
        };
        text.push_str(&format!("{sign} {}\n", change.name));
        for field in &change.fields {
            let line = match change.action() {
                Action::Create => format!("    {}: {}\n", field.field, field.after),
                Action::Update => {
                    format!("    {}: {} -> {}\n", field.field, shown(&field.before), shown(&field.after))
                }
                _ => continue,
            };
            text.push_str(&line);
        }
    }
    if text.is_empty() { "no changes\n".to_owned() } else { text }
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "(none)" } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_reads_well() {
        let field = |field: &str, before: &str, after: &str| v1::LimitFieldChange {
            field: field.into(),
            before: before.into(),
            after: after.into(),
        };
        let change = |name: &str, action: v1::LimitAction, fields| v1::LimitChange {
            name: name.into(),
            action: action.into(),
            fields,
        };
        let applied = v1::ApplyLimitsResponse {
            changes: vec![
                change("limits/a", v1::LimitAction::Create, vec![field("above", "", "0.9")]),
                change("limits/b", v1::LimitAction::Update, vec![field("unit", "", "Pa")]),
                change("limits/c", v1::LimitAction::Keep, vec![]),
                change("fixes/d", v1::LimitAction::Delete, vec![field("release", "p/1", "")]),
                change("limits/e", v1::LimitAction::Leave, vec![]),
            ],
        };
        let expected =
            "+ limits/a\n    above: 0.9\n~ limits/b\n    unit: (none) -> Pa\n- fixes/d\n? limits/e\n";
        assert_eq!(render(&applied), expected);
        assert_eq!(
            sentence("pumps", &applied, true),
            "pumps: 1 new, 1 changed, 1 removed, 1 as before (a dry run: nothing was changed); \
             1 entry no longer in the file left as before (--prune removes what it no longer has)"
        );
        assert_eq!(render(&v1::ApplyLimitsResponse::default()), "no changes\n");
    }
}

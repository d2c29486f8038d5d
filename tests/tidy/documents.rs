//! What the documents say stands in the tree, and the other way round.

use std::{collections::BTreeSet, fs};

use slipway_server::model::refusal::Reason;

use crate::source::{files, root};

#[test]
fn every_refusal_has_a_page() {
    let missing: Vec<&str> = Reason::ALL
        .iter()
        .map(|reason| reason.code())
        .filter(|code| !root().join(format!("docs/errors/{code}.md")).is_file())
        .collect();
    assert!(missing.is_empty(), "no page in docs/errors for {missing:?}");
}

#[test]
fn every_reason_of_the_command_line_has_a_page() {
    let mut reasons = BTreeSet::new();
    for source in files("cli/src", &[".rs"]) {
        for opening in [".reason(\"", "reason: \""] {
            let words = source.text.split(opening).skip(1).filter_map(|rest| rest.split('"').next());
            reasons.extend(words.map(str::to_owned));
        }
    }
    assert!(reasons.contains("PROFILE_INVALID") && reasons.contains("SERVER_UNREACHABLE"), "{reasons:?}");
    reasons.retain(|code| !root().join(format!("docs/errors/{code}.md")).is_file());
    assert!(reasons.is_empty(), "no page in docs/errors for {reasons:?}");
}

#[test]
fn every_page_is_in_the_index() {
    let index = fs::read_to_string(root().join("docs/errors/README.md")).expect("the index of errors");
    let missing: Vec<String> = files("docs/errors", &[".md"])
        .into_iter()
        .filter_map(|page| Some(page.path.rsplit('/').next()?.strip_suffix(".md")?.to_owned()))
        .filter(|code| code != "README" && !index.contains(&format!("({code}.md)")))
        .collect();
    assert!(missing.is_empty(), "docs/errors/README.md does not list {missing:?}");
}

/// Words in back-quotes that look like a path of this repository.
fn paths_in(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.contains('/') && !word.contains(' ') && !word.contains("://") && !word.starts_with('/')
        })
        .filter(|word| !word.contains(['{', '<', '*', '$', '=', ':']))
        .filter(|word| TOP.iter().any(|top| word.starts_with(top)))
        .map(|word| word.trim_end_matches('/').to_owned())
        .collect()
}

const TOP: &[&str] = &[
    "proto/",
    "trust/",
    "payload/",
    "insight/",
    "archive/",
    "server/",
    "agent/",
    "cli/",
    "migrations/",
    "tests/",
    "xtask/",
    "docs/",
    "deploy/",
    ".ci/",
];

#[test]
fn every_path_in_the_documents_exists() {
    let mut missing = Vec::new();
    let mut documents = files("docs", &[".md"]);
    for name in ["README.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        documents.push(crate::source::Source { path: name.to_owned(), text });
    }
    for document in documents {
        for path in paths_in(&document.text) {
            if !root().join(&path).exists() {
                missing.push(format!("{}: {path}", document.path));
            }
        }
    }
    assert!(missing.is_empty(), "these are not in the tree:\n{}", missing.join("\n"));
}

#[test]
fn the_architecture_names_every_room() {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("docs/ARCHITECTURE.md");
    let mut missing = Vec::new();
    for folder in [
        "trust/src",
        "payload/src",
        "insight/src",
        "archive/src",
        "server/src",
        "agent/src",
        "cli/src",
        "xtask/src",
    ] {
        let rooms = fs::read_dir(root().join(folder)).expect("a source folder");
        for entry in rooms.map(|entry| entry.expect("a readable entry").file_name()) {
            let name = entry.to_string_lossy().into_owned();
            if !name.ends_with("_tests.rs") && !text.contains(&name) {
                missing.push(format!("{folder}/{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md does not name:\n{}", missing.join("\n"));
}

//! Which room may know which.

use crate::source::files;

struct Wall {
    room: &'static str,
    never: &'static [&'static str],
    why: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        room: "server/src/model",

        never: &[
            "tokio::",
            "sqlx",
            "tonic",
            "axum",
            "crate::store",
            "crate::service",
            "crate::api",
            "crate::tasks",
            "crate::clock",
            "crate::rng",
            "slipway_proto",
        ],
        why: "decisions are pure: a snapshot and `now` in, data out",
    },
    Wall {
        room: "server/src/otlp",

        never: &[
            "tokio",
            "sqlx",
            "crate::store",
            "crate::service",
            "crate::api",
            "crate::clock",
            "crate::rng",
        ],
        why: "a foreign protocol is read, not acted on",
    },
    Wall {
        room: "server/src/store",

        never: &[
            "crate::service",
            "crate::api",
            "crate::tasks",
            "crate::clock",
            "crate::rng",
            "tonic",
            "axum",
        ],
        why: "the store returns model types and decides nothing",
    },
    Wall {
        room: "server/src/service",

        never: &["sqlx", "crate::api", "crate::tasks", "axum"],
        why: "operations know neither SQL nor who calls them",
    },
    Wall {
        room: "server/src/api",

        never: &["sqlx", "crate::tasks"],
        why: "the edge converts, it does not query",
    },
    Wall {
        room: "server/src/tasks",

        never: &["sqlx", "crate::api", "tonic"],
        why: "reconcilers act through service and store",
    },
    Wall {
        room: "trust/src",

        never: &["tokio", "std::fs", "std::net", "SystemTime", "Instant"],
        why: "the verifier is a value",
    },
    Wall {
        room: "payload/src",

        never: &["tokio", "std::fs", "std::net", "SystemTime", "Instant"],
        why: "segments are bytes in, bytes out",
    },
    Wall {
        room: "insight/src",

        never: &["tokio", "std::fs", "std::net", "SystemTime", "Instant"],
        why: "forecasters step on what they are given",
    },
    Wall {
        room: "archive/src",

        never: &["tokio", "std::fs", "std::net", "SystemTime", "Instant"],
        why: "files are bytes in, bytes out",
    },
    Wall {
        room: "agent/src/machine",

        never: &["tokio", "std::fs", "tonic", "crate::clock", "crate::rng"],
        why: "the machine is pure, the shell acts",
    },
    Wall {
        room: "agent/src",

        never: &["slipway_server", "sqlx"],
        why: "the device never carries the server",
    },
    Wall {
        room: "cli/src",

        never: &["slipway_server", "sqlx"],
        why: "the command line talks gRPC like everybody else",
    },
];

#[test]
fn no_room_knows_what_it_must_not() {
    let mut found = Vec::new();
    for wall in WALLS {
        for source in files(wall.room, &[".rs"]) {
            if is_test(&source.path) {
                continue;
            }
            for (number, line) in source.code() {
                for word in wall.never {
                    if mentions(line, word) {
                        found.push(format!("{}:{number}: `{word}`: {}", source.path, wall.why));
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "walls with holes:\n{}", found.join("\n"));
}

/// Whether a file holds only tests, which may hold a clock still and seed dice.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name == "tests.rs" || name.ends_with("_tests.rs")
}

/// Whether `word` stands in `line` as a path, not as part of a longer name.
fn mentions(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !name(before) && (word.ends_with("::") || !name(after))
    })
}

#[test]
fn only_one_file_of_a_crate_asks_the_clock_and_one_the_dice() {
    let mut found = Vec::new();
    for folder in ["trust", "payload", "insight", "archive", "server", "agent", "cli", "xtask", "tests"] {
        for source in files(folder, &[".rs"]) {
            let room = source.path.rsplit('/').next().unwrap_or_default();
            if source.text.contains("clippy::disallowed_methods")
                && !matches!(room, "clock.rs" | "rng.rs" | "walls.rs")
            {
                found.push(source.path);
            }
        }
    }
    assert!(found.is_empty(), "only clock.rs and rng.rs may ask the world: {found:?}");
}

#[test]
fn nothing_is_a_stub() {
    let mut found = Vec::new();
    for folder in
        ["proto/src", "trust", "payload", "insight", "archive", "server", "agent", "cli", "xtask", "tests"]
    {
        for source in files(folder, &[".rs"]) {
            for (number, line) in source.text.lines().enumerate() {
                // Spelled in two halves, so that this file does not find itself.
                for stub in [
                    concat!("todo", "!("),
                    concat!("unimplemented", "!("),
                    concat!("#[ign", "ore"),
                    concat!("dbg", "!("),
                    concat!("#[all", "ow("),
                ] {
                    if line.contains(stub) {
                        found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "stubs and silenced checks:\n{}", found.join("\n"));
}

//! The repository speaks of itself alone.

use crate::source::files;

#[test]
fn no_path_of_a_developers_machine() {
    let mut found = Vec::new();
    for source in files(".", &[".rs", ".md", ".toml", ".proto", ".sql", ".sh", ".service", "run"]) {
        for (number, line) in source.text.lines().enumerate() {
            // Spelled in halves, so that this file does not find itself.
            for path in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home", "/")] {
                if line.contains(path) && !line.contains("ProtectHome") {
                    found.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "paths of a machine:\n{}", found.join("\n"));
}

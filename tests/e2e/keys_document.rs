//! Every command of `docs/keys.md`, run as it stands, from top to bottom, beside a real server.

use slipway_tests::world::World;

use crate::pages;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_ceremony_works() {
    let mut world = World::start().await;
    let lines = pages::commands("keys.md", 40);
    let (folder, mut out) = (world.path(""), String::new());
    // What is done to the data directory is done while the server is stopped, as the page says.
    let is_offline = |line: &str| line.starts_with("slipwayd ");
    for lines in lines.chunk_by(|one, next| is_offline(one) == is_offline(next)) {
        if is_offline(&lines[0]) {
            world = world.restart_after(|| drop(pages::shell(&folder, lines))).await;
        } else {
            out.push_str(&pages::shell(&folder, lines));
        }
    }
    assert!(out.contains("1.0.0 (withdrawn)"), "{out}");
    let shown = out.matches("+ CA with SHA-256 ").count();
    assert_eq!(shown, 3 * (2 + 1), "who drafts and who signs sees both CAs, and then the one: {out}");
    // As sha256sum prints what it read from openssl.
    let printed: Vec<&str> = out.lines().filter_map(|line| line.strip_suffix("  -")).collect();
    assert_eq!(printed.len(), 2, "{out}");
    for digest in printed {
        assert!(
            out.contains(&format!("+ CA with SHA-256 {digest}\n")),
            "{digest} is what signers see: {out}"
        );
    }
    let shown = world.slipway(&["trust", "show"]);
    for number in [2, 3] {
        let key = world.read(&format!("../company/publisher-{number}.pub"));
        assert!(shown.contains(key.trim()), "publisher {number}: {shown}");
    }
    assert!(shown.starts_with("root      version 4"), "{shown}");
    assert_eq!(world.read("server-ca.pem").matches("BEGIN CERTIFICATE").count(), 1);
    world.stop().await;
}

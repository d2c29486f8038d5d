//! From keys to a published release.

use std::{fs, path::Path};

use slipway_proto::v1::release_service_server::ReleaseServiceServer;
use slipway_trust::{Sha256, TARGETS, Targets};
use tonic::service::Routes;

use crate::{
    commands::{Outcome, slipway},
    releases::Releases,
    server::TestServer,
};

/// A server with the keys that were made for it.
struct World {
    server: TestServer,
    releases: Releases,
}

impl World {
    async fn start() -> Self {
        let releases = Releases::new();
        let service = ReleaseServiceServer::new(releases.clone()).max_decoding_message_size(16 << 20);
        let world = Self { server: TestServer::start(Routes::new(service)).await, releases };
        let keys = world.path("keys");
        let made = world.run(&["trust", "init", "--keys", &keys, "--no-passphrase"]).await;
        assert_eq!(made.code, 0, "{}", made.talk);
        world
    }

    fn path(&self, name: &str) -> String {
        self.server.dir().join(name).to_str().unwrap().to_owned()
    }

    async fn run(&self, arguments: &[&str]) -> Outcome {
        slipway(&self.server.profile(), arguments).await
    }

    async fn publish(&self, image: &str, version: &str, more: &[&str]) -> Outcome {
        let (image, keys) = (self.path(image), self.path("keys"));
        let mut line = vec!["release", "publish", &image, "--version", version, "--hardware", "gw-a"];
        line.extend(["--keys", &keys, "--product", "pump"]);
        line.extend(more);
        self.run(&line).await
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.server.dir().join(name), bytes).unwrap();
    }
}

/// `count` segments of 1 MiB that all differ, and a short one.
fn image(count: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..count).flat_map(|n| vec![n; 1 << 20]).collect();
    bytes.extend_from_slice(b"the end");
    bytes
}

#[tokio::test]
async fn a_release_is_signed_here_and_only_what_is_new_is_sent() {
    let world = World::start().await;
    world.write("one.img", &image(3));
    let published = world.publish("one.img", "1.0.0", &[]).await;
    assert_eq!(published.code, 0, "{}", published.talk);
    assert!(
        published.out.starts_with("published  pump/1.0.0\ncounter    1\nsize       3.0 MiB\n"),
        "{}",
        published.out
    );
    assert!(published.out.contains("\nsegments   4: 4 new, 0 reused\n"), "{}", published.out);
    {
        let state = world.releases.state();
        let artifact = &state.manifests[0].artifacts[0];
        assert_eq!((artifact.size, artifact.digest), (image(3).len() as u64, Sha256::of(&image(3))));
        assert!(!state.requests[0].targets.is_empty(), "the first release brings the delegation");
    }

    world.write("two.img", &image(5));
    let published = world.publish("two.img", "1.1.0", &[]).await;
    assert!(published.out.contains("\nsegments   6: 2 new, 4 reused\n"), "{}", published.out);
    let state = world.releases.state();
    assert!(state.requests[1].targets.is_empty());
    let role = Targets::parse("pump", &state.trust.product).unwrap();
    assert_eq!(role.releases("pump").unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_not_newer_or_only_tried_is_not_sent() {
    let world = World::start().await;
    world.write("one.img", &image(1));
    let tried = world.publish("one.img", "1.0.0", &["--dry-run"]).await;
    assert_eq!(tried.code, 0, "{}", tried.talk);
    assert!(tried.out.contains("\nsegments  2, 2 of them to send\n"), "{}", tried.out);
    {
        let state = world.releases.state();
        assert_eq!((state.uploads, state.manifests.len()), (0, 0));
    }

    assert_eq!(world.publish("one.img", "1.0.0", &[]).await.code, 0);
    world.write("two.img", &image(2));
    let again = world.publish("two.img", "1.0.0", &[]).await;
    assert_eq!(again.code, 1);
    assert!(again.talk.ends_with("\nsee docs/errors/VERSION_NOT_NEWER.md\n"), "{}", again.talk);
    assert_eq!(world.releases.state().uploads, 1);

    world.write("empty.img", b"");
    let empty = world.publish("empty.img", "2.0.0", &[]).await;
    assert!(empty.talk.ends_with("\nsee docs/errors/IMAGE_EMPTY.md\n"), "{}", empty.talk);
}

#[tokio::test]
async fn an_upload_that_breaks_goes_on_with_what_is_missing() {
    let world = World::start().await;
    world.releases.state().break_uploads_after = vec![2];
    world.write("one.img", &image(4));
    let published = world.publish("one.img", "1.0.0", &[]).await;
    assert_eq!(published.code, 0, "{}", published.talk);
    assert!(published.talk.contains("the connection is lost; trying again"), "{}", published.talk);
    let state = world.releases.state();
    assert_eq!((state.uploads, state.segments.len()), (2, 5));
}

#[tokio::test]
async fn another_publisher_who_was_first_is_signed_on_top_of() {
    let world = World::start().await;
    world.write("one.img", &image(1));
    assert_eq!(world.publish("one.img", "1.0.0", &[]).await.code, 0);
    let before = world.releases.state().trust.clone();

    // Somebody else publishes 1.1.0 from the same keys, and it arrives before our 1.2.0.
    world.write("two.img", &image(2));
    assert_eq!(world.publish("two.img", "1.1.0", &[]).await.code, 0);
    {
        let mut state = world.releases.state();
        let theirs = (state.trust.targets.clone(), state.trust.product.clone());
        state.trust = before;
        state.first_come = vec![theirs];
    }
    world.write("three.img", &image(3));
    let published = world.publish("three.img", "1.2.0", &[]).await;
    assert_eq!(published.code, 0, "{}", published.talk);
    assert!(published.talk.contains("somebody else published meanwhile"), "{}", published.talk);
    let state = world.releases.state();
    let role = Targets::parse("pump", &state.trust.product).unwrap();
    let counters: Vec<u64> = role.releases("pump").unwrap().iter().map(|release| release.counter).collect();
    assert_eq!((role.version, counters), (3, vec![1, 2, 3]));
}

#[tokio::test]
async fn keys_are_made_once_and_fit_one_server() {
    let world = World::start().await;
    let keys = world.path("keys");
    let root = fs::read(Path::new(&keys).join("root.json")).unwrap();
    assert_eq!(world.releases.state().trust.root, root);
    let again = world.run(&["trust", "init", "--keys", &keys, "--no-passphrase"]).await;
    assert_eq!((again.code, again.talk.as_str()), (0, "the server has this root already: nothing to do\n"));

    let elsewhere = world.path("elsewhere");
    let refused = world.run(&["trust", "init", "--keys", &elsewhere, "--no-passphrase"]).await;
    assert!(refused.talk.ends_with("\nsee docs/errors/TRUST_ALREADY_INITIALIZED.md\n"), "{}", refused.talk);
    assert!(!Path::new(&elsewhere).exists());

    let shown = world.run(&["trust", "show", "--output", "json"]).await;
    assert!(shown.out.contains("\"onlineKeys\": ["), "{}", shown.out);
    assert_eq!(Targets::parse(TARGETS, &world.releases.state().trust.targets).unwrap().version, 1);
}

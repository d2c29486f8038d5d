//! Starts and stops of a whole server.

use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::{model::time::Timestamp, store::tokens::tokens_page};

fn deps() -> Deps {
    Deps { clock: Clock::manual(Timestamp::from_seconds(1_767_225_600)), rng: Rng::seeded(7) }
}

async fn tokens(running: &Running) -> usize {
    let mut tx = running.context.db.read().await.unwrap();
    tokens_page(&mut tx, None, 10).await.unwrap().len()
}

#[tokio::test]
async fn a_second_start_makes_nothing_new() {
    let temp = TempDir::new().unwrap();
    let first = start(Config::in_dir(temp.path()), deps()).await.unwrap();
    assert!(!first.made.is_empty());
    let refused = start(Config::in_dir(temp.path()), deps()).await.unwrap_err();
    assert!(matches!(refused, StartError::DataDir(DataDirError::InUse { .. })), "{refused}");
    first.stop().await;
    let second = start(Config::in_dir(temp.path()), deps()).await.unwrap();
    assert!(second.made.is_empty(), "{:?}", second.made);
    assert_eq!(tokens(&second).await, 1);
    let profile = std::fs::read_to_string(temp.path().join("client.toml")).unwrap();
    assert!(profile.contains(&second.url), "{profile}");
    second.stop().await;
}

#[tokio::test]
async fn a_first_start_that_was_killed_is_completed() {
    let temp = TempDir::new().unwrap();
    start(Config::in_dir(temp.path()), deps()).await.unwrap().stop().await;
    // Killed after the file of the token was written and before the store knew it.
    for name in ["slipway.db", "slipway.db-wal", "slipway.db-shm"] {
        let _ = std::fs::remove_file(temp.path().join(name));
    }
    let file = std::fs::read_to_string(temp.path().join("admin.token")).unwrap();
    let second = start(Config::in_dir(temp.path()), deps()).await.unwrap();
    let now = second.context.clock.now();
    assert!(second.context.tokens.find(file.trim(), now).is_ok(), "the token in the file works");
    second.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named_with_a_way_out() {
    let temp = TempDir::new().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config { listen: other.local_addr().unwrap(), ..Config::in_dir(temp.path()) };
    let refused = start(config, deps()).await.unwrap_err();
    assert!(refused.to_string().contains(&other.local_addr().unwrap().to_string()), "{refused}");
    assert!(refused.hint().contains("--listen"), "{}", refused.hint());
}

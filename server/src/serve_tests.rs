//! Starts and stops of a whole server.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
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

#[tokio::test]
async fn a_clock_before_the_program_makes_nothing() {
    let temp = TempDir::new().unwrap();
    let root = temp.path().join("data");
    let too_early = Deps { clock: Clock::manual(Timestamp::from_seconds(60)), rng: Rng::seeded(7) };
    let refused = start(Config::in_dir(&root), too_early).await.unwrap_err();
    assert!(refused.to_string().contains("1970-01-01T00:01:00Z"), "{refused}");
    assert_eq!(refused.page(), Some("CLOCK_WRONG"));
    assert!(!root.exists());
}

#[tokio::test]
async fn a_server_that_nobody_would_believe_is_not_ready_until_what_is_wrong_is_gone() {
    let temp = TempDir::new().unwrap();
    start(Config::in_dir(temp.path()), deps()).await.unwrap().stop().await;
    // As a generation was made by a clock that stood in 1970: it ends before it begins.
    let file = |name: &str| temp.path().join(name);
    let text = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    let first = KeyPair::from_pem(&text("keys/server-ca.pem")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&text("server-ca.pem"), first).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Slipway server CA 2");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date_time_ymd(2025, 12, 31), date_time_ymd(1999, 12, 25));
    let key = KeyPair::generate().unwrap();
    let cross = params.signed_by(&key, &issuer).unwrap().pem();
    let own = params.self_signed(&key).unwrap().pem();
    std::fs::write(file("server-ca.pem"), own + &text("server-ca.pem")).unwrap();
    std::fs::write(file("keys/server-ca-2.pem"), key.serialize_pem()).unwrap();
    std::fs::write(file("keys/server-ca-2.cross.pem"), cross).unwrap();

    let refused = start(Config::in_dir(temp.path()), deps()).await.unwrap_err();
    let said = refused.to_string();
    assert!(
        said.contains("keys/server-ca-2.cross.pem holds from 2025-12-31") && said.contains("1999"),
        "{said}"
    );
    assert_eq!(refused.page(), Some("CLOCK_WRONG"));
    for made_anew in ["keys/server-ca-2.cross.pem", "server-ca.pem"] {
        std::fs::remove_file(file(made_anew)).unwrap();
    }
    start(Config::in_dir(temp.path()), deps()).await.unwrap().stop().await;
}

#[tokio::test]
async fn an_admin_token_that_was_deleted_is_made_anew_by_the_next_start() {
    let temp = TempDir::new().unwrap();
    let file = temp.path().join("admin.token");
    start(Config::in_dir(temp.path()), deps()).await.unwrap().stop().await;
    let lost = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let again = Deps { rng: Rng::seeded(8), ..deps() };
    let second = start(Config::in_dir(temp.path()), again).await.unwrap();
    let made = std::fs::read_to_string(&file).unwrap();
    assert_ne!(made, lost);
    let now = second.context.clock.now();
    assert!(second.context.tokens.find(made.trim(), now).is_ok());
    assert!(second.context.tokens.find(lost.trim(), now).is_ok(), "the lost one goes on until it is revoked");
    second.stop().await;
}

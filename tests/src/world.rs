//! A real server in this process: real port, real TLS, real database, a clock that the test moves.

use std::time::Duration;

use slipway_proto::v1::{CreateTokenRequest, Role, Token};
use slipway_server::{
    clock::Clock,
    config::Config,
    rng::Rng,
    serve::{Deps, Running, start},
};
use tempfile::TempDir;

use crate::operator::Caller;

/// A running server and what belongs to it; stop it with [`World::stop`].
#[derive(Debug)]
pub struct World {
    /// The server.
    pub running: Running,
    /// Its clock. It starts at the present, because certificates are checked against the system's.
    pub clock: Clock,
    /// Its data directory is `server` below this one.
    pub folder: TempDir,
}

impl World {
    /// A server on SQLite and a local object store.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server with another configuration.
    pub async fn start_with(configure: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut config = Config::in_dir(folder.path().join("server"));
        configure(&mut config);
        let clock = Clock::manual(Clock::System.now());
        let running = start(config, Deps { clock: clock.clone(), rng: Rng::seeded(7) }).await.expect("a server");
        World { running, clock, folder }
    }

    /// The port it is bound to.
    pub fn port(&self) -> u16 {
        self.running.addr.port()
    }

    /// A file of its data directory.
    pub fn read(&self, name: &str) -> String {
        let path = self.folder.path().join("server").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The first administrator.
    pub fn admin(&self) -> Caller {
        Caller::admin(self.port(), &self.folder.path().join("server"))
    }

    /// Nobody.
    pub fn anonymous(&self) -> Caller {
        Caller::connect(self.port(), &self.read("server-ca.pem"), None, None)
    }

    /// Somebody with `token`.
    pub fn caller(&self, token: &str) -> Caller {
        Caller::connect(self.port(), &self.read("server-ca.pem"), Some(token), None)
    }

    /// A new token; returns its secret.
    pub async fn token(&self, role: Role, scope: &str, life: Duration) -> String {
        let request = CreateTokenRequest {
            token: Some(Token {
                display_name: format!("{} {scope}", role.as_str_name()),
                role: role.into(),
                scope: scope.to_owned(),
                ..Token::default()
            }),
            ttl: Some(prost_types::Duration { seconds: i64::try_from(life.as_secs()).unwrap_or(0), nanos: 0 }),
        };
        self.admin().access().create_token(request).await.expect("a token").into_inner().secret
    }

    /// Ends it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

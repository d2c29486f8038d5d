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

use crate::{
    desk::{Desk, HARDWARE},
    member::Member,
    operator::Caller,
};

/// A running server and what belongs to it; stop it with [`World::stop`].
#[derive(Debug)]
pub struct World {
    /// The server.
    pub running: Running,
    /// Its clock. It starts at the present, because certificates are checked against the system's.
    pub clock: Clock,
    desk: Desk,
    _folder: TempDir,
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
        // Clocks here jump by days while nobody plays the devices.
        config.offline.after = 0;
        configure(&mut config);
        let clock = Clock::manual(Clock::System.now());
        let running =
            start(config, Deps { clock: clock.clone(), rng: Rng::seeded(7) }).await.expect("a server");
        let (path, port) = (folder.path().to_owned(), running.addr.port());
        let desk = Desk { data: path.join("server"), folder: path, port };
        World { running, clock, desk, _folder: folder }
    }

    /// The port it is bound to.
    pub fn port(&self) -> u16 {
        self.running.addr.port()
    }

    /// A file of its data directory.
    pub fn read(&self, name: &str) -> String {
        self.desk.read(name)
    }

    /// The first administrator.
    pub fn admin(&self) -> Caller {
        self.desk.admin()
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
            ttl: Some(prost_types::Duration {
                seconds: i64::try_from(life.as_secs()).unwrap_or(0),
                nanos: 0,
            }),
        };
        self.admin().access().create_token(request).await.expect("a token").into_inner().secret
    }

    /// Runs the command line as the administrator, beside the server.
    pub fn slipway(&self, arguments: &[&str]) -> String {
        self.desk.slipway(arguments)
    }

    /// A path below the folder of this world, as an argument.
    pub fn path(&self, name: &str) -> String {
        self.desk.path(name)
    }

    /// Makes the publisher's keys and gives the server its root.
    pub fn init_trust(&self) {
        self.desk.init_trust();
    }

    /// Publishes `image` as `version` of the product and hardware that fleets here have.
    pub fn publish(&self, image: &[u8], version: &str) {
        self.desk.publish(image, version);
    }

    /// A claim for so many devices with these labels; returns its secret.
    pub async fn claim(&self, uses: u32, labels: &[(&str, &str)]) -> String {
        self.admin().claim(uses, labels).await
    }

    /// A new device with these labels, that the test plays.
    pub async fn member(&self, id: &str, labels: &[(&str, &str)]) -> Member {
        let claim = self.claim(1, labels).await;
        Member::enroll(self.port(), &self.read("server-ca.pem"), &claim, id, HARDWARE)
            .await
            .expect("a device")
    }

    /// Ends it, and starts it again on what it left, with the default configuration and on another port.
    pub async fn restart(self) -> Self {
        self.restart_after(|| ()).await
    }

    /// The same, and between the two `act` does what is done while it is stopped.
    pub async fn restart_after(mut self, act: impl FnOnce()) -> Self {
        self.running.stop().await;
        act();
        let deps = Deps { clock: self.clock.clone(), rng: Rng::seeded(8) };
        let mut config = Config::in_dir(&self.desk.data);
        config.offline.after = 0;
        self.running = start(config, deps).await.expect("a server");
        self.desk.port = self.running.addr.port();
        self
    }

    /// Ends it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

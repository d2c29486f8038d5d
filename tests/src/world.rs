//! A real server in this process: real port, real TLS, real database, a clock that the test moves.

use std::time::Duration;

use slipway_proto::v1::{Claim, CreateClaimRequest, CreateTokenRequest, Role, Token};
use slipway_server::{
    clock::Clock,
    config::Config,
    rng::Rng,
    serve::{Deps, Running, start},
};
use tempfile::TempDir;

use crate::{
    fleet::{HARDWARE, PRODUCT},
    member::Member,
    operator::Caller,
    processes::run,
};

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
        let running =
            start(config, Deps { clock: clock.clone(), rng: Rng::seeded(7) }).await.expect("a server");
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
            ttl: Some(prost_types::Duration {
                seconds: i64::try_from(life.as_secs()).unwrap_or(0),
                nanos: 0,
            }),
        };
        self.admin().access().create_token(request).await.expect("a token").into_inner().secret
    }

    /// Runs the command line as the administrator, beside the server.
    ///
    /// # Panics
    ///
    /// When it fails, and on a runtime with one thread, which could not answer it.
    pub fn slipway(&self, arguments: &[&str]) -> String {
        let profile = self.path("server/client.toml");
        let mut all = vec!["--profile", profile.as_str()];
        all.extend_from_slice(arguments);
        tokio::task::block_in_place(|| run("slipway", &all))
    }

    /// A path below the folder of this world, as an argument.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// Makes the publisher's keys and gives the server its root.
    pub fn init_trust(&self) {
        self.slipway(&["trust", "init", "--keys", &self.path("keys"), "--no-passphrase"]);
    }

    /// Publishes `image` as `version` of the product and hardware that fleets here have.
    pub fn publish(&self, image: &[u8], version: &str) {
        let file = self.path(&format!("{version}.img"));
        std::fs::write(&file, image).expect("an image");
        self.slipway(&[
            "release",
            "publish",
            &file,
            "--version",
            version,
            "--component",
            "system",
            "--hardware",
            HARDWARE,
            "--product",
            PRODUCT,
            "--keys",
            &self.path("keys"),
            "--new-hardware",
        ]);
    }

    /// A claim for so many devices with these labels; returns its secret.
    pub async fn claim(&self, uses: u32, labels: &[(&str, &str)]) -> String {
        let claim = Claim {
            product: PRODUCT.to_owned(),
            hardware: vec![HARDWARE.to_owned()],
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            uses,
            ..Claim::default()
        };
        let request = CreateClaimRequest { claim: Some(claim), ..CreateClaimRequest::default() };
        self.admin().fleet().create_claim(request).await.expect("a claim").into_inner().token
    }

    /// A new device with these labels, that the test plays.
    pub async fn member(&self, id: &str, labels: &[(&str, &str)]) -> Member {
        let claim = self.claim(1, labels).await;
        Member::enroll(self.port(), &self.read("server-ca.pem"), &claim, id, HARDWARE)
            .await
            .expect("a device")
    }

    /// Ends it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

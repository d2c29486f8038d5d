//! The desk of the administrator, who publishes too: the command line beside one server, and a folder for keys,
//! images and claims.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{operator::Caller, processes::run};

/// The hardware model of every device here.
pub const HARDWARE: &str = "gw-a";
/// Their product.
pub const PRODUCT: &str = "pump";

/// Where the administrator of one server works.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Where keys, images and claims are.
    pub folder: PathBuf,
    /// The server's data folder.
    pub data: PathBuf,
    /// The server's port.
    pub port: u16,
}

impl Desk {
    /// A path below the folder, as an argument.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Runs the command line as the administrator.
    ///
    /// # Panics
    ///
    /// When it fails, and on a runtime with one thread, on which a server of this process could not answer it.
    pub fn slipway(&self, arguments: &[&str]) -> String {
        let profile = self.data.join("client.toml").to_string_lossy().into_owned();
        let all = [&["--profile", profile.as_str()], arguments].concat();
        tokio::task::block_in_place(|| run("slipway", &all))
    }

    /// gRPC as the administrator.
    pub fn admin(&self) -> Caller {
        Caller::admin(self.port, &self.data)
    }

    /// A file of the server's data folder.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn read(&self, name: &str) -> String {
        let path = self.data.join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Makes the publisher's keys and gives the server its root.
    pub fn init_trust(&self) {
        self.slipway(&["trust", "init", "--keys", &self.path("keys"), "--no-passphrase"]);
    }

    /// Publishes `image` as `version` of [`PRODUCT`] for [`HARDWARE`], whether a device of that model is there or not.
    pub fn publish(&self, image: &[u8], version: &str) {
        let (file, keys) = (self.path(&format!("{version}.img")), self.path("keys"));
        fs::write(&file, image).expect("an image");
        let mut line = vec!["release", "publish", &file, "--version", version, "--component", "system"];
        line.extend(["--product", PRODUCT, "--hardware", HARDWARE, "--new-hardware", "--keys", &keys]);
        self.slipway(&line);
    }

    /// Writes a claim for `count` devices into a file; returns its path.
    pub fn claim_file(&self, count: usize) -> String {
        let (file, uses) = (self.path("claim.json"), count.to_string());
        let mut line = vec!["claim", "create", "--product", PRODUCT, "--hardware", HARDWARE];
        line.extend(["--uses", &uses, "--out", &file]);
        self.slipway(&line);
        file
    }
}

/// Enrols a real agent with a claim file; `more` are options of `slipway-agent enroll`.
pub fn enroll(claim: &str, id: &str, state: &Path, slots: &Path, more: &[&str]) {
    let (state, slots) = (state.to_string_lossy(), slots.to_string_lossy());
    let mut line = vec!["enroll", "--claim", claim, "--state", &state, "--slots", &slots];
    line.extend(["--hardware", HARDWARE, "--device-id", id]);
    line.extend(more);
    run("slipway-agent", &line);
}

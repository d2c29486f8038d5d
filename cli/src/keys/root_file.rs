//! The newest root that somebody trusts, as a file.

use std::{
    io,
    path::{Path, PathBuf},
};

use slipway_trust::{Root, TrustedSet};

use crate::{error::Failure, input, private_file};

/// `root.json`, wherever it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFile(PathBuf);

impl RootFile {
    /// The file at `path`; it need not exist.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its bytes; `None` before there is one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self) -> Result<Option<Vec<u8>>, Failure> {
        match input::bytes(&self.0, input::SMALL) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file("read the root", &self.0, &error)),
        }
    }

    /// Keeps a root that was verified. It is durable when this returns.
    ///
    /// # Errors
    /// What the file system says.
    pub fn store(&self, bytes: &[u8]) -> Result<(), Failure> {
        private_file::replace(&self.0, bytes)
            .map_err(|error| Failure::file("write the root", &self.0, &error))
    }

    /// A root from this file, as devices start to believe it.
    ///
    /// # Errors
    /// A file that is no root.
    pub fn trusted(&self, root: &[u8]) -> Result<TrustedSet, Failure> {
        TrustedSet::from_root(root).map_err(|error| {
            Failure::new(format!("{} cannot be used: {error}", self.0.display()))
                .hint(format!("bring it back from its copy: cp COPY/root.json {}", self.0.display()))
                .reason(error.code())
        })
    }

    /// The root that follows the one kept through `chain`, which may hold roots from before it. `newest`
    /// is the one that the chain has to end with.
    ///
    /// # Errors
    /// No root that is kept; a chain that does not lead from it to `newest`.
    pub fn follow(&self, chain: &[Vec<u8>], newest: &[u8]) -> Result<TrustedSet, Failure> {
        let path = self.0.display();
        let kept = self.read()?.ok_or_else(|| {
            Failure::new(format!("{path} is missing: without it no server can be believed"))
                .hint(format!(
                    "use the directory that `slipway trust init` filled; or copy root.json back: cp COPY/root.json {path}"
                ))
                .reason("ROOT_FOREIGN")
        })?;
        let mut set = self.trusted(&kept)?;
        let foreign = |why: &dyn std::fmt::Display| {
            Failure::new(format!("the server's root is not the one in {path} and does not follow it: {why}"))
                .hint("use the key directory this server was set up with, or the server these keys belong to")
                .reason("ROOT_FOREIGN")
        };
        let offered = Root::parse(newest).map_err(|error| foreign(&error))?.version;
        // A server of a former version sends no chain: then the newest has to be the next.
        let last = [newest.to_vec()];
        for root in if chain.is_empty() { &last } else { chain } {
            let version = Root::parse(root).map_err(|error| foreign(&error))?.version;
            if version > set.root().body.version {
                set.update_root(root).map_err(|error| foreign(&error))?;
            }
        }
        match set.root().bytes == newest {
            true => Ok(set),
            false => {
                let held = set.root().body.version;
                Err(foreign(&format!("root {held} is trusted here, and root {offered} is another")))
            }
        }
    }
}

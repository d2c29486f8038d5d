//! The directory of a company's keys. Each role has one key, `root.pem`, or several, `root-1.pem`,
//! `root-2.pem` …; the public half lies beside each as `.pub`, to be looked at and handed on without a
//! passphrase. `root.json` is the newest root that is trusted here.

mod file;
mod publishers;
mod root_file;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use slipway_trust::{PublicKey, Signer, signed::Authority};

pub use self::{
    file::{KeyFile, read_public},
    root_file::RootFile,
};
use crate::{
    error::Failure,
    human,
    output::Console,
    passphrase::{Passphrase, Passphrases, Source},
    private_file,
};

/// Which keys of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// Signs who may sign.
    Root,
    /// Signs which products there are and who publishes them.
    Targets,
    /// Signs releases.
    Publisher,
}

impl KeyRole {
    /// In the order in which they are made.
    pub const ALL: [Self; 3] = [Self::Root, Self::Targets, Self::Publisher];

    /// What its files are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Publisher => "publisher",
        }
    }
}

/// A directory of keys. Remembers the passphrases that it was given, so that each is asked for once.
pub struct KeyDir {
    path: PathBuf,
    passphrases: Passphrases,
}

impl KeyDir {
    /// The directory at `path`; it need not exist.
    pub fn new(path: &Path, passphrase: Source) -> Self {
        Self { path: path.to_owned(), passphrases: Passphrases::new(passphrase) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root that is trusted here.
    pub fn root_file(&self) -> RootFile {
        RootFile::new(&self.path.join("root.json"))
    }

    /// A passphrase to try before asking for one.
    pub fn remember(&mut self, passphrase: &Passphrase) {
        self.passphrases.remember(passphrase.clone());
    }

    /// Makes the directory, mode 0700; says so if one that exists is open to others.
    ///
    /// # Errors
    /// What the file system says.
    pub fn prepare(&self, console: &Console) -> Result<(), Failure> {
        use std::os::unix::fs::PermissionsExt as _;
        private_file::directory(&self.path)
            .and_then(|()| fs::metadata(&self.path))
            .map(|metadata| {
                let mode = metadata.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    let path = self.path.display();
                    console.say(&format!(
                        "warning: other users can look into {path} (mode {mode:04o}); run: chmod 700 {path}"
                    ));
                }
            })
            .map_err(|error| Failure::file("make the key directory", &self.path, &error))
    }

    /// The key files of a role, oldest first.
    ///
    /// # Errors
    /// What the file system says.
    pub fn files(&self, role: KeyRole) -> Result<Vec<KeyFile>, Failure> {
        let mut files: Vec<(u32, KeyFile)> = (self.names()?.into_iter())
            .filter_map(|name| Some((private_number(role, &name)?, KeyFile::new(&self.path.join(&name)))))
            .collect();
        files.sort_by_key(|(number, _)| *number);
        Ok(files.into_iter().map(|(_, file)| file).collect())
    }

    /// What lies in the directory; nothing when it does not exist.
    fn names(&self) -> Result<Vec<String>, Failure> {
        match fs::read_dir(&self.path) {
            Ok(entries) => {
                Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Failure::file("look into the key directory", &self.path, &error)),
        }
    }

    /// The files that the first `count` keys of a role have.
    pub fn first(&self, role: KeyRole, count: u32) -> Vec<KeyFile> {
        let name = role.name();
        let names = match count {
            1 => vec![format!("{name}.pem")],
            _ => (1..=count).map(|number| format!("{name}-{number}.pem")).collect(),
        };
        names.iter().map(|name| KeyFile::new(&self.path.join(name))).collect()
    }

    /// The files that `count` further keys of a role get: numbers that neither half of a key has. Where only
    /// a public half lies, the private one is with its holder, and may be in force.
    ///
    /// # Errors
    /// What the file system says; no number is left.
    pub fn further(&self, role: KeyRole, count: u32) -> Result<Vec<KeyFile>, Failure> {
        let names = self.names()?;
        let numbers = names.iter().filter_map(|name| number_of(role, name.strip_suffix(".pub")?));
        let numbers = numbers.chain(names.iter().filter_map(|name| private_number(role, name)));
        let highest = numbers.max().unwrap_or(0);
        let last = highest.checked_add(count).ok_or_else(|| {
            Failure::new(format!("no number is left for a new {} key", role.name()))
                .hint(format!("the highest in use is {highest}: look into {}", self.path.display()))
                .reason("FILE_UNUSABLE")
        })?;
        let path = |number| self.path.join(format!("{}-{number}.pem", role.name()));
        Ok((highest + 1..=last).map(|number| KeyFile::new(&path(number))).collect())
    }

    /// Reads a key; asks for its passphrase if it is encrypted and none that is known fits.
    ///
    /// # Errors
    /// No such key, a wrong passphrase, a file that is no key.
    pub fn load(&mut self, file: &KeyFile) -> Result<Box<dyn Signer>, Failure> {
        file.load(&mut self.passphrases)
    }

    /// The public half of a key: from the file beside it, or where there is none, from the key.
    ///
    /// # Errors
    /// As [`KeyDir::load`].
    pub fn public(&mut self, file: &KeyFile) -> Result<PublicKey, Failure> {
        file.public(&mut self.passphrases)
    }

    /// The public halves of every key of a role.
    ///
    /// # Errors
    /// As [`KeyDir::load`].
    pub fn all_public(&mut self, role: KeyRole) -> Result<Vec<PublicKey>, Failure> {
        self.files(role)?.iter().map(|file| self.public(file)).collect()
    }

    /// The keys of this directory that `authority` names, as many as have to sign.
    ///
    /// # Errors
    /// No key of the role, fewer than have to sign, and as [`KeyDir::load`].
    pub fn signers(&mut self, role: KeyRole, authority: &Authority) -> Result<Vec<Box<dyn Signer>>, Failure> {
        let (named, files) = (authority.public_keys(), self.files(role)?);
        let (mut fitting, mut unreadable) = (Vec::new(), None);
        for file in &files {
            // What was left by a run that was cut off, or has another passphrase, matters only if it is needed.
            match self.public(file) {
                Ok(key) if named.contains(&key) => fitting.push(file),
                Ok(_) => {}
                Err(error) => unreadable = unreadable.or(Some(error)),
            }
        }
        if let (true, Some(error)) = (fitting.len() < authority.threshold(), unreadable) {
            return Err(error);
        }
        if fitting.is_empty() {
            return Err(self.missing(role, files.is_empty()));
        }
        if fitting.len() < authority.threshold() {
            let (path, name) = (self.path.display(), role.name());
            return Err(Failure::new(format!(
                "{} of {name} have to sign, and {path} holds {}",
                human::counted(authority.threshold() as u64, "key"),
                human::counted(fitting.len() as u64, "key")
            ))
            .hint("make a draft (--out DRAFT), and have the others sign it: slipway release sign DRAFT --key FILE")
            .reason("SIGNATURES_MISSING"));
        }
        fitting.into_iter().take(authority.threshold()).map(|file| self.load(file)).collect()
    }

    /// No such key: one that a root names can only come from its copy, the others were never made.
    fn missing(&self, role: KeyRole, is_empty: bool) -> Failure {
        let (path, name) = (self.path.display(), role.name());
        if !is_empty {
            return match role {
                KeyRole::Publisher => {
                    Failure::new("the publisher key of this directory may not sign this product")
                        .hint("use the key directory of that product's publisher, or another --product")
                        .reason("PUBLISHER_NOT_AUTHORIZED")
                }
                _ => Failure::new(format!("no {name} key in {path} is one that the server's trust names"))
                    .hint("it was rotated: use the key that replaced it; `slipway trust show` lists them")
                    .reason("KEY_NOT_NAMED"),
            };
        }
        let failure = Failure::new(format!("there is no key {path}/{name}.pem")).reason("KEY_MALFORMED");
        match self.root_file().path().exists() {
            true => failure.hint(format!(
                "the server trusts that key and no other: bring it back from its copy: cp COPY/{name}.pem {path}/"
            )),
            false => failure.hint(format!(
                "name the directory that `slipway trust init` filled with --keys; \
                 for a server that has no keys yet, make them: slipway trust init --keys {path}"
            )),
        }
    }
}

/// The number of a private half.
fn private_number(role: KeyRole, name: &str) -> Option<u32> {
    number_of(role, name.strip_suffix(".pem")?)
}

/// `root` is number 1, and so is `root-1`.
fn number_of(role: KeyRole, stem: &str) -> Option<u32> {
    match stem.strip_prefix(role.name())? {
        "" => Some(1),
        rest => rest.strip_prefix('-')?.parse().ok(),
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;

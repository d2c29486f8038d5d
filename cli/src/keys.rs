//! The directory of a publisher's keys: `root.pem`, `targets.pem`, `publisher.pem`, `root.json`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use slipway_trust::{SecretKey, SignError, TrustedSet};
use zeroize::Zeroizing;

use crate::{
    error::Failure,
    output::Console,
    passphrase::{self, Passphrase},
    private_file, rng,
};

/// Which key of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyName {
    /// Signs who may sign.
    Root,
    /// Signs which products there are and who publishes them.
    Targets,
    /// Signs releases.
    Publisher,
}

impl KeyName {
    /// In the order in which they are made.
    pub const ALL: [Self; 3] = [Self::Root, Self::Targets, Self::Publisher];

    /// Its file in the directory.
    pub fn file(self) -> &'static str {
        match self {
            Self::Root => "root.pem",
            Self::Targets => "targets.pem",
            Self::Publisher => "publisher.pem",
        }
    }
}

/// A directory of keys. Remembers a passphrase that fitted, so that it is asked for once.
pub struct KeyDir {
    path: PathBuf,
    passphrase_file: Option<PathBuf>,
    passphrase: Option<Passphrase>,
}

impl KeyDir {
    /// The directory at `path`; it need not exist.
    pub fn new(path: &Path, passphrase_file: Option<&Path>) -> Self {
        Self { path: path.to_owned(), passphrase_file: passphrase_file.map(Path::to_owned), passphrase: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A passphrase to try before asking for one.
    pub fn remember(&mut self, passphrase: &Passphrase) {
        self.passphrase = Some(passphrase.clone());
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

    /// Whether the key is there.
    pub fn has(&self, name: KeyName) -> bool {
        self.file(name).exists()
    }

    /// Makes a key and stores it, encrypted if there is a passphrase. It is durable when this returns.
    ///
    /// # Errors
    /// A key of that name exists; what the file system says.
    pub fn create(&self, name: KeyName, passphrase: Option<&Passphrase>) -> Result<SecretKey, Failure> {
        let key = SecretKey::from_seed(*rng::key_seed());
        let pem = match passphrase {
            None => key.to_pem(),
            Some(passphrase) => key.to_encrypted_pem(passphrase.as_bytes(), rng::salt()),
        };
        let path = self.file(name);
        let pem = pem.map_err(|error| unusable(&path, &error))?;
        private_file::create(&path, pem.as_bytes())
            .map_err(|error| Failure::file("write the key", &path, &error))?;
        Ok(key)
    }

    /// Reads a key; asks for its passphrase if it is encrypted and none that is known fits.
    ///
    /// # Errors
    /// No such key, a wrong passphrase, a file that is no key.
    pub fn load(&mut self, name: KeyName) -> Result<SecretKey, Failure> {
        let path = self.file(name);
        let pem = fs::read_to_string(&path).map(Zeroizing::new).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.missing(name),
            _ => Failure::file("read the key", &path, &error),
        })?;
        if !SecretKey::pem_is_encrypted(&pem) {
            return SecretKey::from_pem(&pem, None).map_err(|error| unusable(&path, &error));
        }
        if let Some(known) = &self.passphrase
            && let Ok(key) = SecretKey::from_pem(&pem, Some(known.as_bytes()))
        {
            return Ok(key);
        }
        let passphrase = passphrase::for_existing_keys(self.passphrase_file.as_deref(), &self.path)?;
        let key = SecretKey::from_pem(&pem, Some(passphrase.as_bytes()))
            .map_err(|error| unusable(&path, &error))?;
        self.passphrase = Some(passphrase);
        Ok(key)
    }

    /// No such key: one that a root names can only come from its copy, the others were never made.
    fn missing(&self, name: KeyName) -> Failure {
        let (path, file) = (self.path.display(), name.file());
        let failure = Failure::new(format!("there is no key {path}/{file}")).reason("KEY_MALFORMED");
        match self.root_file().exists() {
            true => failure.hint(format!(
                "the server trusts that key and no other: bring it back from its copy: cp COPY/{file} {path}/"
            )),
            false => failure.hint(format!(
                "name the directory that `slipway trust init` filled with --keys; \
                 for a server that has no keys yet, make them: slipway trust init --keys {path}"
            )),
        }
    }

    /// A root of this directory, as devices start to believe it.
    ///
    /// # Errors
    /// A file that is no root.
    pub fn trusted(&self, root: &[u8]) -> Result<TrustedSet, Failure> {
        TrustedSet::from_root(root).map_err(|error| {
            let path = self.path.display();
            Failure::new(format!("{path}/root.json cannot be used: {error}"))
                .hint(format!("bring it back from its copy: cp COPY/root.json {path}/"))
                .reason(error.code())
        })
    }

    /// The newest root this publisher trusts; `None` before there is one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn root(&self) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.root_file();
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file("read the root", &path, &error)),
        }
    }

    /// Keeps a root that was verified. It is durable when this returns.
    ///
    /// # Errors
    /// What the file system says.
    pub fn store_root(&self, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.root_file();
        private_file::replace(&path, bytes).map_err(|error| Failure::file("write the root", &path, &error))
    }

    fn root_file(&self) -> PathBuf {
        self.path.join("root.json")
    }

    fn file(&self, name: KeyName) -> PathBuf {
        self.path.join(name.file())
    }
}

fn unusable(path: &Path, error: &SignError) -> Failure {
    // What a parser of PKCS#8 says helps nobody.
    let why = match error {
        SignError::KeyMalformed(_) => "it is not an ed25519 private key, or it is damaged".to_owned(),
        other => other.to_string(),
    };
    let failure = Failure::new(format!("the key {} cannot be used: {why}", path.display()));
    match error {
        SignError::PassphraseRequired | SignError::PassphraseWrong => failure
            .hint("use the passphrase that was given to `slipway trust init`")
            .reason("PASSPHRASE_WRONG"),
        _ => failure.hint("restore it from the copy that you keep elsewhere").reason("KEY_MALFORMED"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use slipway_trust::Signer as _;

    use super::*;
    use crate::{clock::Clock, output::Format};

    #[test]
    fn keys_are_private_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let console = Console::to_writers(io::sink(), io::sink(), Format::Table, Clock::Fixed(0));
        let keys = KeyDir::new(&path, None);
        keys.prepare(&console).unwrap();
        let passphrase = Zeroizing::new("correct horse".to_owned());
        let plain = keys.create(KeyName::Root, None).unwrap();
        let secret = keys.create(KeyName::Publisher, Some(&passphrase)).unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("root.pem")), 0o600);
        assert_eq!(mode(&path.join("publisher.pem")), 0o600);
        let pem = fs::read_to_string(path.join("publisher.pem")).unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{pem}");

        let file = dir.path().join("passphrase");
        fs::write(&file, "correct horse\n").unwrap();
        let mut again = KeyDir::new(&path, Some(&file));
        assert_eq!(again.load(KeyName::Root).unwrap().public_key(), plain.public_key());
        assert_eq!(again.load(KeyName::Publisher).unwrap().public_key(), secret.public_key());

        fs::write(&file, "wrong horse\n").unwrap();
        let refusal = KeyDir::new(&path, Some(&file)).load(KeyName::Publisher).err().unwrap();
        assert_eq!(refusal.reason_code(), Some("PASSPHRASE_WRONG"));
        fs::write(path.join("root.pem"), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
            .unwrap();
        let refusal =
            again.load(KeyName::Root).err().unwrap().to_string().replace(&path.display().to_string(), "DIR");
        assert_eq!(
            refusal,
            "error: the key DIR/root.pem cannot be used: it is not an ed25519 private key, or it is damaged\n\
             hint: restore it from the copy that you keep elsewhere\n\
             see docs/errors/KEY_MALFORMED.md"
        );
    }

    #[test]
    fn a_missing_key_says_what_to_run() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = KeyDir::new(dir.path(), None);
        let mut refusal = || {
            let text = keys.load(KeyName::Publisher).err().unwrap().to_string();
            text.replace(&dir.path().display().to_string(), "DIR")
        };
        assert_eq!(
            refusal(),
            "error: there is no key DIR/publisher.pem\n\
             hint: name the directory that `slipway trust init` filled with --keys; \
             for a server that has no keys yet, make them: slipway trust init --keys DIR\n\
             see docs/errors/KEY_MALFORMED.md"
        );
        fs::write(dir.path().join("root.json"), "{}").unwrap();
        assert_eq!(
            refusal(),
            "error: there is no key DIR/publisher.pem\n\
             hint: the server trusts that key and no other: bring it back from its copy: cp COPY/publisher.pem DIR/\n\
             see docs/errors/KEY_MALFORMED.md"
        );
    }

    #[test]
    fn a_key_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = KeyDir::new(dir.path(), None);
        let first = keys.create(KeyName::Root, None).unwrap();
        assert!(keys.create(KeyName::Root, None).is_err());
        assert_eq!(keys.load(KeyName::Root).unwrap().public_key(), first.public_key());
    }
}

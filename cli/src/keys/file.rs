//! One key in a file: PKCS#8 PEM, encrypted unless somebody asked for it not to be. What comes out is a
//! [`Signer`]: whoever signs does not know where the key is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use slipway_trust::{PublicKey, SecretKey, SignError, Signer};
use zeroize::Zeroizing;

use crate::{
    error::Failure,
    input,
    passphrase::{Passphrase, Passphrases},
    private_file, rng,
};

/// The file of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// The file at `path`; it need not exist.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its name without the directory.
    pub fn name(&self) -> String {
        self.0.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Makes a key and stores it, encrypted if there is a passphrase, with its public half beside it.
    /// Both are durable when this returns.
    ///
    /// # Errors
    /// A file with either half exists; what the file system says.
    pub fn create(&self, passphrase: Option<&Passphrase>) -> Result<PublicKey, Failure> {
        let beside = self.public_path();
        if !self.exists() && beside.exists() {
            // Its private half is with its holder, and it may be in force.
            return Err(Failure::new(format!(
                "cannot make the key {}: {} is the public half of another",
                self.0.display(),
                beside.display()
            ))
            .hint("give the new key a name that is not taken; or remove that file if nobody uses its key")
            .reason("FILE_UNUSABLE"));
        }
        let key = SecretKey::from_seed(*rng::key_seed());
        let pem = match passphrase {
            None => key.to_pem(),
            Some(passphrase) => key.to_encrypted_pem(passphrase.as_bytes(), rng::salt()),
        };
        let pem = pem.map_err(|error| self.unusable(&error))?;
        private_file::create(&self.0, pem.as_bytes())
            .map_err(|error| Failure::file("write the key", &self.0, &error))?;
        self.put_public(key.public_key())?;
        Ok(key.public_key())
    }

    /// Reads the key; asks for its passphrase if it is encrypted and none that is known fits.
    ///
    /// # Errors
    /// No such key, a wrong passphrase, a file that is no key.
    pub fn load(&self, passphrases: &mut Passphrases) -> Result<Box<dyn Signer>, Failure> {
        let key = self.read(passphrases)?;
        let beside = self.public_path();
        if beside.exists() && read_public(&beside)? != key.public_key() {
            return Err(Failure::new(format!(
                "{} is not the public half of {}",
                beside.display(),
                self.0.display()
            ))
            .hint("restore both from the copy that you keep elsewhere")
            .reason("KEY_MALFORMED"));
        }
        Ok(Box::new(key))
    }

    /// The public half: from the file beside it, or where there is none, from the key.
    ///
    /// # Errors
    /// As [`KeyFile::load`].
    pub fn public(&self, passphrases: &mut Passphrases) -> Result<PublicKey, Failure> {
        let beside = self.public_path();
        if beside.exists() {
            return read_public(&beside);
        }
        Ok(self.read(passphrases)?.public_key())
    }

    /// Writes the public half where a run that was cut left none.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_public(&self, key: PublicKey) -> Result<(), Failure> {
        if self.public_path().exists() { Ok(()) } else { self.put_public(key) }
    }

    /// Removes the public half, where there is one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove_public(&self) -> Result<(), Failure> {
        let path = self.public_path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::file("remove the public key", &path, &error))
            }
            _ => Ok(()),
        }
    }

    fn put_public(&self, key: PublicKey) -> Result<(), Failure> {
        let path = self.public_path();
        private_file::replace(&path, format!("{key}\n").as_bytes())
            .map_err(|error| Failure::file("write the public key", &path, &error))
    }

    fn public_path(&self) -> PathBuf {
        self.0.with_extension("pub")
    }

    fn read(&self, passphrases: &mut Passphrases) -> Result<SecretKey, Failure> {
        let pem =
            input::text(&self.0, input::SMALL).map(Zeroizing::new).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Failure::new(format!("there is no key {}", self.0.display()))
                    .hint("check the path; or bring the key back from its copy")
                    .reason("KEY_MALFORMED"),
                _ => Failure::file("read the key", &self.0, &error),
            })?;
        if !SecretKey::pem_is_encrypted(&pem) {
            return SecretKey::from_pem(&pem, None).map_err(|error| self.unusable(&error));
        }
        let open = |passphrase: &Passphrase| SecretKey::from_pem(&pem, Some(passphrase.as_bytes()));
        if let Some(key) = passphrases.known().iter().find_map(|known| open(known).ok()) {
            return Ok(key);
        }
        match passphrases.another(&self.0)? {
            Some(passphrase) => open(&passphrase).map_err(|error| self.unusable(&error)),
            None => Err(self.unusable(&SignError::PassphraseWrong)),
        }
    }

    fn unusable(&self, error: &SignError) -> Failure {
        // What a parser of PKCS#8 says helps nobody.
        let why = match error {
            SignError::KeyMalformed(_) => "it is not an ed25519 private key, or it is damaged".to_owned(),
            other => other.to_string(),
        };
        let failure = Failure::new(format!("the key {} cannot be used: {why}", self.0.display()));
        match error {
            SignError::PassphraseRequired | SignError::PassphraseWrong => failure
                .hint("use the passphrase that was given when the key was made")
                .reason("PASSPHRASE_WRONG"),
            _ => failure.hint("restore it from the copy that you keep elsewhere").reason("KEY_MALFORMED"),
        }
    }
}

/// A public key from its file: 64 hex digits.
///
/// # Errors
/// What the file system says; a file that holds something else.
pub fn read_public(path: &Path) -> Result<PublicKey, Failure> {
    let text = input::text(path, input::SMALL)
        .map_err(|error| Failure::file("read the public key", path, &error))?;
    text.trim().parse().map_err(|_| {
        Failure::new(format!("{} holds no public key", path.display()))
            .hint("it is the file that ends in .pub, with 64 hex digits; not the private key")
            .reason("KEY_MALFORMED")
    })
}

//! Where the passphrase of the keys comes from: a file, an open file descriptor, or the terminal. Never
//! from an argument: everybody on a machine can read the command lines of its processes.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::{
    args::{KnownPassphrase, NewPassphrase},
    error::Failure,
    input,
};

/// Short ones are guessed faster than a stolen key is noticed.
const MIN_LENGTH: usize = 8;

/// A secret text, wiped when dropped.
pub type Passphrase = Zeroizing<String>;

/// Where to get a passphrase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// A person at the terminal of this process.
    #[default]
    Terminal,
    /// The first line of a file.
    File(PathBuf),
    /// The first line of what this file descriptor gives.
    Descriptor(u32),
}

impl Source {
    fn choose(file: Option<&PathBuf>, descriptor: Option<u32>) -> Self {
        match (file, descriptor) {
            (Some(path), _) => Self::File(path.clone()),
            (None, Some(number)) => Self::Descriptor(number),
            (None, None) => Self::Terminal,
        }
    }

    /// The first line, as it stands; a terminal is asked with `prompt`.
    fn line(&self, prompt: &str) -> Result<Passphrase, Failure> {
        match self {
            Self::Terminal => ask(prompt),
            Self::File(path) => {
                let text = input::text(path, input::SMALL)
                    .map(Zeroizing::new)
                    .map_err(|error| Failure::file("read the passphrase file", path, &error))?;
                let line = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
                not_empty(line, &format!("the passphrase file {} is empty", path.display()))
            }
            Self::Descriptor(number) => {
                let path = PathBuf::from(format!("/dev/fd/{number}"));
                let unreadable =
                    |error: std::io::Error| Failure::file("read the passphrase from", &path, &error);
                let mut line = Zeroizing::new(String::new());
                BufReader::new(File::open(&path).map_err(unreadable)?)
                    .read_line(&mut line)
                    .map_err(unreadable)?;
                let length = line.trim_end_matches(['\n', '\r']).len();
                line.truncate(length);
                not_empty(line, &format!("file descriptor {number} gives no passphrase"))
            }
        }
    }
}

impl KnownPassphrase {
    /// Where the passphrase of keys that exist comes from.
    pub fn source(&self) -> Source {
        Source::choose(self.passphrase_file.as_ref(), self.passphrase_fd)
    }
}

impl NewPassphrase {
    /// Where the passphrase of new keys comes from, if they have one.
    pub fn source(&self) -> Source {
        Source::choose(self.passphrase_file.as_ref(), self.passphrase_fd)
    }
}

/// The passphrase for keys that are made now; `None` leaves them unencrypted. A terminal is asked twice.
///
/// # Errors
/// A file without a passphrase, two entries that differ, no terminal to ask on.
pub fn for_new_keys(choice: &NewPassphrase) -> Result<Option<Passphrase>, Failure> {
    if choice.no_passphrase {
        return Ok(None);
    }
    let source = choice.source();
    let first = long_enough(source.line("passphrase for the new keys: ")?)?;
    if source == Source::Terminal && *first != *ask("the same passphrase again: ")? {
        return Err(
            Failure::new("the two passphrases differ").hint("nothing was made; run the command again")
        );
    }
    Ok(Some(first))
}

/// The passphrases of keys that exist: those that are known, and where others come from.
#[derive(Debug, Default)]
pub struct Passphrases {
    source: Source,
    known: Vec<Passphrase>,
    /// A file or a descriptor says the same each time, and a descriptor only once.
    is_read: bool,
}

impl Passphrases {
    /// None is known yet.
    pub fn new(source: Source) -> Self {
        Self { source, ..Self::default() }
    }

    /// One to try before asking.
    pub fn remember(&mut self, passphrase: Passphrase) {
        self.known.push(passphrase);
    }

    /// Those that are known.
    pub fn known(&self) -> &[Passphrase] {
        &self.known
    }

    /// Another one, for the key at `path`; `None` when there is none to be had.
    ///
    /// # Errors
    /// A file without a passphrase, no terminal to ask on.
    pub fn another(&mut self, path: &Path) -> Result<Option<Passphrase>, Failure> {
        if self.is_read {
            return Ok(None);
        }
        self.is_read = self.source != Source::Terminal;
        let passphrase = self.source.line(&format!("passphrase of {}: ", path.display()))?;
        self.known.push(passphrase.clone());
        Ok(Some(passphrase))
    }
}

fn not_empty(line: Passphrase, otherwise: &str) -> Result<Passphrase, Failure> {
    match line.is_empty() {
        false => Ok(line),
        true => Err(Failure::new(otherwise)
            .hint("its first line is the passphrase")
            .reason("PASSPHRASE_REQUIRED")),
    }
}

fn ask(prompt: &str) -> Result<Passphrase, Failure> {
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|_| {
        Failure::new("there is no terminal to ask for the passphrase on")
            .hint("give --passphrase-file FILE or --passphrase-fd N, whose first line is the passphrase")
            .reason("PASSPHRASE_REQUIRED")
    })
}

fn long_enough(passphrase: Passphrase) -> Result<Passphrase, Failure> {
    match passphrase.chars().count() >= MIN_LENGTH {
        true => Ok(passphrase),
        false => Err(Failure::new(format!("the passphrase has fewer than {MIN_LENGTH} characters")).hint(
            "take several words; or --no-passphrase, if the keys lie somewhere that is encrypted itself",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use std::{io::Write as _, os::fd::AsRawFd as _};

    use super::*;

    #[test]
    fn a_file_gives_its_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p");
        let choice = |path: &Path| NewPassphrase {
            passphrase_file: Some(path.to_owned()),
            ..NewPassphrase::default()
        };
        fs::write(&file, "correct horse\nsecond line\n").unwrap();
        assert_eq!(for_new_keys(&choice(&file)).unwrap().unwrap().as_str(), "correct horse");
        fs::write(&file, "short\n").unwrap();
        let refusal = for_new_keys(&choice(&file)).unwrap_err().to_string();
        assert!(refusal.starts_with("error: the passphrase has fewer than 8 characters\n"), "{refusal}");
        fs::write(&file, "\n").unwrap();
        assert!(for_new_keys(&choice(&file)).is_err());
        let none = NewPassphrase { no_passphrase: true, ..NewPassphrase::default() };
        assert!(for_new_keys(&none).unwrap().is_none());
    }

    #[test]
    fn a_descriptor_gives_its_first_line_once() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"correct horse\nmore\n").unwrap();
        drop(writer);
        let number = u32::try_from(reader.as_raw_fd()).unwrap();
        let mut passphrases = Passphrases::new(Source::Descriptor(number));
        let path = Path::new("root.pem");
        assert_eq!(passphrases.another(path).unwrap().unwrap().as_str(), "correct horse");
        assert_eq!(passphrases.known().len(), 1);
        assert!(passphrases.another(path).unwrap().is_none());
    }
}

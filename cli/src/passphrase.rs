//! Where the passphrase of the keys comes from: a file, or the terminal.

use std::{fs, path::Path};

use zeroize::Zeroizing;

use crate::{args::NewPassphrase, error::Failure};

/// Short ones are guessed faster than a stolen key is noticed.
const MIN_LENGTH: usize = 8;

/// A secret text, wiped when dropped.
pub type Passphrase = Zeroizing<String>;

/// The passphrase for keys that are made now; `None` leaves them unencrypted. A terminal is asked twice.
///
/// # Errors
/// A file without a passphrase, two entries that differ, no terminal to ask on.
pub fn for_new_keys(choice: &NewPassphrase) -> Result<Option<Passphrase>, Failure> {
    if choice.no_passphrase {
        return Ok(None);
    }
    if let Some(path) = &choice.passphrase_file {
        return long_enough(from_file(path)?).map(Some);
    }
    let first = long_enough(ask("passphrase for the new keys: ")?)?;
    let second = ask("the same passphrase again: ")?;
    if *first != *second {
        return Err(
            Failure::new("the two passphrases differ").hint("nothing was made; run the command again")
        );
    }
    Ok(Some(first))
}

/// The passphrase of keys that exist.
///
/// # Errors
/// A file without a passphrase, no terminal to ask on.
pub fn for_existing_keys(file: Option<&Path>, directory: &Path) -> Result<Passphrase, Failure> {
    match file {
        Some(path) => from_file(path),
        None => ask(&format!("passphrase of the keys in {}: ", directory.display())),
    }
}

fn from_file(path: &Path) -> Result<Passphrase, Failure> {
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| Failure::file("read the passphrase file", path, &error))?;
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    if line.is_empty() {
        return Err(Failure::new(format!("the passphrase file {} is empty", path.display()))
            .hint("its first line is the passphrase")
            .reason("PASSPHRASE_REQUIRED"));
    }
    Ok(line)
}

fn ask(prompt: &str) -> Result<Passphrase, Failure> {
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|_| {
        Failure::new("there is no terminal to ask for the passphrase on")
            .hint("give --passphrase-file FILE, whose first line is the passphrase")
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
    use super::*;

    #[test]
    fn a_file_gives_its_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p");
        let choice =
            |path: &Path| NewPassphrase { no_passphrase: false, passphrase_file: Some(path.to_owned()) };
        fs::write(&file, "correct horse\nsecond line\n").unwrap();
        assert_eq!(for_new_keys(&choice(&file)).unwrap().unwrap().as_str(), "correct horse");
        fs::write(&file, "short\n").unwrap();
        let refusal = for_new_keys(&choice(&file)).unwrap_err().to_string();
        assert!(refusal.starts_with("error: the passphrase has fewer than 8 characters\n"), "{refusal}");
        fs::write(&file, "\n").unwrap();
        assert!(for_new_keys(&choice(&file)).is_err());
        let none = NewPassphrase { no_passphrase: true, passphrase_file: None };
        assert!(for_new_keys(&none).unwrap().is_none());
    }
}

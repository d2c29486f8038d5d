//! The command line that the suites agree on.

use std::path::PathBuf;

/// What is asked for.
pub enum Command {
    /// Start to trust this root file.
    Init(PathBuf),
    /// Bring the top-level metadata up to date.
    Refresh,
    /// That, and fetch targets.
    Download,
}

/// Options and command, in any order.
#[derive(Default)]
pub struct Arguments {
    pub command: Option<Command>,
    pub metadata_dir: PathBuf,
    pub metadata_url: String,
    pub target_names: Vec<String>,
    pub target_base_url: String,
    pub target_dir: PathBuf,
}

impl Arguments {
    /// Reads them; what is unknown or lacks its value is an error for people.
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--metadata-dir" => arguments.metadata_dir = value()?.into(),
                "--metadata-url" => arguments.metadata_url = value()?,
                "--target-name" => arguments.target_names.push(value()?),
                "--target-base-url" => arguments.target_base_url = value()?,
                "--target-dir" => arguments.target_dir = value()?.into(),
                "init" => arguments.command = Some(Command::Init(value()?.into())),
                "refresh" => arguments.command = Some(Command::Refresh),
                "download" => arguments.command = Some(Command::Download),
                _ => return Err(format!("{word}: unknown")),
            }
        }
        Ok(arguments)
    }
}

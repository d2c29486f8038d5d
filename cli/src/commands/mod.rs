//! One file per noun: the call and what is shown of its answer.

pub mod alert;
pub mod alert_show;
pub mod audit;
pub mod audit_verify;
pub mod authority;
pub mod claim;
pub mod completion;
pub mod device;
pub mod device_import;
pub mod device_privacy;
pub mod drafts;
pub mod explain;
pub mod limit;
pub mod limit_apply;
pub mod release;
pub mod release_bundle;
pub mod release_publish;
pub mod rollout;
pub mod silence;
pub mod telemetry;
pub mod telemetry_export;
pub mod token;
pub mod trust;
pub mod trust_init;
pub mod trust_rotate;
pub mod watch;
pub mod wear;
pub mod webhook;
pub mod withdraw;

use std::{collections::HashMap, fs, future::Future, path::Path};

use tonic::Status;

use crate::{
    args::{Args, Command},
    error::Failure,
    output::Console,
    private_file,
};

/// Runs one command.
///
/// # Errors
/// Why it was not done.
pub async fn run(args: Args, console: &Console) -> Result<(), Failure> {
    let connection = &args.connection;
    match args.command {
        Command::Trust(command) => trust::run(command, connection, console).await,
        Command::Release(command) => release::run(command, connection, console).await,
        Command::Claim(command) => claim::run(command, connection, console).await,
        Command::Authority(command) => authority::run(command, connection, console).await,
        Command::Device(command) => device::run(command, connection, console).await,
        Command::Rollout(command) => rollout::run(command, connection, console).await,
        Command::Alert(command) => alert::run(command, connection, console).await,
        Command::Limit(command) => limit::run(command, connection, console).await,
        Command::Wear(command) => wear::run(command, connection, console).await,
        Command::Webhook(command) => webhook::run(command, connection, console).await,
        Command::Telemetry(command) => telemetry::run(command, connection, console).await,
        Command::Token(command) => token::run(command, connection, console).await,
        Command::Audit(command) => audit::run(command, connection, console).await,
        Command::Completion { shell } => completion::run(shell, console),
    }
}

/// The server's largest page.
const PAGE_MAX: usize = 1_000;

/// All pages of a list, one after the other, of which only one is in memory.
async fn pages_of<T, F, Fut>(
    mut page: F,
    mut take: impl FnMut(Vec<T>) -> Result<(), Failure>,
) -> Result<(), Failure>
where
    F: FnMut(i32, String) -> Fut,
    Fut: Future<Output = Result<(Vec<T>, String), Status>>,
{
    let mut token = String::new();
    loop {
        let (entries, next) = page(i32::try_from(PAGE_MAX).unwrap_or(1_000), token).await?;
        take(entries)?;
        if next.is_empty() {
            return Ok(());
        }
        token = next;
    }
}

/// Pages of a list until `max` entries are there (0: all of them); says when there are more.
async fn pages<T, F, Fut>(console: &Console, max: usize, mut page: F) -> Result<Vec<T>, Failure>
where
    F: FnMut(i32, String) -> Fut,
    Fut: Future<Output = Result<(Vec<T>, String), Status>>,
{
    let mut entries = Vec::new();
    let mut token = String::new();
    loop {
        let wanted = if max == 0 { PAGE_MAX } else { (max - entries.len()).min(PAGE_MAX) };
        let (mut more, next) = page(i32::try_from(wanted).unwrap_or(1_000), token).await?;
        entries.append(&mut more);
        if next.is_empty() {
            return Ok(entries);
        }
        if max != 0 && entries.len() >= max {
            console.say(&format!("there are more than these {}; --max 0 shows all", entries.len()));
            return Ok(entries);
        }
        token = next;
    }
}

/// Refuses a file for a secret that cannot be made; asked before the secret itself is.
fn check_new(path: Option<&Path>, what: &str) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    // A link that leads nowhere is something too.
    if path.symlink_metadata().is_ok() {
        return Err(Failure::new(format!("{} exists already", path.display()))
            .hint(format!("name another file; a {what} is never written over something else"))
            .reason("FILE_UNUSABLE"));
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match folder.map(fs::metadata) {
        Some(Err(error)) => Err(Failure::file(&format!("write the {what} to"), path, &error)),
        _ => Ok(()),
    }
}

/// Writes a secret that the server just made, or says how to `end` it.
fn write_secret(path: &Path, what: &str, text: &str, end: &str) -> Result<(), Failure> {
    private_file::create(path, format!("{text}\n").as_bytes()).map_err(|error| {
        Failure::file(&format!("write the {what} to"), path, &error)
            .hint(format!("the {what} was made, and nobody has it; end it: {end}"))
    })
}

/// `a=1, b=2`, by key.
fn labels(map: &HashMap<String, String>) -> String {
    let mut pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs.join(", ")
}

/// A list, or a word that says that it is empty.
fn listed(entries: usize, nothing: &str, table: String) -> String {
    if entries == 0 { nothing.to_owned() } else { table }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{clock::Clock, output::Format};

    #[test]
    fn a_secret_is_not_made_for_a_file_that_cannot_be() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| {
            let text = check_new(Some(path), "token").err().map(|failure| failure.to_string());
            text.map(|text| text.replace(&dir.path().display().to_string(), "DIR"))
        };
        assert_eq!(refusal(&dir.path().join("new")), None);
        assert_eq!(refusal(Path::new("new")), None);
        let text = refusal(&dir.path().join("gone/new")).unwrap();
        assert!(
            text.starts_with("error: cannot write the token to DIR/gone/new: there is no such"),
            "{text}"
        );
        assert!(refusal(dir.path()).unwrap().starts_with("error: DIR exists already\n"));
    }

    #[tokio::test]
    async fn pages_are_followed_up_to_the_limit() {
        let console = Console::to_writers(io::sink(), io::sink(), Format::Table, Clock::Fixed(0));
        let server = |size: i32, token: String| async move {
            let from: i32 = token.parse().unwrap_or(0);
            let to = (from + size.min(400)).min(1_000);
            let next = if to < 1_000 { to.to_string() } else { String::new() };
            Ok(((from..to).collect::<Vec<_>>(), next))
        };
        assert_eq!(pages(&console, 0, server).await.unwrap().len(), 1_000);
        assert_eq!(pages(&console, 500, server).await.unwrap(), (0..500).collect::<Vec<_>>());
    }
}

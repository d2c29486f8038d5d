//! Where the server is and who is calling: a profile file, overridden by flags and environment.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{args::Connection, error::Failure, input, output::Console};

/// The file: `slipwayd serve` writes one as `client.toml`. Paths are relative to the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    server: Option<String>,
    ca: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

/// Everything that a connection needs.
pub struct Profile {
    /// `https://host:port`.
    pub server: String,
    /// PEM of the one CA that is trusted.
    pub ca_pem: Vec<u8>,
    /// Where `ca_pem` came from, for messages.
    pub ca_path: PathBuf,
    /// Bearer token; calls without one are refused by the server.
    pub token: Option<Zeroizing<String>>,
}

impl Profile {
    /// Reads what the flags, the environment and the profile file say, in this order of weight.
    ///
    /// # Errors
    /// Files that are missing or unreadable, and settings that nothing gives.
    pub fn read(connection: &Connection, console: &Console) -> Result<Self, Failure> {
        let connection = &without_empty(connection)?;
        let (path, named) = match &connection.profile {
            Some(path) => (path.clone(), true),
            None => (default_path(), false),
        };
        let file = read_file(&path, named)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let server = connection.server.clone().or(file.server).ok_or_else(|| missing("server", &path))?;
        let ca_path =
            connection.ca.clone().or(file.ca.map(|ca| base.join(ca))).ok_or_else(|| missing("ca", &path))?;
        let ca_pem = input::bytes(&ca_path, input::SMALL).map_err(|error| {
            Failure::file("read the server's CA", &ca_path, &error).hint(
                "it is server-ca.pem in the server's data directory; --ca or SLIPWAY_CA names another file",
            )
            .reason("PROFILE_INVALID")
        })?;
        let token = match env::var("SLIPWAY_TOKEN").ok().filter(|token| !token.is_empty()) {
            Some(token) if connection.token_file.is_none() => Some(Zeroizing::new(token)),
            _ => match connection.token_file.clone().or(file.token_file.map(|token| base.join(token))) {
                Some(path) => Some(read_token(&path, console)?),
                None => None,
            },
        };
        Ok(Self { server, ca_pem, ca_path, token })
    }
}

/// What is empty in the environment is not set; what is empty on the command line is a mistake, likely of a script.
fn without_empty(connection: &Connection) -> Result<Connection, Failure> {
    let is_empty = |path: &PathBuf| path.as_os_str().is_empty();
    Ok(Connection {
        profile: given(connection.profile.as_ref(), is_empty, "--profile", "SLIPWAY_PROFILE")?,
        server: given(connection.server.as_ref(), String::is_empty, "--server", "SLIPWAY_SERVER")?,
        ca: given(connection.ca.as_ref(), is_empty, "--ca", "SLIPWAY_CA")?,
        token_file: given(connection.token_file.as_ref(), is_empty, "--token-file", "SLIPWAY_TOKEN_FILE")?,
    })
}

fn given<T: Clone>(
    value: Option<&T>,
    is_empty: impl Fn(&T) -> bool,
    flag: &str,
    variable: &str,
) -> Result<Option<T>, Failure> {
    match value {
        Some(value) if !is_empty(value) => Ok(Some(value.clone())),
        Some(_) if env::var_os(variable).is_none_or(|text| !text.is_empty()) => {
            Err(Failure::new(format!("{flag} is empty"))
                .hint(format!(
                    "give it a value, or leave it out; is a variable of your script not set? ({flag} \"$X\")"
                ))
                .reason("PROFILE_INVALID"))
        }
        _ => Ok(None),
    }
}

fn default_path() -> PathBuf {
    let config = env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let config = config.or_else(|| env::home_dir().map(|home| home.join(".config")));
    config.unwrap_or_default().join("slipway/profile.toml")
}

fn read_file(path: &Path, named: bool) -> Result<ProfileFile, Failure> {
    let text = match input::text(path, input::SMALL) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return Ok(ProfileFile::default()),
        Err(error) => {
            return Err(Failure::file("read the profile", path, &error)
                .hint("slipwayd writes one as client.toml into its data directory when it starts")
                .reason("PROFILE_INVALID"));
        }
    };
    toml::from_str(&text).map_err(|error| {
        Failure::new(format!("the profile {} is not valid\n{}", path.display(), error.to_string().trim_end()))
            .hint("it may hold server, ca and token_file, each a text in quotes")
            .reason("PROFILE_INVALID")
    })
}

fn read_token(path: &Path, console: &Console) -> Result<Zeroizing<String>, Failure> {
    let text = input::text(path, input::SMALL).map(Zeroizing::new).map_err(|error| {
        Failure::file("read the token file", path, &error)
            .hint("an admin makes tokens with `slipway token create`; --token-file or SLIPWAY_TOKEN_FILE names the file")
            .reason("PROFILE_INVALID")
    })?;
    let token = Zeroizing::new(text.trim().to_owned());
    if token.is_empty() {
        return Err(Failure::new(format!("the token file {} is empty", path.display()))
            .hint("an admin makes tokens with `slipway token create`")
            .reason("PROFILE_INVALID"));
    }
    #[cfg(unix)]
    if let Some(mode) = others_may_read(path) {
        console.say(&format!(
            "warning: other users can read the token in {0} (mode {mode:04o}); run: chmod 600 {0}",
            path.display()
        ));
    }
    Ok(token)
}

#[cfg(unix)]
fn others_may_read(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

fn missing(what: &str, path: &Path) -> Failure {
    let (flag, variable) = match what {
        "ca" => ("--ca", "SLIPWAY_CA"),
        _ => ("--server", "SLIPWAY_SERVER"),
    };
    Failure::new(format!(
        "no {what} is given: neither by {flag}, nor by {variable}, nor in {}",
        path.display()
    ))
    .hint("use the profile that slipwayd wrote: --profile DATA/client.toml, or SLIPWAY_PROFILE")
    .reason("PROFILE_INVALID")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{clock::Clock, output::Format, testing::Shared};

    fn read(dir: &Path, connection: Connection) -> (Result<Profile, String>, String) {
        let talk = Shared::default();
        let console = Console::to_writers(io::sink(), talk.clone(), Format::Table, Clock::Fixed(0));
        let profile = Profile::read(&connection, &console).map_err(|f| f.to_string());
        let place = dir.display().to_string();
        (profile.map_err(|text| text.replace(&place, "DIR")), talk.text().replace(&place, "DIR"))
    }

    fn named(dir: &Path) -> Connection {
        Connection { profile: Some(dir.join("client.toml")), ..Connection::default() }
    }

    #[test]
    fn paths_are_relative_to_the_file_and_flags_win() {
        let dir = tempfile::tempdir().unwrap();
        let profile = "server = \"https://a:1\"\nca = \"ca.pem\"\ntoken_file = \"admin.token\"\n";
        fs::write(dir.path().join("client.toml"), profile).unwrap();
        fs::write(dir.path().join("ca.pem"), "CA").unwrap();
        let token = dir.path().join("admin.token");
        fs::write(&token, "slip_1_x\n").unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();

        let (profile, talk) = read(dir.path(), named(dir.path()));
        let profile = profile.unwrap();
        assert_eq!((profile.server.as_str(), profile.ca_pem.as_slice()), ("https://a:1", b"CA".as_slice()));
        assert_eq!(profile.token.unwrap().as_str(), "slip_1_x");
        assert_eq!(talk, "");

        let (profile, _) =
            read(dir.path(), Connection { server: Some("https://b:2".into()), ..named(dir.path()) });
        assert_eq!(profile.unwrap().server, "https://b:2");

        fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
        let (_, talk) = read(dir.path(), named(dir.path()));
        assert_eq!(
            talk,
            "warning: other users can read the token in DIR/admin.token (mode 0644); run: chmod 600 DIR/admin.token\n"
        );
    }

    #[test]
    fn an_empty_flag_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let empty = Connection { profile: Some(PathBuf::new()), ..Connection::default() };
        assert_eq!(
            read(dir.path(), empty).0.err().unwrap(),
            "error: --profile is empty\n\
             hint: give it a value, or leave it out; is a variable of your script not set? (--profile \"$X\")\n\
             see docs/errors/PROFILE_INVALID.md"
        );
        let empty = Connection { server: Some(String::new()), ..named(dir.path()) };
        assert!(read(dir.path(), empty).0.err().unwrap().starts_with("error: --server is empty\n"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |connection| read(dir.path(), connection).0.err().unwrap();
        assert_eq!(
            refusal(named(dir.path())),
            "error: cannot read the profile DIR/client.toml: there is no such file or directory\n\
             hint: slipwayd writes one as client.toml into its data directory when it starts\n\
             see docs/errors/PROFILE_INVALID.md"
        );
        fs::write(dir.path().join("client.toml"), "").unwrap();
        assert_eq!(
            refusal(named(dir.path())),
            "error: no server is given: neither by --server, nor by SLIPWAY_SERVER, nor in DIR/client.toml\n\
             hint: use the profile that slipwayd wrote: --profile DATA/client.toml, or SLIPWAY_PROFILE\n\
             see docs/errors/PROFILE_INVALID.md"
        );
        fs::write(dir.path().join("client.toml"), "serve = 1").unwrap();
        assert!(refusal(named(dir.path())).starts_with("error: the profile DIR/client.toml is not valid\n"));
    }
}

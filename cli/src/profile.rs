//! Where the server is and who is calling: a profile file, overridden by flags and environment.

use std::{
    env,
    ffi::OsString,
    fs, io,
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

/// A variable of the environment, or of a test.
type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Profile {
    /// Reads what the flags, the environment and the profile file say, in this order of weight.
    ///
    /// # Errors
    /// Files that are missing or unreadable, and settings that nothing gives.
    pub fn read(connection: &Connection, console: &Console) -> Result<Self, Failure> {
        Self::read_with(connection, &|name| env::var_os(name), console)
    }

    fn read_with(connection: &Connection, variable: Variable, console: &Console) -> Result<Self, Failure> {
        let file_given = |value: Option<&PathBuf>, flag, name| {
            given(value, flag, variable(name).map(PathBuf::from), name, |path| path.as_os_str().is_empty())
        };
        let named = file_given(connection.profile.as_ref(), "--profile", "SLIPWAY_PROFILE")?;
        let (path, by) = match named {
            Some((path, by)) => (path, Some(by)),
            None => (default_path(), None),
        };
        let in_env = variable("SLIPWAY_SERVER").map(|text| text.to_string_lossy().into_owned());
        let server =
            given(connection.server.as_ref(), "--server", in_env, "SLIPWAY_SERVER", String::is_empty)?;
        let ca = file_given(connection.ca.as_ref(), "--ca", "SLIPWAY_CA")?;
        let token_file = file_given(connection.token_file.as_ref(), "--token-file", "SLIPWAY_TOKEN_FILE")?;
        let token_file = token_file.map(|(path, _)| path);

        let file = read_file(&path, by)?;
        let is_there = file.is_some();
        let file = file.unwrap_or_default();
        let base = path.parent().unwrap_or(Path::new(""));
        let server = server.map(|(server, _)| server).or(file.server);
        let server = server.ok_or_else(|| missing("server", &path, is_there))?;
        let ca_path = ca.map(|(ca, _)| ca).or(file.ca.map(|ca| base.join(ca)));
        let ca_path = ca_path.ok_or_else(|| missing("ca", &path, is_there))?;
        let ca_pem = input::bytes(&ca_path, input::SMALL).map_err(|error| {
            Failure::file("read the server's CA", &ca_path, &error).hint(
                "it is server-ca.pem in the server's data directory; --ca or SLIPWAY_CA names another file",
            )
            .reason("PROFILE_INVALID")
        })?;
        let in_env = variable("SLIPWAY_TOKEN").and_then(|token| token.into_string().ok());
        let token = match in_env.filter(|token| !token.is_empty()) {
            Some(token) if token_file.is_none() => Some(Zeroizing::new(token)),
            _ => match token_file.or(file.token_file.map(|token| base.join(token))) {
                Some(path) => Some(read_token(&path, console)?),
                None => None,
            },
        };
        Ok(Self { server, ca_pem, ca_path, token })
    }
}

/// One setting and who gives it: the flag, or else the variable. What is empty in the environment is not set; what is empty on
/// the command line is a mistake, likely of a script.
fn given<T: Clone>(
    value: Option<&T>,
    flag: &'static str,
    in_env: Option<T>,
    variable: &'static str,
    is_empty: impl Fn(&T) -> bool,
) -> Result<Option<(T, &'static str)>, Failure> {
    match value {
        Some(value) if is_empty(value) => Err(Failure::new(format!("{flag} is empty"))
            .hint(format!(
                "give it a value, or leave it out; is a variable of your script not set? ({flag} \"$X\")"
            ))
            .reason("PROFILE_INVALID")),
        Some(value) => Ok(Some((value.clone(), flag))),
        None => Ok(in_env.filter(|value| !is_empty(value)).map(|value| (value, variable))),
    }
}

fn default_path() -> PathBuf {
    let config = env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let config = config.or_else(|| env::home_dir().map(|home| home.join(".config")));
    config.unwrap_or_default().join("slipway/profile.toml")
}

/// None where there is no file, and nobody (`by`) named one.
fn read_file(path: &Path, by: Option<&str>) -> Result<Option<ProfileFile>, Failure> {
    let text = match input::text(path, input::SMALL) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && by.is_none() => return Ok(None),
        Err(error) => {
            let what = match by {
                Some(by) => format!("read the profile that {by} names,"),
                None => "read the profile".to_owned(),
            };
            return Err(Failure::file(&what, path, &error)
                .hint(
                    "a profile is a file: name the one that slipwayd wrote into its data directory, DATA/client.toml, \
                     or one with server, ca and token_file of your own",
                )
                .reason("PROFILE_INVALID"));
        }
    };
    toml::from_str(&text).map(Some).map_err(|error| {
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

fn missing(what: &str, path: &Path, is_there: bool) -> Failure {
    let (flag, variable) = match what {
        "ca" => ("--ca", "SLIPWAY_CA"),
        _ => ("--server", "SLIPWAY_SERVER"),
    };
    let path = path.display();
    let failure = if is_there {
        let what = format!("the profile {path} has no {what}, and neither {flag} nor {variable} gives one");
        Failure::new(what).hint(format!("write it into the profile: {}", example(flag)))
    } else {
        Failure::new(format!(
            "no {what} is given: neither by {flag}, nor by {variable}, and there is no profile {path}"
        ))
        .hint("copy the profile that slipwayd wrote there, or name it: --profile DATA/client.toml, or SLIPWAY_PROFILE")
    };
    failure.reason("PROFILE_INVALID")
}

/// The line of a profile.
fn example(flag: &str) -> &'static str {
    match flag {
        "--ca" => "ca = \"server-ca.pem\"",
        _ => "server = \"https://fleet.example:7443\"",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{clock::Clock, output::Format, testing::Shared};

    fn read(dir: &Path, connection: Connection) -> (Result<Profile, String>, String) {
        let talk = Shared::default();
        let console = Console::to_writers(io::sink(), talk.clone(), Format::Table, Clock::Fixed(0));
        let profile = Profile::read_with(&connection, &|_| None, &console).map_err(|f| f.to_string());
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
        let hint = "hint: a profile is a file: name the one that slipwayd wrote into its data directory, DATA/client.toml, \
                    or one with server, ca and token_file of your own\n\
                    see docs/errors/PROFILE_INVALID.md";
        assert_eq!(
            refusal(named(dir.path())),
            format!(
                "error: cannot read the profile that --profile names, DIR/client.toml: there is no such file or directory\n{hint}"
            )
        );
        fs::write(dir.path().join("client.toml"), "").unwrap();
        assert_eq!(
            refusal(named(dir.path())),
            "error: the profile DIR/client.toml has no server, and neither --server nor SLIPWAY_SERVER gives one\n\
             hint: write it into the profile: server = \"https://fleet.example:7443\"\n\
             see docs/errors/PROFILE_INVALID.md"
        );
        fs::write(dir.path().join("client.toml"), "serve = 1").unwrap();
        assert!(refusal(named(dir.path())).starts_with("error: the profile DIR/client.toml is not valid\n"));
    }

    #[test]
    fn variables_stand_in_for_flags_and_are_named_when_they_mislead() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), "CA").unwrap();
        let console = Console::to_writers(io::sink(), io::sink(), Format::Table, Clock::Fixed(0));
        let read = |connection: &Connection, variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| OsString::from(value))
            };
            Profile::read_with(connection, &variable, &console).map_err(|failure| failure.to_string())
        };
        let ca = dir.path().join("ca.pem").display().to_string();
        let set = [("SLIPWAY_SERVER", "https://a:1"), ("SLIPWAY_CA", &ca), ("SLIPWAY_TOKEN", "slip_1_x")];
        let profile = read(&Connection::default(), &set).unwrap();
        assert_eq!((profile.server.as_str(), profile.token.unwrap().as_str()), ("https://a:1", "slip_1_x"));
        let flag = Connection { server: Some("https://b:2".into()), ..Connection::default() };
        assert_eq!(read(&flag, &set).unwrap().server, "https://b:2");
        let refused = read(&Connection::default(), &[("SLIPWAY_PROFILE", "/nosuch")]).err().unwrap();
        assert!(
            refused.starts_with("error: cannot read the profile that SLIPWAY_PROFILE names, /nosuch: "),
            "{refused}"
        );
        // As if it were not set; the default is nowhere in a test.
        let empty = [("SLIPWAY_PROFILE", ""), ("SLIPWAY_SERVER", ""), ("SLIPWAY_CA", &ca)];
        assert!(read(&flag, &empty).is_ok());
    }
}

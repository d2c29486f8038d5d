//! The command line, by hand: what a parser with everything brings along would be a tenth of the agent.

mod help;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use help::{COMMANDS, HELP, Spec};
use lexopt::Arg;
use slipway_agent::{
    enroll::Enrollment,
    keystore::{FILE, TPM},
};

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// `enroll`.
    Enroll(Box<Enrollment>),
    /// `key`.
    Key { state: PathBuf, key_store: Option<String>, tpm: Option<String> },
    /// `run`.
    Run(Run),
    /// `install`.
    Install { state: PathBuf, bundle: PathBuf },
    /// `diagnose`.
    Diagnose { state: PathBuf, json: bool, sysroot: PathBuf },
    /// `status`.
    Status { state: PathBuf, json: bool },
    /// `consent`: classes and whether they are allowed, in the order in which they take effect.
    Consent { state: PathBuf, changes: Vec<(Class, bool)> },
    /// Help or version.
    Show(String),
}

/// `run`.
#[derive(Debug)]
pub struct Run {
    pub state: PathBuf,
    pub replay: Option<PathBuf>,
    pub telemetry_interval: Option<u64>,
    pub sysroot: PathBuf,
}

/// A class that the owner decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Diagnostic,
    Usage,
    Location,
}

/// A command line that says nothing, with the usage that would.
#[derive(Debug, PartialEq, Eq)]
pub struct Misuse {
    pub problem: String,
    pub usage: String,
}

/// Reads what follows the program's name.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Misuse> {
    let mut parser = lexopt::Parser::from_args(words);
    let misuse = |problem: String| Misuse { problem, usage: usage(HELP) };
    let first = parser.next().map_err(|error| misuse(error.to_string()))?;
    match first {
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Command::Show(HELP.to_owned())),
        Some(Arg::Short('V') | Arg::Long("version")) => {
            Ok(Command::Show(concat!("slipway-agent ", env!("CARGO_PKG_VERSION"), "\n").to_owned()))
        }
        Some(Arg::Value(name)) if name == "help" => match parser.value() {
            Ok(name) => Ok(Command::Show(spec(&name).map_err(misuse)?.help.to_owned())),
            Err(_) => Ok(Command::Show(HELP.to_owned())),
        },
        Some(Arg::Value(name)) => read(spec(&name).map_err(misuse)?, parser),
        Some(option) => Err(misuse(option.unexpected().to_string())),
        None => Err(misuse("a command is missing".to_owned())),
    }
}

fn spec(name: &OsStr) -> Result<&'static Spec, String> {
    COMMANDS.into_iter().find(|spec| name == spec.name).ok_or_else(|| {
        let names: Vec<&str> = COMMANDS.iter().map(|spec| spec.name).collect();
        format!("there is no command {name:?}; there are {}", names.join(", "))
    })
}

fn usage(help: &str) -> String {
    help.lines().find(|line| line.starts_with("Usage:")).unwrap_or_default().to_owned()
}

fn read(spec: &'static Spec, parser: lexopt::Parser) -> Result<Command, Misuse> {
    let read = || -> Result<Command, String> {
        let Some(mut given) = Given::collect(spec, parser)? else {
            return Ok(Command::Show(spec.help.to_owned()));
        };
        let state = given.path("state")?;
        Ok(match spec.name {
            "enroll" => Command::Enroll(Box::new(Enrollment {
                state,
                claim: given.path("claim")?,
                slots: given.path("slots")?,
                hardware: given.text("hardware")?.ok_or_else(|| given.missing("hardware"))?,
                device_id: given.text("device-id")?,
                component: given.text("component")?.unwrap_or_else(|| "system".to_owned()),
                health_command: given.text("health-command")?.unwrap_or_default(),
                server: given.text("server")?,
                slot_size: given.number("slot-size", 0, u64::MAX)?.unwrap_or(0),
                key_store: given.key_store()?,
                tpm: given.text("tpm")?,
                manufacturer: match given.last("manufacturer-cert") {
                    Some(chain) => Some((PathBuf::from(chain), given.path("manufacturer-key")?)),
                    None => None,
                },
            })),
            "key" => Command::Key { state, key_store: given.key_store()?, tpm: given.text("tpm")? },
            "run" => Command::Run(Run {
                state,
                replay: given.last("replay").map(PathBuf::from),
                telemetry_interval: given.number("telemetry-interval", 1, 86_400)?,
                sysroot: given.sysroot(),
            }),
            "install" => Command::Install { state, bundle: given.path("bundle")? },
            "status" => Command::Status { state, json: given.json()? },
            "diagnose" => Command::Diagnose { state, json: given.json()?, sysroot: given.sysroot() },
            _ => {
                let mut changes = given.classes("allow", true)?;
                changes.extend(given.classes("refuse", false)?);
                Command::Consent { state, changes }
            }
        })
    };
    read().map_err(|problem| Misuse { problem, usage: usage(spec.help) })
}

/// The values that were given, by option.
struct Given {
    spec: &'static Spec,
    values: BTreeMap<&'static str, Vec<OsString>>,
}

impl Given {
    /// None when help was asked for.
    fn collect(spec: &'static Spec, mut parser: lexopt::Parser) -> Result<Option<Self>, String> {
        let mut values = BTreeMap::<_, Vec<OsString>>::new();
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            let name = match argument {
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Long(name) => spec.options.iter().find(|(known, _)| *known == name).copied(),
                _ => None,
            };
            let Some((name, value)) = name else {
                let known: Vec<String> = spec.options.iter().map(|(name, _)| format!("--{name}")).collect();
                return Err(format!("{}; {} knows {}", argument.unexpected(), spec.name, known.join(", ")));
            };
            let given = values.entry(name).or_default();
            if !given.is_empty() && value != "CLASS" {
                return Err(format!("--{name} is given twice"));
            }
            given.push(parser.value().map_err(|_| format!("--{name} needs a value: --{name} <{value}>"))?);
        }
        Ok(Some(Self { spec, values }))
    }

    fn missing(&self, name: &str) -> String {
        let value = self.spec.options.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        format!("--{name} <{value}> is missing")
    }

    fn last(&mut self, name: &str) -> Option<OsString> {
        self.values.remove(name)?.pop()
    }

    fn path(&mut self, name: &str) -> Result<PathBuf, String> {
        self.last(name).map(PathBuf::from).ok_or_else(|| self.missing(name))
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(value) = self.last(name) else { return Ok(None) };
        value.into_string().map(Some).map_err(|value| format!("--{name} is {value:?}, which is not UTF-8"))
    }

    fn key_store(&mut self) -> Result<Option<String>, String> {
        let store = self.text("key-store")?;
        match store.as_deref() {
            None | Some(FILE) => Ok(store),
            Some(TPM) if cfg!(feature = "tpm") => Ok(store),
            Some(TPM) => {
                Err(format!("--key-store is {TPM:?}; this slipway-agent was built without TPM support"))
            }
            Some(other) => Err(format!("--key-store is {other:?}; it has to be {FILE} or {TPM}")),
        }
    }

    /// Whether to print JSON.
    fn json(&mut self) -> Result<bool, String> {
        match self.text("output")?.as_deref() {
            None | Some("table") => Ok(false),
            Some("json") => Ok(true),
            Some(other) => Err(format!("--output is {other:?}; it has to be table or json")),
        }
    }

    /// Where the machine is looked at: for tests, and so not in the help.
    fn sysroot(&mut self) -> PathBuf {
        self.last("sysroot").map_or_else(|| PathBuf::from("/"), PathBuf::from)
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> Result<Option<u64>, String> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ if most == u64::MAX => Err(format!("--{name} is {text:?}; it has to be a whole number")),
            _ => Err(format!("--{name} is {text:?}; it has to be a whole number from {least} to {most}")),
        }
    }

    fn classes(&mut self, name: &str, allowed: bool) -> Result<Vec<(Class, bool)>, String> {
        let mut classes = Vec::new();
        for list in self.values.remove(name).unwrap_or_default() {
            let list = list.to_string_lossy();
            for class in list.split(',') {
                classes.push(match class {
                    "diagnostic" => (Class::Diagnostic, allowed),
                    "usage" => (Class::Usage, allowed),
                    "location" => (Class::Location, allowed),
                    _ => {
                        let known = "diagnostic, usage or location";
                        return Err(format!("--{name} is {class:?}; it has to be {known}"));
                    }
                });
            }
        }
        Ok(classes)
    }
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;

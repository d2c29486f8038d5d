//! The command line, by hand: what a parser with everything brings along would be a tenth of the agent.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use lexopt::Arg;
use slipway_agent::{
    enroll::Enrollment,
    keystore::{FILE, TPM},
};

const HELP: &str = "\
Keeps this machine up to date and tells its fleet how it is.

Usage: slipway-agent <COMMAND>

Commands:
  enroll   Make this machine a device of the fleet
  key      Print the public key, to be registered before the machine enrols
  run      Work until stopped
  install  Install a release from a file, without a network
  status   Say how this device is; works without the server and while the agent runs
  consent  Say which data may leave this device, and show what may; works while the agent runs
  help     Print this, or the help of a command

Options:
  -h, --help     Print help
  -V, --version  Print version
";

/// One command: its help, whose second paragraph is its usage, and its options with what stands for a value.
struct Spec {
    name: &'static str,
    help: &'static str,
    options: &'static [(&'static str, &'static str)],
}

const ENROLL: Spec = Spec {
    name: "enroll",
    help: "\
Make this machine a device of the fleet. Can be repeated.

Usage: slipway-agent enroll --claim <FILE> --state <DIR> --slots <DIR> --hardware <MODEL> [OPTIONS]

Options:
      --claim <FILE>          Claim file, as `slipway claim create` or `slipway claim file` wrote it
      --state <DIR>           Folder for what the device knows; made when missing
      --slots <DIR>           Folder that stands for a disk with two slots; made when missing
      --hardware <MODEL>      Hardware model, for example gw-a
      --device-id <ID>        Name in the fleet [default: with a token /etc/machine-id, else the
                              host name; without one what the server knows it by]
      --manufacturer-cert <PEM>
                              Enrol with this certificate of its manufacturer, and those that lead
                              to the authority, instead of a token
      --manufacturer-key <PEM>
                              The key of that certificate
      --component <NAME>      Component that is updated [default: system]
      --health-command <CMD>  Run with `sh -c` during a trial; exit code 0 means healthy
      --server <URL>          Server to use instead of the one in the claim
      --slot-size <BYTES>     Size of a slot; 0 means that only the disk limits it [default: 0]
      --key-store <STORE>     Where the private key is kept: file or tpm [default: file]
      --tpm <TPM>             Device or socket of the TPM [default: /dev/tpmrm0]
  -h, --help                  Print help
",
    options: &[
        ("claim", "FILE"),
        ("state", "DIR"),
        ("slots", "DIR"),
        ("hardware", "MODEL"),
        ("device-id", "ID"),
        ("component", "NAME"),
        ("health-command", "CMD"),
        ("server", "URL"),
        ("slot-size", "BYTES"),
        ("key-store", "STORE"),
        ("tpm", "TPM"),
        ("manufacturer-cert", "PEM"),
        ("manufacturer-key", "PEM"),
    ],
};

const KEY: Spec = Spec {
    name: "key",
    help: "\
Print the public key in base64, for `slipway device import`; made when there is none.

Usage: slipway-agent key --state <DIR> [OPTIONS]

Options:
      --state <DIR>        Folder for what the device knows; made when missing
      --key-store <STORE>  Where the private key is kept: file or tpm [default: file]
      --tpm <TPM>          Device or socket of the TPM [default: /dev/tpmrm0]
  -h, --help               Print help
",
    options: &[("state", "DIR"), ("key-store", "STORE"), ("tpm", "TPM")],
};

const RUN: Spec = Spec {
    name: "run",
    help: "\
Work until stopped by SIGTERM or SIGINT.

Usage: slipway-agent run --state <DIR> [OPTIONS]

Options:
      --state <DIR>                   Folder that `enroll` made
      --replay <FILE>                 Add this recorded series, its last row as of now:
                                      seconds,component,metric,unit,class,value
      --telemetry-interval <SECONDS>  How often to read the machine, 1 to 86400
                                      [default: as configured]
  -h, --help                          Print help
",
    // The last reads the machine below another folder: for tests, and so not in the help.
    options: &[("state", "DIR"), ("replay", "FILE"), ("telemetry-interval", "SECONDS"), ("sysroot", "DIR")],
};

const INSTALL: Spec = Spec {
    name: "install",
    help: "\
Install the release of a bundle that `slipway release bundle` wrote; needs no network.

Usage: slipway-agent install --bundle <FILE> --state <DIR>

Options:
      --bundle <FILE>  The bundle
      --state <DIR>    Folder that `enroll` made
  -h, --help           Print help

The agent must not run meanwhile. What is interrupted goes on when the command is repeated.
Which bundles are taken says the line `bundles` in agent.toml: \"assigned\", \"signed\" or \"off\".
",
    options: &[("bundle", "FILE"), ("state", "DIR")],
};

const STATUS: Spec = Spec {
    name: "status",
    help: "\
Say how this device is; works without the server and while the agent runs.

Usage: slipway-agent status --state <DIR> [--output table|json]

Options:
      --state <DIR>      Folder that `enroll` made
      --output <FORMAT>  How to print it: table or json [default: table]
  -h, --help             Print help
",
    options: &[("state", "DIR"), ("output", "FORMAT")],
};

const CONSENT: Spec = Spec {
    name: "consent",
    help: "\
Say which data may leave this device, and show what may; works while the agent runs.

Usage: slipway-agent consent --state <DIR> [--allow <CLASS>,...] [--refuse <CLASS>,...]

Options:
      --state <DIR>         Folder that `enroll` made
      --allow <CLASS>,...   Classes that may leave the device from now on
      --refuse <CLASS>,...  Classes that may not, not even what was kept of them already
  -h, --help                Print help

Classes: diagnostic, usage, location. Essential data always may leave the device.
",
    options: &[("state", "DIR"), ("allow", "CLASS"), ("refuse", "CLASS")],
};

const COMMANDS: [&Spec; 6] = [&ENROLL, &KEY, &RUN, &INSTALL, &STATUS, &CONSENT];

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
                sysroot: given.last("sysroot").map_or_else(|| PathBuf::from("/"), PathBuf::from),
            }),
            "install" => Command::Install { state, bundle: given.path("bundle")? },
            "status" => match given.text("output")?.as_deref() {
                None | Some("table") => Command::Status { state, json: false },
                Some("json") => Command::Status { state, json: true },
                Some(other) => return Err(format!("--output is {other:?}; it has to be table or json")),
            },
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

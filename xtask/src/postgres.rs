//! A PostgreSQL cluster for one run of the tests: on a free port of the loopback, without a thought for durability, and
//! gone afterwards.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::clock::Stopwatch;
use crate::litter::{Dir, Process};
use crate::{tools, workspace};

/// The version that the contract suite is written for; another one is taken where this one is not.
const PREFERRED: &str = "15";

/// How long a cluster may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// How often a port is looked for: one that was free may be taken a moment later.
const TRIES: usize = 3;

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the server before its directory.
    _server: Process,
    _dir: Dir,
    url: String,
}

impl Cluster {
    /// Makes and starts one; installs PostgreSQL first where that is possible.
    pub fn start() -> Result<Self> {
        let bin = programs()?;
        let mut failure = None;
        for _ in 0..TRIES {
            match Self::try_start(&bin) {
                Ok(cluster) => return Ok(cluster),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or_else(|| bail!("no PostgreSQL was started"), Err)
    }

    /// Where it listens, `postgres://user@host:port/database`.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn try_start(bin: &Path) -> Result<Self> {
        let dir = Dir::new()?;
        let user = User::for_postgres()?;
        if let Some(user) = &user {
            chown(dir.path(), Some(user.uid), Some(user.gid))?;
        }
        let data = dir.path().join("data");
        workspace::output(
            User::command(user.as_ref(), &bin.join("initdb"), dir.path()).arg("-D").arg(&data).args([
                "-U",
                "slipway",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ]),
        )?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let log = dir.path().join("log");
        let settings = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            format!("unix_socket_directories={}", dir.path().display()),
            "fsync=off".to_owned(),
            "synchronous_commit=off".to_owned(),
            "full_page_writes=off".to_owned(),
            "max_connections=200".to_owned(),
        ];
        let mut command = User::command(user.as_ref(), &bin.join("postgres"), dir.path());
        command.arg("-D").arg(&data);
        for setting in settings {
            command.args(["-c", &setting]);
        }
        let log_file = fs::File::create(&log)?;
        // SIGINT is the fast way down: sessions are ended, not waited for.
        let mut server = Process::start(command.stdout(log_file.try_clone()?).stderr(log_file), Signal::INT)?;
        let watch = Stopwatch::start();
        while !is_ready(&data) {
            if server.ended().is_some() || watch.elapsed() > START {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("PostgreSQL did not start:\n{}", log.trim());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { _server: server, _dir: dir, url: format!("postgres://slipway@127.0.0.1:{port}/postgres") })
    }
}

/// The server writes its state into the eighth line of this file.
fn is_ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid"))
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
}

/// PostgreSQL refuses to run as root: the account that root lends it.
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// `None` where we are not root and it runs as we do.
    fn for_postgres() -> Result<Option<Self>> {
        if !tools::is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let account = |name: &str| {
            let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut ids = line.split(':').skip(2).map(str::parse);
            match (ids.next()?, ids.next()?) {
                (Ok(uid), Ok(gid)) => Some(Self { uid, gid }),
                _ => None,
            }
        };
        let user = account("postgres").or_else(|| account("nobody"));
        Ok(Some(user.context(
            "PostgreSQL does not run as root, and there is no account `postgres` or `nobody` to run it as",
        )?))
    }

    fn command(user: Option<&Self>, program: &Path, dir: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(dir).stdin(Stdio::null());
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }
}

/// The directory of `initdb` and `postgres`.
fn programs() -> Result<PathBuf> {
    if let Some(bin) = find_programs() {
        return Ok(bin);
    }
    tools::install(&["postgresql"])?;
    find_programs().context(
        "PostgreSQL is missing: `apt-get install postgresql` as root (elsewhere: `dnf install postgresql-server`, \
         `brew install postgresql@15`), or set SLIPWAY_TEST_POSTGRES to a database that may be filled with test schemas",
    )
}

fn find_programs() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            path.join("bin/postgres").is_file().then(|| (version, path.join("bin")))
        })
        .collect();
    versions.sort();
    let preferred = versions
        .iter()
        .position(|(version, _)| version.to_string() == PREFERRED)
        .unwrap_or(versions.len().saturating_sub(1));
    versions.into_iter().nth(preferred).map(|(_, bin)| bin).or_else(|| {
        // The link in PATH may be a wrapper; the programs it belongs to are beside what it points to.
        let initdb = tools::find("initdb")?.canonicalize().ok()?;
        let bin = initdb.parent()?.to_path_buf();
        bin.join("postgres").is_file().then_some(bin)
    })
}

//! A TPM 2.0 in software, at a socket of its own.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{clock::stopwatch, processes::Process};

const START: Duration = Duration::from_secs(20);

/// How many objects it has room for.
pub const ROOM: usize = 3;

/// Runs until it is dropped. One program at a time can use it, and nobody cleans up behind.
#[derive(Debug)]
pub struct SoftTpm {
    folder: tempfile::TempDir,
    process: Option<Process>,
}

impl SoftTpm {
    /// A new one: no other has its seeds.
    ///
    /// # Panics
    ///
    /// When it does not start, or is not installed.
    pub fn start() -> Self {
        let mut tpm = Self { folder: tempfile::tempdir().expect("a folder"), process: None };
        tpm.switch_on();
        tpm
    }

    /// Where it is, as `tpm` in `agent.toml`.
    pub fn address(&self) -> String {
        self.socket().display().to_string()
    }

    /// Takes it away.
    pub fn switch_off(&mut self) {
        self.process = None;
    }

    /// Brings it back, with the seeds that it had.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn switch_on(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let server = format!("type=unixio,path={}", self.address());
        self.run(&["--server", &server]);
        let watch = stopwatch();
        while UnixStream::connect(self.socket()).is_err() {
            assert!(watch.elapsed() < START, "swtpm did not start");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The same at a TCP port instead of the socket.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn switch_on_at(&mut self, port: u16) {
        self.run(&["--server", &format!("type=tcp,port={port},bindaddr=127.0.0.1")]);
        let watch = stopwatch();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(watch.elapsed() < START, "swtpm did not start");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn run(&mut self, place: &[&str]) {
        self.process = None;
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"])
            .arg(format!("dir={}", self.folder.path().display()))
            .args(place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(child.expect("swtpm: apt-get install swtpm").into());
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("tpm.sock")
    }

    /// Holds it, so that nobody else can use it meanwhile.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn hold(&self) -> Held {
        let mut held = Held(UnixStream::connect(self.socket()).expect("a TPM"));
        // It listens to one after the other: whoever has an answer is the one.
        held.loaded();
        held
    }
}

/// A TPM for whoever holds this.
#[derive(Debug)]
pub struct Held(UnixStream);

impl Held {
    /// How many objects are loaded in it (TPM2_GetCapability).
    pub fn loaded(&mut self) -> usize {
        let answer = self.ask("8001 00000016 0000017a 00000001 80000000 000000fe");
        usize::from(answer[18])
    }

    /// Loads objects until it has no room.
    ///
    /// # Panics
    ///
    /// When it goes on having room.
    pub fn fill(&mut self) {
        // TPM2_HashSequenceStart.
        for _ in 0..ROOM {
            self.ask("8001 0000000e 00000186 0000 000b");
        }
        assert_eq!(self.loaded(), ROOM);
    }

    /// Clears it, as its owner does who gives it away (TPM2_Clear).
    pub fn clear(&mut self) {
        self.ask("8002 0000001b 00000126 4000000a 00000009 40000009 0000 00 0000");
    }

    /// Gives its owner a password (TPM2_HierarchyChangeAuth).
    pub fn lock(&mut self) {
        self.ask("8002 00000023 00000129 40000001 00000009 40000009 0000 00 0000 0006 736563726574");
    }

    /// The answer to a command in hexadecimal digits.
    fn ask(&mut self, command: &str) -> Vec<u8> {
        let digits: Vec<u8> = command.bytes().filter(u8::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("text"), 16).expect("digits"))
            .collect();
        self.0.write_all(&bytes).expect("a TPM that listens");
        let mut answer = vec![0; 4096];
        let length = self.0.read(&mut answer).expect("a TPM that answers");
        answer.truncate(length);
        assert_eq!(answer[6..10], [0; 4], "{command}: {answer:02x?}");
        answer
    }
}

//! Eight years in a drawer: every key of the company was replaced each year, the server's certificate comes from
//! another CA, the newest release needs two others first, and the device's clock shows 1970. What the device
//! does stands in `docs/eight-years.md`, line by line.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Parser as _;
use rand::{SeedableRng as _, rngs::StdRng};
use slipway_agent::{StateDir, authorities, clock::Clock as DeviceClock, local};
use slipway_cli::{args::Args, clock::Clock as DeskClock, output::Console, output::Format};
use slipway_proto::v1::{CreateTokenRequest, Role, Rollout, Token, UpdateState};
use slipway_server::{
    clock::Clock,
    config::Config,
    data_dir::DataDir,
    rng::Rng,
    serve::{Deps, Running, start},
};
use slipway_tests::{
    call_log::{Call, CallLog},
    clock::wait_for,
    desk::{Desk, HARDWARE, PRODUCT, enroll},
    processes::free_port,
};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::steps::{explain, noise, plan, roll_out};

/// A ceremony before the yearly signatures end.
const YEAR: Duration = Duration::from_secs(360 * 24 * 3600);
/// From the last ceremony to the day on which the device is found; with eight of the above, eight years.
const REST: Duration = Duration::from_secs(40 * 24 * 3600);
const DEVICE: &str = "pump-1";
/// Longer than all of it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Everything that can be replaced by a ceremony.
const ALL: [&str; 6] = ["root", "targets", "publisher", "timestamp", "snapshot", "director"];

/// A company: its server, and a desk whose clock is the server's.
struct Company {
    clock: Clock,
    config: Config,
    desk: Desk,
    running: Option<Running>,
    folder: TempDir,
}

/// What a command said.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Company {
    async fn found() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let (data, port) = (folder.path().join("server"), free_port());
        let mut config = Config::in_dir(&data);
        config.listen.set_port(port);
        config.check_in_interval = 1;
        let desk = Desk { folder: folder.path().to_owned(), data, port };
        let mut company =
            Company { clock: Clock::manual(Clock::System.now()), config, desk, running: None, folder };
        company.open().await;
        company.desk.init_trust();
        company
    }

    async fn open(&mut self) {
        let deps = Deps { clock: self.clock.clone(), rng: Rng::seeded(8) };
        self.running = Some(start(self.config.clone(), deps).await.expect("a server"));
    }

    async fn close(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// What is done to the data directory while the server is stopped.
    async fn offline(&mut self, act: impl FnOnce(&mut DataDir)) {
        self.close().await;
        act(&mut DataDir::existing(&self.desk.data).expect("a data directory"));
        self.open().await;
    }

    /// The command line as it is, on the day that the server's clock shows.
    async fn slipway(&self, arguments: &[&str]) {
        let said = Said::default();
        let clock = DeskClock::Fixed(self.clock.now().millis());
        let console = Console::to_writers(said.clone(), said.clone(), Format::Table, clock);
        let profile = self.desk.data.join("client.toml").to_string_lossy().into_owned();
        let line = [&["slipway", "--profile", &profile], arguments].concat();
        let code = slipway_cli::run(Args::parse_from(&line), &console).await;
        let said = said.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(code, 0, "{line:?}: {}", String::from_utf8_lossy(&said));
    }

    /// Signs with the company's keys.
    async fn rotate(&self, what: &[&str]) {
        let keys = self.desk.path("keys");
        let options = ["--keys", &keys, "--no-passphrase", "--yes"];
        self.slipway(&[&["trust", "rotate"], what, &options].concat()).await;
    }

    /// Tells the devices which CAs the server's certificate may come from: those of its data directory.
    async fn announce_cas(&self) {
        let file = self.desk.data.join("server-ca.pem").to_string_lossy().into_owned();
        self.rotate(&["server-ca", "--server-ca", &file]).await;
    }

    async fn publish(&self, image: &[u8], version: &str, min_from: &str) {
        let (file, keys) = (self.desk.path(&format!("{version}.img")), self.desk.path("keys"));
        fs::write(&file, image).expect("an image");
        let mut line = vec!["release", "publish", &file, "--version", version, "--min-from", min_from];
        line.extend(["--product", PRODUCT, "--hardware", HARDWARE, "--new-hardware", "--keys", &keys]);
        self.slipway(&line).await;
    }

    /// No token lives for eight years.
    async fn renew_token(&self) {
        let token = Token { display_name: "desk".into(), role: Role::Admin.into(), ..Token::default() };
        let ttl = prost_types::Duration { seconds: 5 * 365 * 24 * 3600, nanos: 0 };
        let request = CreateTokenRequest { token: Some(token), ttl: Some(ttl) };
        let made = self.desk.admin().access().create_token(request).await.expect("a token").into_inner();
        fs::write(self.desk.data.join("admin.token"), made.secret).expect("a token");
    }

    /// What became of the company while the device lay there.
    async fn eight_years(&mut self, images: &[Vec<u8>]) {
        for year in 1..=8 {
            self.clock.advance(YEAR);
            match year {
                2 => self.publish(&images[0], "1.0.0", "0").await,
                3 => self.publish(&images[1], "2.0.0", "1").await,
                4 => {
                    self.renew_token().await;
                    let now = self.clock.now();
                    self.offline(|data| assert_eq!(data.next_generation(now).expect("a CA"), 2)).await;
                    self.announce_cas().await;
                }
                6 => {
                    let now = self.clock.now();
                    self.offline(|data| data.retire_generation(1, now).expect("out of use")).await;
                    self.announce_cas().await;
                }
                7 => self.publish(&images[2], "3.0.0", "2").await,
                _ => {}
            }
            self.rotate(&ALL).await;
        }
        self.clock.advance(REST);
        self.offline(|_| {}).await;
        for version in ["1.0.0", "2.0.0", "3.0.0"] {
            roll_out(&self.desk.admin(), Rollout { standing: true, ..plan(version, "") }).await;
        }
    }
}

/// The device, whose clock may show anything.
struct Device {
    state: StateDir,
    slots: PathBuf,
}

impl Device {
    fn enroll(company: &Company) -> Self {
        let (state, slots) = (company.folder.path().join("state"), company.folder.path().join("slots"));
        enroll(&company.desk.claim_file(1), DEVICE, &state, &slots, &[]);
        fs::write(slots.join("slot-a.img"), b"factory").expect("an image");
        Device { state: StateDir::new(&state), slots }
    }

    /// Lets it run until `is_done`; its clock always shows `shown`, or goes right.
    async fn runs_until(&self, company: &Company, shown: Option<i64>, is_done: impl Fn() -> bool) {
        let (stop, stopped) = watch::channel(false);
        let (truth, passed) = (company.clock.clone(), company.clock.clone());
        let clock = DeviceClock::with_ticks(
            Arc::new(move || shown.unwrap_or_else(|| truth.now().millis())),
            Arc::new(move || passed.now().millis()),
        );
        let (state, rng) = (self.state.clone(), StdRng::seed_from_u64(8));
        let life = tokio::spawn(async move { slipway_agent::run(&state, clock, rng, None, stopped).await });
        wait_for("the device", PATIENCE, async || is_done().then_some(())).await;
        stop.send_replace(true);
        life.await.expect("no panic").expect("an orderly end");
    }

    fn has(&self, file: &str) -> bool {
        self.state.path().join(file).exists()
    }

    fn pinned(&self) -> String {
        fs::read_to_string(self.state.server_ca()).expect("CAs")
    }
}

/// The lines of a life: calls that are made again and again once, downloads counted. Segments and reports run
/// side by side, so the former stand behind the manifest, and the latter with their update.
fn life(calls: &[Call]) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    let mut is_in = false;
    for call in calls {
        let who = if call.caller == "anyone" { "without a certificate" } else { "as pump-1" };
        is_in |= call.method == "DeviceService/CheckIn";
        let line = match call.method.as_str() {
            "/tuf" if is_in => "a signed file".to_owned(),
            "/tuf" => "a root".to_owned(),
            "/segments" => "a segment of the image".to_owned(),
            "DeviceService/ReportUpdate" => continue,
            method => format!("{method}, {who}"),
        };
        let line = if call.code == "OK" { line } else { format!("{line}: {}", call.code) };
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, times)) => *times += 1,
            None => lines.push((line, 1)),
        }
    }
    let is_counted = |line: &str| line.starts_with("a ");
    let shown = |(line, times): (String, usize)| match times {
        2.. if is_counted(&line) => format!("    {line}, {times} times"),
        _ => format!("    {line}"),
    };
    lines.into_iter().map(shown).collect()
}

/// Every life begins with the question what time it is.
fn lives(calls: &[Call]) -> Vec<Vec<String>> {
    let of_device: Vec<Call> =
        calls.iter().filter(|call| !call.caller.starts_with("tokens/")).cloned().collect();
    let begins = |call: &Call| call.method == "EnrollmentService/GetTime";
    let mut lives: Vec<Vec<Call>> = Vec::new();
    for call in of_device {
        if begins(&call) || lives.is_empty() {
            lives.push(Vec::new());
        }
        lives.last_mut().expect("just begun").push(call);
    }
    lives.iter().map(|calls| life(calls)).collect()
}

async fn story(log: CallLog) -> String {
    let mut company = Company::found().await;
    let device = Device::enroll(&company);
    // It is tried in the factory, and packed.
    let called = || local::status(&device.state).is_ok_and(|status| status.news.last_contact.is_some());
    device.runs_until(&company, None, called).await;
    let first_ca = device.pinned();
    let images: Vec<Vec<u8>> = (1..=3).map(|seed| noise(seed, 5_000)).collect();
    company.eight_years(&images).await;
    let newest_ca = company.desk.read("server-ca.pem");
    assert!(!newest_ca.contains(&first_ca), "the first CA is out of use");

    log.take();
    let is_newest = || {
        let status = local::status(&device.state).ok();
        status.is_some_and(|status| status.reports_waiting == 0 && status.state == "idle")
            && fs::read(device.slots.join("slot-b.img")).is_ok_and(|held| held == images[2])
            && device.pinned() == newest_ca
            && !device.has("server-ca-before.pem")
    };
    device.runs_until(&company, Some(0), is_newest).await;
    let lives = lives(&log.take());

    let explained = explain(&company.desk.admin(), DEVICE).await;
    let mut updates = explained.updates;
    // All of it happens at one moment of the server's clock.
    updates.sort_by(|one, other| one.release.cmp(&other.release));
    let mut told = String::from("switched on; the clock shows 1970-01-01\n");
    for (number, life) in lives.iter().enumerate() {
        if number > 0 {
            told.push_str("started again, from the other slot\n");
        }
        for line in life {
            writeln!(told, "{line}").expect("a text");
        }
        if let Some(update) = updates.get(number) {
            let states: Vec<String> = update
                .history
                .iter()
                .map(|event| event.state().as_str_name().trim_start_matches("UPDATE_STATE_").to_lowercase())
                .collect();
            let version = update.release.rsplit('/').next().unwrap_or_default();
            writeln!(told, "update to {version}: {}", states.join(", ")).expect("a text");
        }
    }
    assert!(updates.iter().all(|update| update.state() == UpdateState::Succeeded), "{updates:?}");
    told.push_str(&the_end(&device, &company));
    company.close().await;
    told
}

/// What the device keeps, and its diary.
fn the_end(device: &Device, company: &Company) -> String {
    let status = local::status(&device.state).expect("a status");
    let running = status.slots.iter().find(|slot| slot.running).expect("a slot");
    let version = running.holds.as_ref().map(|held| held.version.clone()).unwrap_or_default();
    let roots = (1..).take_while(|n| device.has(&format!("metadata/{n}.root.json"))).count();
    let cas = authorities::read(device.pinned().as_bytes()).expect("CAs").len();
    assert_eq!(device.pinned(), company.desk.read("server-ca.pem"));
    let diary = |reason: Option<slipway_agent::machine::Reason>| match reason {
        Some(reason) => format!("{}: {}", reason.code, reason.detail),
        None => "nothing".to_owned(),
    };
    format!(
        "at the end\n    runs {version}, keeps roots 1 to {roots}, accepts {cas} CA, the second\n    blocked by: {}\n    \
         went wrong: {}\n",
        diary(status.news.blocked),
        diary(status.news.last_error.map(|mishap| mishap.reason)),
    )
}

#[test]
fn row_55_a_device_that_lay_in_a_drawer_for_eight_years_ends_on_the_newest_release() {
    let log = CallLog::default();
    let told = log.runtime().block_on(story(log.clone()));
    println!("{told}");
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/eight-years.md");
    let text = fs::read_to_string(page).expect("docs/eight-years.md");
    let written = text.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(
        written,
        Some(told.as_str()),
        "docs/eight-years.md tells another story than this one:\n{told}"
    );
}

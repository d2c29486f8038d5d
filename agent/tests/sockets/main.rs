//! Programs that talk to a real agent's sockets, well and badly.

use std::{
    fs,
    net::UdpSocket,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixDatagram, UnixListener},
    },
    path::Path,
    time::Duration,
};

use prost::Message as _;
use slipway_agent::{
    StateDir,
    consent::Consent,
    readings::Readings as _,
    socket::{Intake, Settings},
    telemetry::{Telemetry, consent_path},
};
use slipway_proto::opentelemetry::proto::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data, number_data_point,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

const NOW: i64 = 1_795_305_600_000;

fn settings(folder: &Path) -> Settings {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    Settings { statsd: vec![path("statsd")], otlp: vec![path("otlp")], ..Settings::default() }
}

fn gauge(name: &str, value: f64) -> Vec<u8> {
    let value = Some(number_data_point::Value::AsDouble(value));
    let data =
        Data::Gauge(Gauge { data_points: vec![NumberDataPoint { value, ..NumberDataPoint::default() }] });
    let metric = Metric { name: name.to_owned(), data: Some(data), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let of = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    let body = ExportMetricsServiceRequest { resource_metrics: vec![of] }.encode_to_vec();
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// What an exporter is answered.
async fn post(path: &str, value: f64) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(&gauge("pump.heat", value)).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// What was told once there are `count` series of it, by name.
async fn told(intake: &Intake, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..2000 {
        names.extend(intake.drain(NOW).0.into_iter().map(|reading| reading.metric));
        if names.len() >= count {
            names.sort();
            return names;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("only {names:?} arrived");
}

#[tokio::test]
async fn programs_tell_by_sockets_in_the_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let intake = Intake::open(&settings, "run").unwrap();
    assert_eq!(intake.trouble(), None);
    for path in [&settings.statsd[0], &settings.otlp[0]] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o660, "{path}");
    }
    let program = UnixDatagram::unbound().unwrap();
    program.send_to(b"pump.starts:1|c\npump.level:2|g", &settings.statsd[0]).unwrap();
    program.send_to(&[b'x'; 9000], &settings.statsd[0]).unwrap();
    let answer = post(&settings.otlp[0], 3.0).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(told(&intake, 3).await, ["pump.heat", "pump.level", "pump.starts"]);
    assert_eq!(intake.drain(NOW).1, 1, "the datagram that is too long");
    assert!(intake.trouble().unwrap().detail.contains("8192 bytes"));
    drop(intake);
    assert!(!Path::new(&settings.statsd[0]).exists() && !Path::new(&settings.otlp[0]).exists());
}

#[tokio::test]
async fn programs_tell_by_the_loopback_interface() {
    // Ports that are free now; nobody else takes them meanwhile.
    let free = |socket: std::io::Result<std::net::SocketAddr>| socket.unwrap().to_string();
    let udp = free(UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()));
    let tcp = free(std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()));
    let settings = Settings { statsd: vec![udp.clone()], otlp: vec![tcp.clone()], ..Settings::default() };
    let intake = Intake::open(&settings, "run").unwrap();
    assert_eq!(intake.trouble(), None);
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"pump.level:2|g", &udp).unwrap();
    let mut stream = TcpStream::connect(&tcp).await.unwrap();
    stream.write_all(&gauge("pump.heat", 3.0)).await.unwrap();
    assert_eq!(told(&intake, 2).await, ["pump.heat", "pump.level"]);
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_and_what_was_left_behind_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    assert!(Intake::open(&Settings::default(), "run").is_none(), "nobody asked for it");
    // Left behind by an agent that was killed.
    drop(UnixListener::bind(&settings.otlp[0]).unwrap());
    fs::write(&settings.statsd[0], "somebody's file").unwrap();
    let intake = Intake::open(&settings, "run").unwrap();
    let trouble = intake.trouble().unwrap();
    assert_eq!(trouble.code, "METRICS_SOCKET_UNUSABLE");
    assert!(trouble.detail.contains(&settings.statsd[0]), "{}", trouble.detail);
    UnixStream::connect(&settings.otlp[0]).await.unwrap();
    let other = Intake::open(&settings, "run").unwrap();
    assert!(other.trouble().is_some());
    drop(other);
    UnixStream::connect(&settings.otlp[0]).await.expect("a second one takes nothing away from the first");
    assert_eq!(fs::read(&settings.statsd[0]).unwrap(), b"somebody's file");
}

#[tokio::test]
async fn a_program_that_holds_every_connection_is_waited_for_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let intake = Intake::open(&settings, "run").unwrap();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(UnixStream::connect(&settings.otlp[0]).await.unwrap());
    }
    let (answer, ()) = tokio::join!(post(&settings.otlp[0], 3.0), async { held.clear() });
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(told(&intake, 1).await, ["pump.heat"]);
}

#[tokio::test]
async fn a_program_that_sends_without_end_takes_no_more_than_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let intake = Intake::open(&settings, "run").unwrap();
    let path = settings.statsd[0].clone();
    let flood = std::thread::spawn(move || {
        let program = UnixDatagram::unbound().unwrap();
        for name in 0..2000 {
            let names: String = (0..10).map(|part| format!("flood.{name}.{part}:1|c\n")).collect();
            program.send_to(names.as_bytes(), &path).unwrap();
        }
    });
    // The sender waits while the agent takes its time; this loop, which is the agent's, goes on.
    while intake.drain(NOW).1 < 20_000 - settings.series as u64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    flood.join().unwrap();
    assert_eq!(intake.drain(NOW).1, 20_000 - settings.series as u64);
}

#[tokio::test]
async fn what_programs_tell_needs_the_owners_word() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(&folder.path().join("state"));
    fs::create_dir_all(state.path()).unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("proc")).unwrap();
    fs::write(root.join("proc/loadavg"), "0.5 0.6 0.7 1/2 3\n").unwrap();
    let settings = settings(folder.path());
    let telemetry = Telemetry::open(&state, &root, Duration::from_secs(60), NOW).unwrap().0;
    let mut telemetry = telemetry.with_sockets(&settings);
    let program = UnixDatagram::unbound().unwrap();
    let mut now = NOW;
    let mut sent = async || {
        let mut names = Vec::new();
        program.send_to(b"pump.level:2|g", &settings.statsd[0]).unwrap();
        // Datagrams are in order: when this one was refused, the one before was taken.
        program.send_to(b"nonsense", &settings.statsd[0]).unwrap();
        loop {
            now += 1;
            let sampled = telemetry.sample(now, "boot");
            while let Some(batch) = telemetry.batch() {
                names.extend(batch.readings.into_iter().map(|reading| reading.metric));
                telemetry.acknowledge(batch.sequence);
            }
            match sampled {
                Err(reason) if reason.code == "METRIC_REFUSED" => return names,
                sampled => sampled.unwrap(),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(!sent().await.contains(&"pump.level".to_owned()));
    Consent { usage: true, ..Consent::default() }.write(&consent_path(&state)).unwrap();
    let names = sent().await;
    assert!(
        names.contains(&"pump.level".to_owned()) && !names.contains(&"system.cpu.load_average.1m".to_owned())
    );
}

//! Connections that prove nothing, on a real port with room for a few.

use super::*;
use crate::{
    api,
    service::{stop::StopHandle, testing::enrolled},
};

/// Far more than these tests take.
const LONG: Duration = Duration::from_secs(600);
const PATIENT: Bounds = Bounds { connections: 64, of_address: 64, unproved: LONG, idle: LONG };
/// What a client of HTTP/2 begins with, and its empty settings.
const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A server and a second port of it, which has these bounds.
struct Port {
    running: Running,
    _stop: StopHandle,
    token: String,
    _dir: TempDir,
}

impl Port {
    async fn open(bounds: Bounds) -> Self {
        let dir = TempDir::new().unwrap();
        let mut running = server(&dir).await;
        let ctx = &running.context;
        let identity = ctx.pki.issue_server(&["127.0.0.1".to_owned()], [9; 16], ctx.clock.now()).unwrap();
        let tls = tls_config(&ctx.pki, identity, ctx.clock.clone()).unwrap();
        let (stop, stopped) = StopHandle::new();
        let app = api::router(ctx).await.unwrap();
        let listener = Listener::bounded(tls, app, ctx.metrics.clone(), stopped, bounds);
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        running.addr = tcp.local_addr().unwrap();
        tokio::spawn(listener.run(tcp));
        let token = std::fs::read_to_string(dir.path().join("admin.token")).unwrap().trim().to_owned();
        Port { running, _stop: stop, token, _dir: dir }
    }

    /// A connection from `address` that speaks HTTP/2, shows nothing and asks for nothing.
    async fn stranger(&self, address: [u8; 4]) -> std::io::Result<Client> {
        let mut client = shake(&self.running, self.tcp(address).await?, None, &[HTTP2]).await?;
        client.write_all(BEGIN).await?;
        // The server's settings: it has taken the connection up.
        let mut head = [0; 9];
        client.read_exact(&mut head).await?;
        client.read_exact(&mut vec![0; usize::from(head[2])]).await?;
        Ok(client)
    }

    async fn tcp(&self, address: [u8; 4]) -> std::io::Result<TcpStream> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((address, 0)))?;
        socket.connect(self.running.addr).await
    }

    /// A connection that shows the certificate of an enrolled device.
    async fn device(&self) -> Client {
        let ctx = &self.running.context;
        let (issued, pair) = device(&ctx.pki, ctx.clock.now());
        let key = spki_sha256(&CertificateDer::from(issued.chain[0].clone())).unwrap();
        if ctx.devices.get("pump-1").is_none() {
            enrolled(ctx, "pump-1", |device| device.spki_sha256 = key).await;
        }
        connect(&self.running, Some((issued, pair))).await.unwrap()
    }

    /// One call with the token on a connection that stays open; the status line.
    async fn call(&self, client: &mut Client) -> std::io::Result<String> {
        let segment = Sha256::of(b"none");
        let head = format!("GET /segments/{segment} HTTP/1.1\r\nhost: x\r\n");
        client.write_all(format!("{head}authorization: Bearer {}\r\n\r\n", self.token).as_bytes()).await?;
        answered(client).await
    }
}

/// The status line of an answer of this server, whose body is known to be short.
async fn answered(client: &mut Client) -> std::io::Result<String> {
    let mut answer = vec![0; 4096];
    let count = client.read(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer[..count]).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

async fn ended(mut client: Client) {
    // With or without the TLS farewell: it is the end.
    let _ = client.read_to_end(&mut Vec::new()).await;
}

/// Answers pings, as HTTP/2 has it, until the connection is over.
async fn pinged_until_the_end(mut client: Client) {
    let mut head = [0; 9];
    while client.read_exact(&mut head).await.is_ok() {
        let [high, middle, low, kind, flags, ..] = head;
        let mut payload = vec![0; usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)];
        client.read_exact(&mut payload).await.unwrap();
        if kind == 6 && flags & 1 == 0 {
            let _ = client.write_all(&[&[0, 0, 8, 6, 1, 0, 0, 0, 0], &payload[..]].concat()).await;
        }
    }
}

const HOME: [u8; 4] = [127, 0, 0, 1];
const ROAD: [u8; 4] = [127, 0, 0, 2];

#[tokio::test]
async fn who_proves_nothing_in_time_is_let_go_and_who_does_stays() {
    let unproved = Duration::from_millis(300);
    let port = Port::open(Bounds { unproved, idle: unproved * 8, ..PATIENT }).await;
    let mut operator = connect(&port.running, None).await.unwrap();
    assert_eq!(port.call(&mut operator).await.unwrap(), "HTTP/1.1 404 Not Found");
    let mut device = port.device().await;
    let mut impostor = connect(&port.running, None).await.unwrap();
    impostor
        .write_all(b"GET /segments/x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer slip_a_b\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answered(&mut impostor).await.unwrap(), "HTTP/1.1 401 Unauthorized");
    let stranger = port.stranger(HOME).await.unwrap();

    ended(impostor).await;
    pinged_until_the_end(stranger).await;
    assert_eq!(port.call(&mut operator).await.unwrap(), "HTTP/1.1 404 Not Found");
    device.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(answered(&mut device).await.unwrap(), "HTTP/1.1 200 OK");
    // A token that is not used any more holds no place.
    ended(operator).await;
}

#[tokio::test]
async fn who_proves_nothing_has_few_calls_at_once() {
    let port = Port::open(PATIENT).await;
    let ctx = &port.running.context;
    let identity = device(&ctx.pki, ctx.clock.now());
    for (identity, most) in
        [(None, limits::STREAMS_OF_STRANGER), (Some(identity), limits::STREAMS_PER_CONNECTION)]
    {
        let tcp = port.tcp(HOME).await.unwrap();
        let mut client = shake(&port.running, tcp, identity, &[HTTP2]).await.unwrap();
        client.write_all(BEGIN).await.unwrap();
        let mut head = [0; 9];
        client.read_exact(&mut head).await.unwrap();
        let mut settings = vec![0; usize::from(head[2])];
        client.read_exact(&mut settings).await.unwrap();
        // SETTINGS_MAX_CONCURRENT_STREAMS has the number 3.
        let said = settings.chunks(6).find(|entry| entry[..2] == [0, 3]).map(|entry| entry[2..].to_vec());
        assert_eq!(said, Some(most.to_be_bytes().to_vec()));
    }
}

#[tokio::test]
async fn one_address_has_so_many_connections_that_prove_nothing() {
    let port = Port::open(Bounds { of_address: 3, ..PATIENT }).await;
    // Those that proved whose they are do not count.
    let devices = [port.device().await, port.device().await];
    let mut operator = connect(&port.running, None).await.unwrap();
    port.call(&mut operator).await.unwrap();
    let mut strangers = Vec::new();
    for _ in 0..3 {
        strangers.push(port.stranger(HOME).await.unwrap());
    }
    assert!(port.stranger(HOME).await.is_err());
    let elsewhere = port.stranger(ROAD).await.unwrap();
    drop(strangers);
    while port.stranger(HOME).await.is_err() {
        tokio::task::yield_now().await;
    }
    drop((devices, elsewhere));
}

#[tokio::test]
async fn strangers_make_place_for_whoever_comes() {
    let port = Port::open(Bounds { connections: 4, ..PATIENT }).await;
    let mut device = port.device().await;
    let mut strangers = std::collections::VecDeque::new();
    for number in 0..12 {
        strangers.push_back(port.stranger(if number % 2 == 0 { HOME } else { ROAD }).await.unwrap());
    }
    // The oldest are gone.
    for _ in 0..8 {
        ended(strangers.pop_front().unwrap()).await;
    }
    let mut operator = connect(&port.running, None).await.unwrap();
    assert_eq!(port.call(&mut operator).await.unwrap(), "HTTP/1.1 404 Not Found");
    for _ in 0..6 {
        let _ = port.stranger(HOME).await;
    }
    assert_eq!(port.call(&mut operator).await.unwrap(), "HTTP/1.1 404 Not Found");
    device.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(answered(&mut device).await.unwrap(), "HTTP/1.1 200 OK");
}

#[tokio::test(start_paused = true)]
async fn who_has_overstayed() {
    let bounds = Bounds::default();
    let line = Arc::new(Line::new(1, HOME.into(), None));
    let all = Strangers::default();
    let mut stranger = all.admit(1, HOME.into(), 1);
    assert_eq!(overstayed(&mut stranger, &line, &bounds).await, Grace::For(limits::LAST_CALLS));
    assert!(stranger.is_some(), "it counts as long as its last calls take");
    all.dismiss_oldest();
    assert_eq!(overstayed(&mut stranger, &line, &bounds).await, Grace::None);
    line.proved();
    let start = sleep(Duration::ZERO).deadline();
    assert_eq!(overstayed(&mut stranger, &line, &bounds).await, Grace::Unbounded);
    assert!(stranger.is_none() && sleep(Duration::ZERO).deadline() - start >= limits::IDLE);
    assert!(
        timeout(LONG * 100, overstayed(&mut None, &line, &bounds)).await.is_err(),
        "a device may be silent"
    );
}

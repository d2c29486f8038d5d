//! The port as a client meets it: with no certificate, a device's, a stranger's; and at its end.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject as _},
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsConnector, client};

use super::*;
use crate::{
    config::Config,
    pki::{Issued, read_request},
    rng::Rng,
    serve::{Deps, Running, start},
};

type Client = client::TlsStream<TcpStream>;

async fn server(dir: &TempDir) -> Running {
    let deps = Deps { clock: Clock::System, rng: Rng::seeded(7) };
    start(Config::in_dir(dir.path()), deps).await.unwrap()
}

/// A certificate as `pki` gives it to the device `id`, and its key.
fn device(pki: &Pki, now: crate::model::time::Timestamp) -> (Issued, KeyPair) {
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "pump-1");
    let request = params.serialize_request(&pair).unwrap();
    let key = read_request(request.der()).unwrap();
    (pki.issue_device("pump-1", &key, [1; 16], now).unwrap(), pair)
}

async fn connect(running: &Running, identity: Option<(Issued, KeyPair)>) -> std::io::Result<Client> {
    let tcp = TcpStream::connect(running.addr).await?;
    shake(running, tcp, identity, &[]).await
}

async fn shake(
    running: &Running,
    tcp: TcpStream,
    identity: Option<(Issued, KeyPair)>,
    protocols: &[&[u8]],
) -> std::io::Result<Client> {
    let mut roots = RootCertStore::empty();
    let ca = running.context.pki.server_ca_pem();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((issued, pair)) => {
            let chain = issued.chain.into_iter().map(CertificateDer::from).collect();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1").unwrap(), tcp).await
}

async fn get(stream: &mut Client, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn who_may_connect() {
    let dir = TempDir::new().unwrap();
    let running = server(&dir).await;
    let now = running.context.clock.now();

    let answer = get(&mut connect(&running, None).await.unwrap(), "/healthz").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let segment = format!("/segments/{}", Sha256::of(b""));
    let answer = get(&mut connect(&running, None).await.unwrap(), &segment).await.unwrap();
    assert!(answer.contains("DEVICE_CERTIFICATE_REQUIRED"), "{answer}");

    // The certificate alone is no authority: there is no row with this key.
    let known = device(&running.context.pki, now);
    let answer = get(&mut connect(&running, Some(known)).await.unwrap(), &segment).await.unwrap();
    assert!(answer.contains("DEVICE_UNKNOWN"), "{answer}");

    // In TLS 1.3 the client learns only with its first read that it was refused.
    let stranger = device(&Pki::in_memory(now).unwrap(), now);
    let outcome = async { get(&mut connect(&running, Some(stranger)).await?, "/healthz").await };
    assert!(outcome.await.is_err());
    running.stop().await;
}

#[tokio::test]
async fn callers_who_never_finish_their_handshake_hold_nobody_back() {
    let dir = TempDir::new().unwrap();
    let running = server(&dir).await;
    let mut stalled = Vec::new();
    for _ in 0..600 {
        let mut socket = TcpStream::connect(running.addr).await.unwrap();
        socket.write_all(&[22, 3, 1]).await.unwrap();
        stalled.push(socket);
    }
    let answer = timeout(limits::HANDSHAKE / 4, async {
        let mut stream = connect(&running, None).await.unwrap();
        get(&mut stream, "/healthz").await.unwrap()
    });
    let answer = answer.await.expect("an honest caller does not wait for the stalled ones");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(stalled);
    running.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_idle() {
    let dir = TempDir::new().unwrap();
    let running = server(&dir).await;
    let mute = TcpStream::connect(running.addr).await.unwrap();
    let mut idle = connect(&running, None).await.unwrap();
    let healthy = connect(&running, None).await.unwrap();
    timeout(limits::HANDSHAKE / 2, running.stop()).await.expect("a stop at once");
    let mut rest = Vec::new();
    // An end with or without the TLS farewell: it is the end.
    let _ = idle.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    drop((mute, healthy));
}

/// How a connection ends on which the other end sends `bytes`, and then nothing more.
async fn end_after(is_http2: bool, bytes: &[u8]) -> (String, Duration) {
    let (mut client, server) = tokio::io::duplex(4 * limits::HTTP1_BUFFER);
    let app = Router::new().fallback(async || "answered");
    let service = app.map_request(|request: Request<Incoming>| request);
    let serving = tokio::spawn(async move {
        let builder = http(is_http2, false);
        // However it ends: the test looks at what the client sees, and when.
        let _ = builder.serve_connection(begun(server, is_http2), TowerToHyperService::new(service)).await;
    });
    let start = sleep(Duration::ZERO).deadline();
    client.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    serving.await.unwrap();
    let end = sleep(Duration::ZERO).deadline();
    (String::from_utf8_lossy(&answer).into_owned(), end - start)
}

#[tokio::test(start_paused = true)]
async fn whoever_is_slow_to_say_what_he_wants_is_let_go() {
    let head = "GET / HTTP/1.1\r\nhost: x\r\n";
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(preface.len(), PREFACE);
    for (is_http2, bytes) in
        [(false, ""), (false, "G"), (false, head), (true, ""), (true, "PRI"), (true, &preface[..PREFACE - 1])]
    {
        let (_, took) = end_after(is_http2, bytes.as_bytes()).await;
        assert!(took <= limits::HEADER_READ + Duration::from_secs(1), "{bytes:?}: {took:?}");
    }
    // Who has begun may be silent for longer: it is asked whether it is there.
    let (_, took) = end_after(true, preface.as_bytes()).await;
    assert!(took > limits::KEEP_ALIVE_EVERY, "{took:?}");
    let (answer, _) = end_after(false, format!("{head}\r\n").as_bytes()).await;
    assert!(answer.ends_with("answered"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn heads_that_no_client_sends_are_refused() {
    let lines = |count: usize| (0..count).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
    for (more, status) in [
        (lines(limits::HTTP1_HEADERS - 1), "HTTP/1.1 200"),
        (lines(limits::HTTP1_HEADERS), "HTTP/1.1 431"),
        (format!("x: {}\r\n", "y".repeat(2 * limits::HTTP1_BUFFER)), "HTTP/1.1 431"),
    ] {
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\n{more}\r\n");
        let (answer, _) = end_after(false, head.as_bytes()).await;
        assert!(answer.starts_with(status), "{status}: {answer}");
    }
}

#[path = "listen/strangers_tests.rs"]
mod strangers_tests;

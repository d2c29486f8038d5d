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
    let mut roots = RootCertStore::empty();
    let ca = running.context.pki.server_ca_pem();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((issued, pair)) => {
            let chain = issued.chain.into_iter().map(CertificateDer::from).collect();
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let tcp = TcpStream::connect(running.addr).await?;
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

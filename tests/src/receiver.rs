//! A service desk that hears by webhook: TLS on a real port, and as bad as the test wants it.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What it does with a request once it was read.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Answers with this status.
    Answer(u16),
    /// Answers with this status and these header lines.
    With(u16, String),
    /// Keeps the connection and says nothing.
    Silent,
    /// Says 200 and then bytes without end.
    Endless,
    /// Says headers without end.
    Headers,
    /// Closes the connection.
    Close,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Path and query.
    pub path: String,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: String,
}

impl Received {
    /// A header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body of JSON")
    }
}

#[derive(Debug)]
struct State {
    manner: Manner,
    received: Vec<Received>,
}

/// Listens until dropped.
#[derive(Debug)]
pub struct Receiver {
    /// On 127.0.0.1.
    pub port: u16,
    /// The authority of its certificate, which is for `localhost` and 127.0.0.1.
    pub ca_pem: String,
    state: Arc<Mutex<State>>,
    accept: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    ///
    /// # Panics
    ///
    /// When there is no port left.
    pub async fn start() -> Self {
        let (tls, ca_pem) = identity();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State { manner: Manner::Answer(204), received: Vec::new() }));
        let shared = state.clone();
        let accept = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, state) = (tls.clone(), shared.clone());
                tokio::spawn(async move {
                    // Who does not trust it goes away.
                    if let Ok(stream) = tls.accept(socket).await {
                        serve(stream, &state).await;
                    }
                });
            }
        });
        Receiver { port, ca_pem, state, accept }
    }

    /// Where it hears of events.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// From now on it is like this.
    pub fn be(&self, manner: Manner) {
        lock(&self.state).manner = manner;
    }

    /// Everything that came so far.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity() -> (TlsAcceptor, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let params = CertificateParams::new(names).expect("names");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)
        })
        .expect("TLS");
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) {
    let Some(request) = read(&mut stream).await else { return };
    let manner = {
        let mut state = lock(state);
        state.received.push(request);
        state.manner.clone()
    };
    // Whoever sent it may be gone before the answer is.
    let _ = answer(&mut stream, manner).await;
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), manner: Manner) -> std::io::Result<()> {
    let head = |status: u16, lines: &str| {
        let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n");
        let _ = write!(head, "{lines}\r\n");
        head
    };
    match manner {
        Manner::Answer(status) => stream.write_all(head(status, "").as_bytes()).await?,
        Manner::With(status, lines) => stream.write_all(head(status, &lines).as_bytes()).await?,
        Manner::Silent => std::future::pending().await,
        Manner::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
        Manner::Headers => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x-more: of the same\r\n").await?;
            }
        }
        Manner::Close => {}
    }
    stream.shutdown().await
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received { path, headers, body: String::from_utf8(body).ok()? })
}

//! The one TLS port: accepts, shakes hands, learns who calls, serves HTTP/2 and HTTP/1.1.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rustls::{
    RootCertStore, ServerConfig, crypto::CryptoProvider, pki_types::UnixTime, server::WebPkiClientVerifier,
    time_provider::TimeProvider,
};
use slipway_trust::Sha256;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt as _;

mod prompt;
mod strangers;

use self::{
    prompt::Prompt,
    strangers::{Bounds, Grace, Stranger, Strangers, overstayed},
};
use crate::{
    clock::Clock,
    limits,
    observe::Metrics,
    pki::{Pki, ServerIdentity, spki_sha256},
    service::{lines::Line, stop::Stop},
};

/// Who is at the other end of the connection; in the extensions of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub addr: SocketAddr,
    /// SHA-256 of the public key of the certificate it showed, when the device authority signed it.
    pub spki_sha256: Option<Sha256>,
    /// The connection.
    pub line: Arc<Line>,
}

impl Peer {
    /// What counts as one address for limits.
    pub fn network(&self) -> IpAddr {
        strangers::network(self.addr.ip())
    }

    /// The other end of the connection of that number; later ones have higher numbers.
    pub fn new(number: u64, addr: SocketAddr, spki_sha256: Option<Sha256>) -> Self {
        Peer { addr, spki_sha256, line: Arc::new(Line::new(number, addr.ip(), spki_sha256)) }
    }
}

/// What every connection needs.
#[derive(Clone)]
pub struct Listener {
    acceptor: TlsAcceptor,
    app: Router,
    metrics: Metrics,
    stop: Stop,
    bounds: Bounds,
    connections: Arc<Semaphore>,
    strangers: Strangers,
    /// How many there were.
    opened: Arc<AtomicU64>,
}

/// TLS as this server speaks it: a certificate of the device authority is welcome and not required.
pub fn tls_config(pki: &Pki, identity: ServerIdentity, clock: Clock) -> Result<ServerConfig, rustls::Error> {
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(pki.device_ca().clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(Now(clock)))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    // A resumed handshake costs half. Tickets, because the session cache holds 256 devices; one,
    // because a device that comes back needs one.
    config.send_tls13_tickets = 1;
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(config)
}

impl Listener {
    /// Ready to accept for `app`.
    pub fn new(config: ServerConfig, app: Router, metrics: Metrics, stop: Stop) -> Self {
        Listener::bounded(config, app, metrics, stop, Bounds::default())
    }

    fn bounded(config: ServerConfig, app: Router, metrics: Metrics, stop: Stop, bounds: Bounds) -> Self {
        Listener {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            app,
            metrics,
            stop,
            bounds,
            connections: Arc::new(Semaphore::new(bounds.connections)),
            strangers: Strangers::default(),
            opened: Arc::default(),
        }
    }

    /// Accepts until the stop is raised, then waits until the calls under way are done, at most
    /// [`limits::DRAIN`].
    pub async fn run(self, tcp: TcpListener) {
        let stop = self.stop.clone();
        tokio::select! {
            () = self.accept(&tcp) => {}
            () = stop.raised() => {}
        }
        drop(tcp);
        let all = u32::try_from(self.bounds.connections).unwrap_or(u32::MAX);
        if timeout(limits::DRAIN, self.connections.acquire_many(all)).await.is_err() {
            tracing::warn!(
                seconds = limits::DRAIN.as_secs(),
                open = self.bounds.connections - self.connections.available_permits(),
                "calls were still under way when the time to drain was over"
            );
        }
    }

    async fn accept(&self, tcp: &TcpListener) {
        loop {
            if self.connections.available_permits() == 0 {
                // Whoever proved himself, or is about to, finds a place while strangers hold some.
                self.strangers.dismiss_oldest();
            }
            // The semaphore is never closed.
            let Ok(permit) = self.connections.clone().acquire_owned().await else { return };
            let (stream, addr) = match tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    if is_of_one_connection(&error) {
                        continue;
                    }
                    // Out of file descriptors or memory: closing connections will free some.
                    tracing::warn!(%error, "cannot accept connections at the moment");
                    sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let number = self.opened.fetch_add(1, Ordering::Relaxed);
            let Some(stranger) = self.strangers.admit(number, addr.ip(), self.bounds.of_address) else {
                self.metrics.handshake("refused");
                tracing::debug!(%addr, "too many connections of this address proved nothing yet: closed");
                continue;
            };
            let this = self.clone();
            tokio::spawn(async move {
                let open = this.metrics.connection();
                this.serve(stream, addr, number, stranger).await;
                drop((open, permit));
            });
        }
    }

    async fn serve(&self, stream: TcpStream, addr: SocketAddr, number: u64, stranger: Stranger) {
        // Small answers must not wait for the acknowledgement of earlier ones.
        let _ = stream.set_nodelay(true);
        let shaken = tokio::select! {
            shaken = self.shake_hands(stream, addr) => shaken,
            () = stranger.dismissed() => None,
            () = self.stop.raised() => None,
        };
        let Some(tls) = shaken else { return };
        let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let peer = Peer::new(number, addr, certificate.and_then(spki_sha256));
        // The handshake has checked who signed a certificate.
        let mut stranger = Some(stranger).filter(|_| peer.spki_sha256.is_none());
        let line = peer.line.clone();
        let is_http2 = tls.get_ref().1.alpn_protocol() == Some(HTTP2);
        let service = self.app.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            request
        });
        let builder = http(is_http2, stranger.is_none());
        let connection = builder.serve_connection(begun(tls, is_http2), TowerToHyperService::new(service));
        tokio::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => Some(outcome),
            grace = self.end(&mut stranger, &line) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    outcome = connection => Some(outcome),
                    () = over(grace, stranger.as_ref(), &line) => None,
                }
            }
        };
        match outcome {
            Some(Ok(())) => {}
            // Devices lose power and networks: nothing to wake anybody for.
            Some(Err(error)) => tracing::debug!(%addr, %error, "a connection broke"),
            None => tracing::debug!(%addr, "a connection was cut"),
        }
    }

    /// Returns when the connection shall end, with the time that is left for the calls under way.
    async fn end(&self, stranger: &mut Option<Stranger>, line: &Line) -> Grace {
        tokio::select! {
            // How long those take that a stop waits for is for `run` to say.
            () = self.stop.raised() => Grace::Unbounded,
            () = line.closed() => Grace::For(limits::CUT),
            grace = overstayed(stranger, line, &self.bounds) => grace,
        }
    }

    async fn shake_hands(&self, stream: TcpStream, addr: SocketAddr) -> Option<TlsStream<TcpStream>> {
        match timeout(limits::HANDSHAKE, self.acceptor.accept(stream)).await {
            Ok(Ok(tls)) => {
                self.metrics.handshake("ok");
                Some(tls)
            }
            Ok(Err(error)) => {
                self.metrics.handshake("failed");
                tracing::debug!(%addr, %error, "a handshake failed");
                None
            }
            Err(_) => {
                self.metrics.handshake("timeout");
                tracing::debug!(%addr, "a handshake took too long");
                None
            }
        }
    }
}

/// Returns when the calls under way had their time.
async fn over(grace: Grace, stranger: Option<&Stranger>, line: &Line) {
    let spent = async {
        match grace {
            Grace::None => {}
            Grace::For(span) => sleep(span).await,
            Grace::Unbounded => std::future::pending().await,
        }
    };
    let closed = async {
        line.closed().await;
        sleep(limits::CUT).await;
    };
    let dismissed = async {
        match stranger {
            Some(stranger) => stranger.dismissed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = spent => {}
        () = closed => {}
        () = dismissed => {}
    }
}

/// What HTTP/2 begins with: its preface is so long.
const PREFACE: usize = 24;
/// HTTP/2 as the handshake names it.
const HTTP2: &[u8] = b"h2";

/// The connection, on which the other end has to say something in time: HTTP/1.1 sees to that by itself.
fn begun<T>(io: T, is_http2: bool) -> TokioIo<Prompt<T>> {
    TokioIo::new(Prompt::new(io, if is_http2 { PREFACE } else { 0 }, limits::HEADER_READ))
}

/// The protocol that the handshake agreed on; HTTP/1.1 where it named none. Guessing from the first
/// bytes would wait for them for ever.
fn http(is_http2: bool, is_device: bool) -> Builder<TokioExecutor> {
    let streams = if is_device { limits::STREAMS_PER_CONNECTION } else { limits::STREAMS_OF_STRANGER };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_READ)
        .max_headers(limits::HTTP1_HEADERS)
        .max_buf_size(limits::HTTP1_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(limits::HEADER_LIST)
        .keep_alive_interval(limits::KEEP_ALIVE_EVERY)
        .keep_alive_timeout(limits::KEEP_ALIVE_ANSWER);
    if is_http2 { builder.http2_only() } else { builder.http1_only() }
}

/// Errors of `accept` that belong to the caller who is gone again.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Certificates are checked against the server's clock, so that a test can hold it still.
#[derive(Debug)]
struct Now(Clock);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        let millis = u64::try_from(self.0.now().millis()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(millis)))
    }
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;

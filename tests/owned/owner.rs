//! The server in other hands: a real slipwayd behind a door that has its TLS key, and says what it likes.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use prost::{Message, bytes::Bytes};
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use slipway_agent::StateDir;
use slipway_proto::v1::{
    CheckInRequest, Inventory, MetadataVersions, ReportUpdateRequest, SendTelemetryRequest,
};
use slipway_server::clock::Clock;
use slipway_tests::{operator::Caller, world::World};
use slipway_trust::Sha256;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tower::{Service, ServiceExt as _};

/// The calls of a device, by path.
pub const CHECK_IN: &str = "/slipway.v1.DeviceService/CheckIn";
pub const REPORT: &str = "/slipway.v1.DeviceService/ReportUpdate";
pub const READINGS: &str = "/slipway.v1.DeviceService/SendTelemetry";
pub const TIME: &str = "/slipway.v1.EnrollmentService/GetTime";
pub const RENEW: &str = "/slipway.v1.EnrollmentService/Renew";

/// What a device asks.
#[derive(Debug)]
pub struct Call {
    /// For example [`CHECK_IN`], or the path of a file.
    pub path: String,
    /// The message of a gRPC call.
    pub message: Bytes,
}

impl Call {
    pub fn read<M: Message + Default>(&self) -> M {
        M::decode(self.message.clone()).expect("what a real agent writes")
    }
}

/// What it is answered.
pub enum Answer {
    /// A message, in full.
    Message(Vec<u8>),
    /// An error.
    Refusal(Status),
    /// Whatever it may be.
    Raw(Response<Body>),
    /// The file at another path.
    File(String),
}

impl Answer {
    pub fn of(message: &impl Message) -> Option<Self> {
        Some(Self::Message(message.encode_to_vec()))
    }

    /// The first bytes of an answer that should be a message, and whatever follows.
    pub fn stream(body: Body) -> Option<Self> {
        let answer = Response::builder().header("content-type", "application/grpc").body(body);
        Some(Self::Raw(answer.expect("a response")))
    }
}

/// What is said to whom in place of the truth; nothing leaves the answer to the real server.
pub type Lie = Arc<dyn Fn(&Call) -> Option<Answer> + Send + Sync>;

/// What a device said.
#[derive(Debug, Default)]
pub struct Heard {
    /// What it held when it checked in last.
    pub have: MetadataVersions,
    /// What it said of itself last.
    pub inventory: Inventory,
    /// Reports of updates that the real server knows nothing of.
    pub reports: Vec<ReportUpdateRequest>,
    /// Classes of the readings that it sent.
    pub classes: BTreeSet<i32>,
    /// Calls and requests of any kind.
    pub calls: u64,
    /// Of them, since the lie.
    pub lied: u64,
}

/// The door, for one device. It closes when dropped.
pub struct Owner {
    /// Where it is.
    pub port: u16,
    shared: Arc<Shared>,
    accept: JoinHandle<()>,
}

struct Shared {
    state: StateDir,
    server: u16,
    ca_pem: String,
    lie: Mutex<Option<Lie>>,
    heard: Mutex<Heard>,
    /// The way to the real server, and the certificate that is shown on it.
    way: Mutex<Option<(String, Caller)>>,
}

impl Owner {
    /// Opens a door to the server of `world` for the device that keeps its state in `state`.
    pub async fn start(world: &World, state: &StateDir) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            state: state.clone(),
            server: world.port(),
            ca_pem: world.read("server-ca.pem"),
            lie: Mutex::default(),
            heard: Mutex::default(),
            way: Mutex::default(),
        });
        let acceptor = TlsAcceptor::from(Arc::new(identity(world)));
        let door = Door(shared.clone());
        let accept = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, door) = (acceptor.clone(), door.clone());
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let http = Builder::new(TokioExecutor::new());
                    // A connection that breaks is the agent's to open again.
                    let _ = http.serve_connection(TokioIo::new(tls), TowerToHyperService::new(door)).await;
                });
            }
        });
        Self { port, shared, accept }
    }

    /// From now on says this; nothing means the truth.
    pub fn tell(&self, lie: Option<Lie>) {
        self.heard(|heard| heard.lied = 0);
        *self.shared.lie.lock().expect("the lie") = lie;
    }

    pub fn heard<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.shared.heard.lock().expect("what was heard"))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

#[derive(Clone)]
struct Door(Arc<Shared>);

impl<B> Service<Request<B>> for Door
where
    B: BodyExt + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await else { return Ok(nothing()) };
            Ok(shared.answer(head, body.to_bytes()).await)
        })
    }
}

fn nothing() -> Response<Body> {
    Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::empty()).expect("a response")
}

impl Shared {
    async fn answer(&self, head: http::request::Parts, body: Bytes) -> Response<Body> {
        // Behind the mark of compression and the length.
        let message = body.slice(body.len().min(5)..);
        let call = Call { path: head.uri.path().to_owned(), message };
        let is_lie = self.listen(&call);
        let lie = self.lie.lock().expect("the lie").clone();
        let answer = lie.and_then(|lie| lie(&call));
        if answer.is_some() {
            self.heard.lock().expect("what was heard").lied += 1;
        }
        match answer {
            Some(Answer::Message(message)) => unary(&message),
            Some(Answer::Refusal(status)) => status.into_http(),
            Some(Answer::Raw(answer)) => answer,
            Some(Answer::File(path)) => self.pass(&head, &path, Bytes::new()).await,
            None if is_lie => unary(&[]),
            None => self.pass(&head, head.uri.path(), body).await,
        }
    }

    /// Takes note of what a device says; true if it reports on an update that the real server does not know.
    fn listen(&self, call: &Call) -> bool {
        let mut heard = self.heard.lock().expect("what was heard");
        heard.calls += 1;
        match call.path.as_str() {
            CHECK_IN => {
                let request: CheckInRequest = call.read();
                heard.have = request.have.unwrap_or_default();
                heard.inventory = request.inventory.unwrap_or(std::mem::take(&mut heard.inventory));
            }
            READINGS => {
                let batch: SendTelemetryRequest = call.read();
                heard.classes.extend(batch.readings.iter().map(|reading| reading.data_class));
            }
            REPORT => {
                let report: ReportUpdateRequest = call.read();
                let is_lie = report.update.contains("/updates/lie");
                heard.reports.extend(is_lie.then_some(report));
                return is_lie;
            }
            _ => {}
        }
        false
    }

    /// Asks the real server, as the device.
    async fn pass(&self, head: &http::request::Parts, path: &str, body: Bytes) -> Response<Body> {
        let mut request = Request::new(tonic::body::Body::new(Full::new(body)));
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = path.parse().expect("a path");
        *request.headers_mut() = head.headers.clone();
        let mut channel = self.caller().channel;
        let answer = async { channel.ready().await?.call(request).await };
        answer.await.map_or_else(|_| nothing(), |answer| answer.map(Body::new))
    }

    fn caller(&self) -> Caller {
        let read = |path| std::fs::read_to_string(path).ok();
        let papers = read(self.state.certificate()).zip(read(self.state.key()));
        let shown = papers.as_ref().map_or_else(String::new, |(certificate, _)| certificate.clone());
        let mut way = self.way.lock().expect("the way");
        if let Some((known, caller)) = &*way
            && *known == shown
        {
            return caller.clone();
        }
        let papers = papers.as_ref().filter(|(certificate, key)| belong_together(certificate, key));
        let device = papers.map(|(certificate, key)| (certificate.as_str(), key.as_str()));
        let caller = Caller::connect(self.server, &self.ca_pem, None, device);
        *way = Some((shown, caller.clone()));
        caller
    }
}

/// Some lies leave the device with a certificate that it cannot show.
fn belong_together(certificate: &str, key: &str) -> bool {
    let first = CertificateDer::pem_slice_iter(certificate.as_bytes()).next().and_then(Result::ok);
    let of_key = KeyPair::from_pem(key).map(|key| Sha256::of(&key.subject_public_key_info())).ok();
    first.is_some_and(|der| slipway_server::pki::spki_sha256(&der) == of_key)
}

/// A message as gRPC frames it, and that all went well.
fn unary(message: &[u8]) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let length = u32::try_from(message.len()).expect("a message of less than 4 GiB").to_be_bytes();
    let framed = Bytes::from([&[0], length.as_slice(), message].concat());
    let body = Full::new(framed).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
    let answer = Response::builder().header("content-type", "application/grpc").body(Body::new(body));
    answer.expect("a response")
}

/// A certificate that the server's own authority issued.
fn identity(world: &World) -> ServerConfig {
    let names = ["127.0.0.1".to_owned()];
    let issued = world.running.context.pki.issue_server(&names, [7; 16], Clock::System.now());
    let identity = issued.expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .expect("a configuration");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

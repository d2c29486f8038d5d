//! What a tonic server costs that does nothing: the same TLS, the same message in and out, no decision.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use slipway_proto::v1::{
    CheckInRequest, CheckInResponse, ReportUpdateRequest, ReportUpdateResponse, SendTelemetryRequest,
    SendTelemetryResponse,
    device_service_server::{DeviceService, DeviceServiceServer},
};
use slipway_tests::{fleet::Fleet, processes::Process};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, service::Routes};

/// Makes this program the bare server; followed by a folder with the CA of the devices.
pub const ARGUMENT: &str = "bare-server";

const DEVICE_CA: &str = "device-ca.pem";
const SERVER_CA: &str = "bare-ca.pem";

/// The bare server as a process.
pub struct Bare {
    /// Where it listens on the loopback.
    pub port: u16,
    /// Who signed its certificate.
    pub ca_pem: String,
    /// The process.
    pub process: Process,
}

impl Bare {
    /// Starts this very program again, as the server; it trusts the devices of `fleet`.
    pub fn start(fleet: &Fleet) -> Self {
        let folder = fleet.path("bare");
        fs::create_dir_all(&folder).expect("a folder");
        fs::copy(fleet.data().join(DEVICE_CA), Path::new(&folder).join(DEVICE_CA)).expect("the devices' CA");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([ARGUMENT, &folder])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the bare server starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the port");
        let ca_pem = fs::read_to_string(Path::new(&folder).join(SERVER_CA)).expect("the server's CA");
        Bare { port: line.trim().parse().expect("a port"), ca_pem, process: Process::from(child) }
    }
}

/// Serves until it is killed; prints its port.
pub fn serve(folder: &Path) {
    // The kind of runtime that slipwayd has.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let acceptor = TlsAcceptor::from(Arc::new(tls(folder)));
        let app = Routes::new(DeviceServiceServer::new(Nothing)).into_axum_router();
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        println!("{}", tcp.local_addr().expect("an address").port());
        std::io::stdout().flush().expect("an open pipe");
        loop {
            let (stream, _) = tcp.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            let (acceptor, app) = (acceptor.clone(), app.clone());
            tokio::spawn(async move {
                let tls = acceptor.accept(stream).await.expect("a handshake");
                let service = TowerToHyperService::new(app);
                // The caller hangs up in the end.
                let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service).await;
            });
        }
    });
}

fn tls(folder: &Path) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(folder.join(DEVICE_CA)).expect("the devices' CA"))
        .expect("a CA certificate");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .expect("a verifier");

    let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, key()).expect("a CA");
    fs::write(folder.join(SERVER_CA), issuer.pem()).expect("a writable folder");
    let server_key = key();
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = params.signed_by(&server_key, &issuer).expect("a certificate");

    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(server_key.serialize_der()).expect("a key"),
        )
        .expect("a certificate of this key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Answers what slipwayd answers when nothing changed, without looking.
struct Nothing;

#[tonic::async_trait]
impl DeviceService for Nothing {
    async fn check_in(&self, _: Request<CheckInRequest>) -> Result<Response<CheckInResponse>, Status> {
        let next_check_in = prost_types::Duration::try_from(Duration::from_secs(60)).ok();
        Ok(Response::new(CheckInResponse { next_check_in, ..CheckInResponse::default() }))
    }

    async fn report_update(
        &self,
        _: Request<ReportUpdateRequest>,
    ) -> Result<Response<ReportUpdateResponse>, Status> {
        Err(Status::unimplemented("nobody reports here"))
    }

    async fn send_telemetry(
        &self,
        _: Request<SendTelemetryRequest>,
    ) -> Result<Response<SendTelemetryResponse>, Status> {
        Err(Status::unimplemented("nobody measures here"))
    }
}

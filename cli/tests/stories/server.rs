//! A TLS listener with the services of one test behind it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

/// Listens until it is dropped.
pub struct TestServer {
    dir: TempDir,
    task: AbortHandle,
}

impl TestServer {
    /// Listens on a free port, with a certificate of its own, and writes a profile for it.
    pub async fn start(routes: Routes) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificate = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        fs::write(dir.path().join("ca.pem"), certificate.cert.pem()).unwrap();
        fs::write(dir.path().join("profile.toml"), format!("server = \"{url}\"\nca = \"ca.pem\"\n")).unwrap();
        let task = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), routes)).abort_handle();
        Self { dir, task }
    }

    /// Where the profile is; a test may put its own files beside it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The profile of this server.
    pub fn profile(&self) -> PathBuf {
        self.dir.path().join("profile.toml")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, routes: Routes) {
    let app = routes.into_axum_router();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let (acceptor, app) = (acceptor.clone(), app.clone());
        tokio::spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let service = TowerToHyperService::new(app);
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service).await;
        });
    }
}

//! A port that speaks HTTP/2 over TLS.

use std::sync::Arc;

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;

/// Who a server is.
pub struct Identity {
    /// Signed by itself, so its own authority too.
    pub certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

impl Identity {
    /// For the loopback.
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        Self { certificate: names.self_signed(&key).unwrap(), key }
    }

    fn tls(&self) -> rustls::ServerConfig {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        tls
    }
}

/// Answers whoever connects, until the test ends.
pub async fn serve(listener: TcpListener, identity: Identity, router: Router) {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(identity.tls()));
    while let Ok((tcp, _)) = listener.accept().await {
        // A test that holds the clock still cannot wait for the kernel to put small packets together.
        tcp.set_nodelay(true).unwrap();
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let service = TowerToHyperService::new(router);
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service).await;
        });
    }
}

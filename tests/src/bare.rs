//! A connection by hand: TLS as a device or as nobody, and HTTP/1.1 on it, for tests that watch it end.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// An open connection.
#[derive(Debug)]
pub struct Bare(TlsStream<TcpStream>);

impl Bare {
    /// Connects to `localhost:PORT`, trusts `ca_pem` alone, and shows a certificate and its key, both PEM.
    ///
    /// # Panics
    ///
    /// When that does not succeed.
    pub async fn connect(port: u16, ca_pem: &str, device: (&str, &str)) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("PEM")).expect("an authority");
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(device.0.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(device.1.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.expect("a chain"), key)
            .expect("an identity");
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        Bare(TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a handshake"))
    }

    /// Asks for `path` and reads the head of the answer; returns its status. The connection stays open.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub async fn get(&mut self, path: &str) -> u16 {
        let request = format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// Whether the other end closes the connection within `limit`.
    pub async fn ends_within(mut self, limit: Duration) -> bool {
        let end = async { while self.0.read_u8().await.is_ok() {} };
        timeout(limit, end).await.is_ok()
    }
}

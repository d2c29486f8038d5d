//! A liar on the wire who holds the server's key: between an agent and its server, it changes what the server says.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use slipway_server::{
    clock::Clock,
    pki::{AuthorityPem, Generations, Pki},
};
use slipway_tests::fleet::{Device, Fleet};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Sits between one device and its server until dropped. It passes on what the device says.
#[derive(Debug)]
pub struct Liar {
    lies: Arc<Lies>,
    accept: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Lies {
    needles: Mutex<Vec<Vec<u8>>>,
    told: AtomicU64,
}

impl Liar {
    /// Takes the place of the server for a device, whose agent does not run.
    pub async fn between(fleet: &Fleet, device: &Device) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let path = device.state.join("agent.toml");
        let config = fs::read_to_string(&path).expect("agent.toml");
        let config = config.replace(&format!(":{}", fleet.port), &format!(":{port}"));
        fs::write(&path, config).expect("agent.toml");

        let acceptor = TlsAcceptor::from(Arc::new(as_server(&fleet.data())));
        let connector = TlsConnector::from(Arc::new(as_device(&device.state)));
        let lies = Arc::<Lies>::default();
        let (shared, server) = (lies.clone(), fleet.port);
        let accept = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, connector, lies) = (acceptor.clone(), connector.clone(), shared.clone());
                tokio::spawn(async move {
                    // A connection that breaks is the agent's to open again.
                    let _ = pass(socket, server, &acceptor, &connector, &lies).await;
                });
            }
        });
        Liar { lies, accept }
    }

    /// From now on flips a bit wherever the server says one of these.
    pub fn flip(&self, needles: Vec<Vec<u8>>) {
        assert!(needles.iter().all(|needle| needle.len() >= 8), "short ones are everywhere");
        *self.lies.needles.lock().expect("lies") = needles;
    }

    /// Passes on everything as it is.
    pub fn reform(&self) {
        self.lies.needles.lock().expect("lies").clear();
    }

    /// How many bits were flipped.
    pub fn told(&self) -> u64 {
        self.lies.told.load(Ordering::Relaxed)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Lies {
    fn tell(&self, said: &mut [u8]) {
        for needle in self.needles.lock().expect("lies").iter() {
            if let Some(at) = said.windows(needle.len()).position(|window| window == needle) {
                said[at + needle.len() / 2] ^= 1;
                self.told.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

async fn pass(
    socket: TcpStream,
    server: u16,
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    lies: &Lies,
) -> std::io::Result<()> {
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let (mut from_device, mut to_device) = tokio::io::split(acceptor.accept(socket).await?);
    let socket = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut from_server, mut to_server) = tokio::io::split(connector.connect(name, socket).await?);
    let up = async {
        let copied = tokio::io::copy(&mut from_device, &mut to_server).await;
        // The other side hears of the end.
        to_server.shutdown().await?;
        copied.map(drop)
    };
    let down = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = from_server.read(&mut buffer).await?;
            if count == 0 {
                return to_device.shutdown().await;
            }
            lies.tell(&mut buffer[..count]);
            to_device.write_all(&buffer[..count]).await?;
            to_device.flush().await?;
        }
    };
    tokio::try_join!(up, down).map(drop)
}

/// With a certificate that the server's own authority issued.
fn as_server(data: &Path) -> ServerConfig {
    let read = |name: &str| fs::read_to_string(data.join(name)).expect("a file of the server");
    let authority = |name: &str| AuthorityPem {
        key: read(&format!("keys/{name}.pem")),
        certificate: read(&format!("{name}.pem")),
    };
    let server = Generations::first(authority("server-ca")).expect("an authority");
    let pki = Pki::new(&authority("device-ca"), &server).expect("the authorities");
    let names = ["127.0.0.1".to_owned()];
    let identity = pki.issue_server(&names, [7; 16], Clock::System.now()).expect("a certificate");
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .expect("a configuration");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// With the device's own certificate.
fn as_device(state: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(state.join("server-ca.pem")).expect("the server's CA") {
        roots.add(certificate.expect("a certificate")).expect("an authority");
    }
    let chain =
        CertificateDer::pem_file_iter(state.join("certificate.pem")).expect("the device's certificate");
    let chain = chain.map(|certificate| certificate.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(state.join("key.pem")).expect("the device's key");
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .expect("a configuration");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

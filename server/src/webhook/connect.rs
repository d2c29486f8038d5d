//! A connection to an address that somebody else chose: looked up once, checked, and then that very address called.
//!
//! Nothing between the check and the connection asks for the name again, so a name that leads elsewhere at the next
//! question (DNS rebinding) leads nowhere. No proxy is used and no connection is kept for a second event.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::FutureExt as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::post::ATTEMPT;
use crate::model::address::AddressPolicy;

/// Of the addresses of a name, so many are tried, one after the other.
const ADDRESSES: usize = 4;
/// For one of them.
const CONNECT: Duration = Duration::from_secs(5);

/// A stream of bytes, in TLS or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why the configuration for outgoing connections cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The file of further authorities.
    #[error("cannot read the authorities of webhooks in {}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What a name leads to, at each time that it is asked.
pub type Told = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

/// How names become addresses.
#[derive(Clone)]
pub enum Resolver {
    /// As the system does it.
    System,
    /// As a test says; asked each time.
    Told(Told),
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resolver::System => "System",
            Resolver::Told(_) => "Told",
        })
    }
}

impl Resolver {
    async fn look_up(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self {
            Resolver::System => Ok(tokio::net::lookup_host((name, port)).await?.collect()),
            Resolver::Told(told) => Ok(told(name).into_iter().map(|ip| SocketAddr::new(ip, port)).collect()),
        }
    }
}

/// Outgoing connections of webhooks.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Which addresses may be called.
    pub policy: AddressPolicy,
    /// As which server events say they come: its URL.
    pub source: String,
    /// How long an attempt may take.
    pub patience: Duration,
    resolver: Resolver,
    authorities: Arc<[CertificateDer<'static>]>,
    // Reading the system's authorities takes a while, and most servers have no webhook.
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Outbound {
    /// Trusts the system's authorities, and those in `authorities`.
    ///
    /// # Errors
    /// A file that cannot be read, or without a certificate.
    pub fn new(
        policy: AddressPolicy,
        source: String,
        authorities: Option<&Path>,
        resolver: Resolver,
    ) -> Result<Self, OutboundError> {
        let authorities = match authorities {
            Some(path) => {
                read(path).map_err(|source| OutboundError::Authorities { path: path.to_owned(), source })?
            }
            None => Vec::new(),
        };
        Ok(Outbound {
            policy,
            source,
            patience: ATTEMPT,
            resolver,
            authorities: authorities.into(),
            tls: Arc::default(),
        })
    }

    /// Connects to where the URL leads, if that may be called. The error is a sentence for whoever made the webhook.
    pub(super) async fn connect(&self, url: &Url) -> Result<Box<dyn Stream>, String> {
        // Before anything is asked or called: a webhook may be older than the configuration.
        let is_secure = match url.scheme() {
            "https" => true,
            "http" if self.policy.http => false,
            other => return Err(format!("{other} is not allowed by this server's configuration")),
        };
        let port = url.port_or_known_default().ok_or("the address has no port")?;
        let found = match url.host().ok_or("the address names no host")? {
            Host::Ipv4(ip) => vec![SocketAddr::new(ip.into(), port)],
            Host::Ipv6(ip) => vec![SocketAddr::new(ip.into(), port)],
            Host::Domain(name) => self
                .resolver
                .look_up(name, port)
                .await
                .map_err(|error| format!("the name {name} cannot be looked up: {error}"))?,
        };
        let stream = self.connect_to_one(&found).await?;
        if is_secure { self.secure(url, stream).await } else { Ok(Box::new(stream)) }
    }

    async fn connect_to_one(&self, found: &[SocketAddr]) -> Result<TcpStream, String> {
        let mut problem = "the name leads to no address".to_owned();
        let mut tried = 0;
        for address in found {
            if let Err(what) = self.policy.check(address.ip()) {
                problem = format!("{} is refused: it is {what}", address.ip());
                continue;
            }
            if tried == ADDRESSES {
                break;
            }
            tried += 1;
            problem = match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => format!("{address} cannot be reached: {error}"),
                Err(_) => format!("{address} cannot be reached: no answer within {} s", CONNECT.as_secs()),
            };
        }
        Err(problem)
    }

    async fn secure(&self, url: &Url, stream: TcpStream) -> Result<Box<dyn Stream>, String> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| "its host has no name to verify".to_owned())?;
        // Boxed: the state of a handshake is large, and most of the time not there.
        let handshake = TlsConnector::from(self.tls()?).connect(name, stream).boxed();
        match handshake.await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(format!("no secure connection: {error}")),
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        let (taken, _) = roots.add_parsable_certificates(system.certs);
        roots.add_parsable_certificates(self.authorities.iter().cloned());
        if taken == 0 {
            tracing::warn!(
                errors = system.errors.len(),
                "the system has no certificate authorities; webhooks trust those of the configuration alone"
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.tls.get_or_init(|| Arc::new(config)).clone())
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, Box<dyn std::error::Error + Send + Sync>> {
    let found = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() {
        return Err("it holds no certificate in PEM".into());
    }
    Ok(found)
}

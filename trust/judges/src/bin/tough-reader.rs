//! A reader that knows of Slipway only what TUF says: it starts from a root and fetches one target over
//! HTTPS with `tough`.
//!
//!     tough-reader ROOT.json CA.pem https://HOST:PORT TARGET > FILE

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tough::{IntoVec as _, RepositoryLoader, TargetName, Transport, TransportError, TransportErrorKind};
use tough::{TransportStream, async_trait};
use url::Url;

/// HTTPS with one trusted authority: a connection for each file, and no more of HTTP than that takes.
#[derive(Debug, Clone)]
struct Https(Arc<ClientConfig>);

impl Https {
    fn trusting(ca: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca)?)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    fn get(&self, url: &Url) -> anyhow::Result<Option<Vec<u8>>> {
        let (host, port) = (url.host_str().context("no host")?, url.port().unwrap_or(443));
        let name = ServerName::try_from(host.to_owned())?;
        let connection = ClientConnection::new(self.0.clone(), name)?;
        let mut stream = StreamOwned::new(connection, TcpStream::connect((host, port))?);
        write!(stream, "GET {} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n", url.path())?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply)?;
        let head = reply.windows(4).position(|four| four == b"\r\n\r\n").context("no head")?;
        let body = reply.split_off(head + 4);
        match reply.split(|byte| *byte == b' ').nth(1) {
            Some(b"200") => Ok(Some(body)),
            Some(b"404") => Ok(None),
            _ => bail!("{url}: {}", String::from_utf8_lossy(&reply)),
        }
    }
}

#[async_trait]
impl Transport for Https {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        match self.get(&url) {
            Ok(Some(body)) => Ok(Box::pin(futures::stream::once(std::future::ready(Ok(body.into()))))),
            Ok(None) => Err(TransportError::new(TransportErrorKind::FileNotFound, url)),
            Err(error) => Err(TransportError::new_with_cause(TransportErrorKind::Other, url, error)),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, ca, server, target] = arguments.as_slice() else {
        bail!("usage: tough-reader ROOT.json CA.pem https://HOST:PORT TARGET");
    };
    let server = Url::parse(server)?;
    let (metadata, targets) = (server.join("/tuf/metadata/")?, server.join("/tuf/targets/")?);
    let root = std::fs::read(root)?;
    let transport = Https::trusting(ca)?;
    let name = TargetName::new(target)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let bytes = runtime.block_on(async {
        let repository = RepositoryLoader::new(&root, metadata, targets).transport(transport).load().await?;
        let target = repository.read_target(&name).await?.context("nobody signed that target")?;
        anyhow::Ok(target.into_vec().await?)
    })?;
    Ok(std::io::stdout().write_all(&bytes)?)
}

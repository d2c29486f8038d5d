//! The connection below gRPC: TCP, TLS that trusts exactly one CA, and what to say when there is none.

use std::{error::Error, fmt, io, sync::Arc};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    error::{Failure, io_words},
    profile::Profile,
};

/// Where to connect, taken apart once.
#[derive(Clone)]
pub struct Target {
    /// As requests name it: `https://host:port/`.
    pub uri: Uri,
    /// `host:port`.
    pub authority: String,
    host: String,
    port: u16,
    name: ServerName<'static>,
}

impl Target {
    /// Takes `https://host[:port]` apart.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(server: &str) -> Result<Self, Failure> {
        let bad = |problem: &str| {
            Failure::new(format!("`{server}` is not the address of a server: {problem}"))
                .hint("write for example https://fleet.example:7443")
                .reason("PROFILE_INVALID")
        };
        let uri: Uri = server.parse().map_err(|_| bad("it is no URL"))?;
        if uri.scheme_str() != Some("https") {
            return Err(bad("it has to start with https://"));
        }
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?.to_string();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name =
            ServerName::try_from(host.clone()).map_err(|_| bad("its host is no name and no IP address"))?;
        let port = uri.port_u16().unwrap_or(443);
        Ok(Self { uri, authority, host, port, name })
    }
}

/// The trust of one profile.
pub struct Tls {
    config: Arc<ClientConfig>,
    ca: String,
}

/// Trusts the CA of the profile and no other.
///
/// # Errors
/// A file that holds no usable certificate.
pub fn tls_config(profile: &Profile) -> Result<Arc<Tls>, Failure> {
    let ca = profile.ca_path.display().to_string();
    let unusable = |problem: String| {
        Failure::new(format!("the CA in {ca} cannot be used: {problem}"))
            .hint("it has to be the server-ca.pem of the server's data directory")
            .reason("PROFILE_INVALID")
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&profile.ca_pem) {
        let certificate =
            certificate.map_err(|_| unusable("it is not a file of certificates in PEM".into()))?;
        roots.add(certificate).map_err(|_| unusable("one of its certificates is damaged".into()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Failure::bug)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(Tls { config: Arc::new(config), ca }))
}

/// Connects and shakes hands.
///
/// # Errors
/// Nobody there, or somebody else.
pub async fn connect_tls(
    target: Target,
    tls: Arc<Tls>,
) -> Result<TokioIo<TlsStream<TcpStream>>, ConnectError> {
    let server = target.uri.to_string();
    let server = server.trim_end_matches('/');
    let tcp = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp))
        .map_err(|error| ConnectError::unreachable(server, io_words(&error)))?;
    let stream = TlsConnector::from(tls.config.clone())
        .connect(target.name, tcp)
        .await
        .map_err(|error| ConnectError::of_handshake(server, &tls.ca, &error))?;
    Ok(TokioIo::new(stream))
}

/// Why there is no connection. Travels through tonic as the cause of its error.
#[derive(Debug, Clone)]
pub struct ConnectError {
    message: String,
    hint: String,
    reason: &'static str,
}

impl ConnectError {
    /// Nobody there, or nobody that answers.
    pub fn unreachable(server: &str, cause: impl fmt::Display) -> Self {
        Self {
            message: format!("cannot reach {server}: {cause}"),
            hint: "is slipwayd running there, and is the address in the profile the one it printed?".into(),
            reason: "SERVER_UNREACHABLE",
        }
    }

    fn untrusted(server: &str, problem: impl fmt::Display, hint: &str) -> Self {
        Self {
            message: format!("{server} is not the server this profile knows: {problem}"),
            hint: hint.into(),
            reason: "SERVER_CERTIFICATE",
        }
    }

    fn of_handshake(server: &str, ca: &str, error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Self::unreachable(server, format!("the TLS handshake broke off: {}", io_words(error)));
        };
        let certificate = match error {
            rustls::Error::InvalidCertificate(certificate) => certificate,
            rustls::Error::InvalidMessage(_) => {
                return Self::unreachable(server, "what answers there does not speak TLS");
            }
            other => return Self::unreachable(server, format!("the two could not agree on TLS ({other})")),
        };
        match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::untrusted(
                server,
                format!("its certificate was not signed by the CA in {ca}"),
                "if the server was set up anew, copy its new server-ca.pem; otherwise somebody may be in between",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::untrusted(
                    server,
                    "its certificate is for another name",
                    "use a name that the server was started with, or add this one with `slipwayd serve --public-name`",
                )
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::untrusted(
                server,
                "its certificate is not valid at this time",
                "check the clocks of both machines; restart slipwayd to renew its certificate",
            ),
            other => Self::untrusted(
                server,
                match other {
                    CertificateError::Other(_) => "its certificate is not one that slipwayd makes".to_owned(),
                    other => format!("its certificate cannot be accepted ({other})"),
                },
                "slipwayd makes a good one when it starts; is something in between that shows its own?",
            ),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConnectError {}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::new(error.message).hint(error.hint).reason(error.reason)
    }
}

/// The innermost cause, which says most, in words.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(error) => io_words(error),
        None => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::connect::Api;

    fn certificate(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap()
    }

    async fn refusal(server: &str, ca: &str) -> String {
        let profile = Profile {
            server: server.into(),
            ca_pem: ca.into(),
            ca_path: PathBuf::from("server-ca.pem"),
            token: None,
        };
        Api::connect(&profile).await.err().map(|f| f.to_string()).unwrap_or_default()
    }

    /// What a client that trusts `ca` says of a server that shows a certificate for `name`.
    async fn refusal_of_certificate(shown: &rcgen::CertifiedKey<rcgen::KeyPair>, ca: &str) -> String {
        let key = PrivateKeyDer::try_from(shown.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![shown.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("https://{}", listener.local_addr().unwrap());
        let answer = async {
            let (tcp, _) = listener.accept().await.unwrap();
            TlsAcceptor::from(Arc::new(config)).accept(tcp).await.is_err()
        };
        let (text, refused) = tokio::join!(refusal(&server, ca), answer);
        assert!(refused);
        text.replace(&server, "SERVER")
    }

    #[tokio::test]
    async fn settings_that_cannot_work_are_refused_before_connecting() {
        let ca = certificate("localhost").cert.pem();
        assert_eq!(
            refusal("http://127.0.0.1:1", &ca).await,
            "error: `http://127.0.0.1:1` is not the address of a server: it has to start with https://\n\
             hint: write for example https://fleet.example:7443\n\
             see docs/errors/PROFILE_INVALID.md"
        );
        assert_eq!(
            refusal("https://127.0.0.1:1", "nothing").await,
            "error: the CA in server-ca.pem cannot be used: it holds no certificate\n\
             hint: it has to be the server-ca.pem of the server's data directory\n\
             see docs/errors/PROFILE_INVALID.md"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(
            refusal(&server, &certificate("localhost").cert.pem()).await,
            format!(
                "error: cannot reach {server}: nothing listens at that address\n\
                 hint: is slipwayd running there, and is the address in the profile the one it printed?\n\
                 see docs/errors/SERVER_UNREACHABLE.md"
            )
        );
    }

    #[tokio::test]
    async fn another_server_is_not_talked_to() {
        let shown = certificate("127.0.0.1");
        assert_eq!(
            refusal_of_certificate(&shown, &certificate("127.0.0.1").cert.pem()).await,
            "error: SERVER is not the server this profile knows: \
             its certificate was not signed by the CA in server-ca.pem\n\
             hint: if the server was set up anew, copy its new server-ca.pem; otherwise somebody may be in between\n\
             see docs/errors/SERVER_CERTIFICATE.md"
        );
        let elsewhere = certificate("elsewhere.example");
        let text = refusal_of_certificate(&elsewhere, &elsewhere.cert.pem()).await;
        assert!(
            text.starts_with(
                "error: SERVER is not the server this profile knows: its certificate is for another name\n"
            ),
            "{text}"
        );
    }

    #[tokio::test]
    async fn something_that_is_not_tls_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("https://{}", listener.local_addr().unwrap());
        let answer = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            tcp
        };
        let ca = certificate("localhost").cert.pem();
        let (text, _tcp) = tokio::join!(refusal(&server, &ca), answer);
        assert!(
            text.starts_with(&format!(
                "error: cannot reach {server}: what answers there does not speak TLS\n"
            )),
            "{text}"
        );
    }
}

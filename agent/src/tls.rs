//! The connection below gRPC: TCP, TLS that trusts the CA of the claim, or those that the owners named since,
//! and no other, and what to say when there is none.
//!
//! **Time.** A certificate is judged at trusted time, the later of the system's clock and the newest moment
//! that signed metadata proved. Whoever steals the server's online keys can prove any moment up to the end
//! of the root; a device that went by that alone would then take the good server's certificate for expired
//! and never hear of the root that ends the theft. So where nothing but its dates speaks against a
//! certificate, it is judged once more at the system's clock. That differs only while the clock shows less
//! than was proved, and then one of the two is wrong. Chain, name and signature always have to hold. TLS
//! protects who a device is and what it tells; what it installs is protected by signed metadata, which is
//! judged at trusted time alone.
//!
//! A device whose clock is wrong may judge wrongly by both. It then asks for the signed time, and for that
//! there is a connection on which dates do not count ([`Dates::Ignored`]); see [`crate::aside`] for what else
//! may be asked there.

use std::{io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    authorities::Authorities,
    certificate,
    clock::Clock,
    first_word::{FirstWord, Listening},
    identity::Identity,
    keystore,
    link::LinkError,
};

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no connection. Travels through tonic as the cause of its error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nobody is there, or nobody that answers.
    #[error("cannot reach {server}: {what}")]
    Unreachable {
        /// As configured.
        server: String,
        /// What happened.
        what: String,
    },
    /// Somebody else is there.
    #[error("{server} is not the server that this device was enrolled with: {what}")]
    Untrusted {
        /// As configured.
        server: String,
        /// What is wrong with its certificate, and what to do.
        what: String,
    },
    /// The device's key could not sign.
    #[error("{what}")]
    Key {
        /// Stable code for reports.
        code: &'static str,
        /// What happened, and what to do.
        what: String,
    },
}

impl ConnectError {
    /// Stable code for reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "SERVER_UNREACHABLE",
            Self::Untrusted { .. } => "SERVER_CERTIFICATE",
            Self::Key { code, .. } => code,
        }
    }
}

/// Whether the dates of the server's certificate count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// They do.
    Count,
    /// They do not; chain, name and signature still have to hold.
    Ignored,
}

/// Where the server is and how it proves that it is the one.
#[derive(Clone)]
pub struct Door {
    /// `https://host:port`, for people.
    pub server: String,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    name: ServerName<'static>,
    connector: TlsConnector,
    first_word: FirstWord,
}

impl Door {
    /// The server at `host` and `port`, which has to show a certificate of one of `authorities`.
    ///
    /// # Errors
    /// A host that is none, or certificates and keys that cannot be used.
    pub fn new(
        server: &str,
        (host, port): (&str, u16),
        authorities: &Authorities,
        identity: Option<Identity>,
        clock: &Clock,
        dates: Dates,
        first_word: &FirstWord,
    ) -> Result<Self, LinkError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| LinkError::Address {
            address: server.to_owned(),
            what: "its host is no name and no IP address".to_owned(),
        })?;
        let connector = TlsConnector::from(Arc::new(tls_config(authorities, identity, clock, dates)?));
        let (server, host, first_word) = (server.to_owned(), host.to_owned(), first_word.clone());
        Ok(Self { server, host, port, name, connector, first_word })
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open(self) -> Result<TokioIo<Listening<TlsStream<TcpStream>>>, ConnectError> {
        self.first_word.begin();
        match timeout(CONNECT_DEADLINE, self.try_open()).await {
            Ok(opened) => opened.map(|opened| TokioIo::new(self.first_word.listen(opened))),
            Err(_) => Err(self.unreachable(format!("no answer within {} s", CONNECT_DEADLINE.as_secs()))),
        }
    }

    async fn try_open(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let addresses: Vec<_> = lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|_| self.unreachable(format!("this device finds no address for {}", self.host)))?
            .collect();
        let failed = |error: io::Error| self.unreachable(io_words(&error));
        let tcp = TcpStream::connect(&addresses[..]).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let shaken = self.connector.connect(self.name.clone(), tcp).await;
        shaken.map_err(|error| self.of_handshake(&error))
    }

    fn unreachable(&self, what: String) -> ConnectError {
        ConnectError::Unreachable { server: self.server.clone(), what }
    }

    fn of_handshake(&self, error: &io::Error) -> ConnectError {
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return self.unreachable(format!("the TLS handshake broke off: {}", io_words(error)));
        };
        if let Some((code, what)) = keystore::of_handshake(error) {
            return ConnectError::Key { code, what };
        }
        let what = match error {
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => {
                "its certificate was not signed by the CA in server-ca.pem; if the server was set up anew, \
                 enrol this device with a new claim, otherwise somebody may be in between"
            }
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => {
                "its certificate is for another name; start slipwayd with this one as --public-name, or \
                 correct `server` in agent.toml"
            }
            rustls::Error::InvalidCertificate(error) if is_about_time(error) => {
                "its certificate is not valid at this time; check the clocks of both, and restart slipwayd \
                 to renew its certificate"
            }
            rustls::Error::InvalidCertificate(_) => {
                "its certificate cannot be accepted; slipwayd makes a good one when it starts, so something \
                 else may be in between"
            }
            rustls::Error::InvalidMessage(_) => {
                return self.unreachable("what answers there does not speak TLS".to_owned());
            }
            _ => return self.unreachable("the two cannot agree on TLS".to_owned()),
        };
        ConnectError::Untrusted { server: self.server.clone(), what: what.to_owned() }
    }
}

/// What the system says, without its number.
pub fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn tls_config(
    authorities: &Authorities,
    identity: Option<Identity>,
    clock: &Clock,
    dates: Dates,
) -> Result<ClientConfig, LinkError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = EitherTime::new(authorities, clock, dates, &provider)?;
    let builder = ClientConfig::builder_with_details(provider, Arc::new(TrustedTime(clock.clone())))
        .with_safe_default_protocol_versions()
        .map_err(LinkError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(Identity { chain, key }) => {
            let shown = CertifiedKey::new(chain, key);
            shown.keys_match().map_err(|_| LinkError::Identity)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

#[derive(Debug)]
struct TrustedTime(Clock);

impl TimeProvider for TrustedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix(self.0.now()))
    }
}

fn unix(millis: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

/// The ordinary verifier, asked at trusted time and then at the system's; where dates do not count, also
/// at a moment at which the certificate held. What does not come from the authorities in use may come from
/// those before, while they count.
#[derive(Debug)]
struct EitherTime {
    verifier: Arc<WebPkiServerVerifier>,
    before: Option<Arc<WebPkiServerVerifier>>,
    authorities: Authorities,
    clock: Clock,
    dates: Dates,
}

impl EitherTime {
    fn new(
        authorities: &Authorities,
        clock: &Clock,
        dates: Dates,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, LinkError> {
        let of = |set: &[CertificateDer<'static>]| {
            let mut roots = RootCertStore::empty();
            for authority in set {
                roots.add(authority.clone()).map_err(|_| LinkError::Authority)?;
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|_| LinkError::Authority)
        };
        // A copy that went bad is no reason to do without the set in use.
        let before = Some(&authorities.before).filter(|set| !set.is_empty()).and_then(|set| of(set).ok());
        let verifier = of(&authorities.now)?;
        Ok(Self { verifier, before, authorities: authorities.clone(), clock: clock.clone(), dates })
    }
}

fn is_about_time(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

impl ServerCertVerifier for EitherTime {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let by = |verifier: &WebPkiServerVerifier| {
            let at = |now| verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now);
            match at(now) {
                Err(rustls::Error::InvalidCertificate(error)) if is_about_time(&error) => {
                    let judged = at(unix(self.clock.unproved()));
                    match (&judged, self.dates, certificate::read(end_entity)) {
                        (Err(_), Dates::Ignored, Some(facts)) => at(unix(facts.not_after)),
                        _ => judged,
                    }
                }
                judged => judged,
            }
        };
        let judged = by(&self.verifier);
        match &self.before {
            Some(before) if judged.is_err() => by(before).or(judged),
            _ => judged.inspect(|_| self.authorities.prove()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;

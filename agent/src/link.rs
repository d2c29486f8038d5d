//! The way to the server: one HTTP/2 connection over mutual TLS, for calls and for bytes.

use std::{
    error::Error,
    future::Future,
    io,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::{Request, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use rustls::pki_types::CertificateDer;
use slipway_proto::v1::{
    device_service_client::DeviceServiceClient, enrollment_service_client::EnrollmentServiceClient,
};
use tokio::time::timeout;
use tonic::{
    TimeoutExpired,
    body::Body,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use tower::{Service as _, ServiceExt as _, service_fn};

use crate::{
    aside::Aside,
    authorities::Authorities,
    clock::Clock,
    first_word::FirstWord,
    http_date,
    identity::Identity,
    machine::Reason,
    pace::{PaceError, Paced, paced},
    tls::{ConnectError, Dates, Door, io_words},
};

const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// A connection that is silent during a call for this long is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// The server was not reached, or what answered is not slipwayd.
pub const UNREACHABLE: &str = "SERVER_UNREACHABLE";
/// The server does not take the certificate of this device.
pub const REFUSED: &str = "CERTIFICATE_REFUSED";

/// How rustls words an alert.
const ALERT: &str = "received fatal alert";

/// Why the server cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address makes no sense.
    #[error("{address:?} is not the address of a server: {what}")]
    Address {
        /// As configured.
        address: String,
        /// What is wrong with it.
        what: String,
    },
    /// The CA of the server cannot be used.
    #[error("a certificate in server-ca.pem is damaged; enrol this device again with a new claim")]
    Authority,
    /// Key and certificate cannot be used.
    #[error(
        "key.pem and certificate.pem do not belong together, or one of them is damaged; restore both from a \
         copy, or enrol this machine under a new id in a new state folder"
    )]
    Identity,
    /// The TLS library was built without what it needs.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// Why a file did not arrive.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GetError {
    /// No connection, or it broke. What arrived is kept and continued.
    #[error("{0}")]
    Network(String),
    /// Below 1 KiB/s for a minute.
    #[error("the server sends less than 1 KiB/s")]
    Slow,
    /// The server answered something else.
    #[error("the server answered {status} for {path}")]
    Status {
        /// HTTP status.
        status: u16,
        /// What was asked for.
        path: String,
    },
    /// More bytes than there may be.
    #[error("{path} is longer than {limit} bytes")]
    TooLong {
        /// What was asked for.
        path: String,
        /// How much was accepted.
        limit: usize,
    },
}

impl GetError {
    /// Asking again may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Network(_) | Self::Slow => true,
            Self::Status { status, .. } => *status >= 500 || matches!(*status, 408 | 425 | 429),
            Self::TooLong { .. } => false,
        }
    }
}

/// Where files come from.
pub trait Source {
    /// Appends the file at `path` to `into`, going on behind what is there already. `into` never grows
    /// beyond `limit`; after an error it holds what arrived.
    fn get(
        &self,
        path: &str,
        into: &mut Vec<u8>,
        limit: usize,
    ) -> impl Future<Output = Result<(), GetError>> + Send;
}

/// The connection; opened when needed, again when it broke. Clones share it.
#[derive(Debug, Clone)]
pub struct Link {
    way: Arc<Way>,
    channel: Arc<RwLock<Channel>>,
    first_word: FirstWord,
}

/// Where the server is and whom to believe that he is it.
#[derive(Debug)]
struct Way {
    server: String,
    authorities: RwLock<Authorities>,
    clock: Clock,
}

impl Link {
    /// A link to `server` (`https://host:port`), which has to show a certificate of one of `authorities`.
    ///
    /// # Errors
    /// A wrong address or unusable certificates; nothing is sent yet.
    pub fn new(
        server: &str,
        authorities: &[CertificateDer<'static>],
        identity: Option<Identity>,
        clock: &Clock,
    ) -> Result<Self, LinkError> {
        Self::by(server, authorities.into(), identity, clock)
    }

    /// The same for a device whose authorities may be changing.
    ///
    /// # Errors
    /// As [`Link::new`].
    pub fn by(
        server: &str,
        authorities: Authorities,
        identity: Option<Identity>,
        clock: &Clock,
    ) -> Result<Self, LinkError> {
        let (server, authorities) = (server.to_owned(), RwLock::new(authorities));
        let way = Way { server, authorities, clock: clock.clone() };
        let first_word = FirstWord::default();
        let channel = Arc::new(RwLock::new(way.channel(identity, Dates::Count, &first_word)?));
        Ok(Self { way: Arc::new(way), channel, first_word })
    }

    /// Shows this identity from now on. What is under way on the connection so far goes on there.
    ///
    /// # Errors
    /// When key and certificate cannot be used; then nothing changes.
    pub fn show(&self, identity: Option<Identity>) -> Result<(), LinkError> {
        let channel = self.way.channel(identity, Dates::Count, &self.first_word)?;
        *self.channel.write().unwrap_or_else(PoisonError::into_inner) = channel;
        Ok(())
    }

    /// Whom this device believes that he is the server.
    pub fn authorities(&self) -> Authorities {
        self.way.authorities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Believes these from the next [`Link::show`] on.
    pub fn believe(&self, authorities: Authorities) {
        *self.way.authorities.write().unwrap_or_else(PoisonError::into_inner) = authorities;
    }

    /// The server's clock showed this when it answered, in the words of HTTP.
    pub fn hear(&self, date: &str) {
        if let Some(millis) = http_date::read(date) {
            self.way.clock.hear(millis);
        }
    }

    /// A connection of its own to the same server, without a certificate.
    ///
    /// # Errors
    /// As [`Link::new`].
    pub fn aside(&self, dates: Dates) -> Result<Aside, LinkError> {
        let first_word = FirstWord::default();
        let channel = Arc::new(RwLock::new(self.way.channel(None, dates, &first_word)?));
        Ok(Aside::new(Self { way: self.way.clone(), channel, first_word }))
    }

    /// The server let this device connect and then closed the connection without a word, as it does with
    /// one whose certificate it does not take.
    pub fn is_turned_away(&self) -> bool {
        self.first_word.is_missing()
    }

    fn paced(&self) -> Paced {
        paced::<ANSWER_LIMIT>(self.channel.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Calls of a device.
    pub fn device(&self) -> DeviceServiceClient<Paced> {
        DeviceServiceClient::new(self.paced()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// Calls of a machine that is not a device yet.
    pub fn enrollment(&self) -> EnrollmentServiceClient<Paced> {
        EnrollmentServiceClient::new(self.paced()).max_decoding_message_size(PAPERS_LIMIT)
    }
}

impl Way {
    fn channel(
        &self,
        identity: Option<Identity>,
        dates: Dates,
        first_word: &FirstWord,
    ) -> Result<Channel, LinkError> {
        let (server, clock) = (self.server.as_str(), &self.clock);
        let authorities = &*self.authorities.read().unwrap_or_else(PoisonError::into_inner);
        let wrong = |what: &str| LinkError::Address { address: server.to_owned(), what: what.to_owned() };
        let uri: Uri = server.parse().map_err(|_| wrong("it is no URL"))?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong("it does not start with https://"));
        }
        let host = uri.host().ok_or_else(|| wrong("it names no host"))?;
        let port = uri.port_u16().unwrap_or(443);
        let bare = host.trim_matches(['[', ']']);
        let door = Door::new(server, (bare, port), authorities, identity, clock, dates, first_word)?;
        // TLS is the connector's business, so that the trusted clock judges certificates; the channel
        // must not try it a second time, hence http here and https as origin.
        let inner = Endpoint::from_shared(format!("http://{host}:{port}"))
            .map_err(|_| wrong("it is no URL"))?
            .origin(uri)
            .timeout(CALL_DEADLINE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(false)
            .tcp_nodelay(true);
        let connector = service_fn(move |_: Uri| door.clone().open());
        Ok(inner.connect_with_connector_lazy(connector))
    }
}

/// 64 roots of 512 KiB would be more, but nobody has such roots: top-level targets of 5 MB, snapshot of
/// 2 MB and product of 5 MB are the largest that the verifier reads.
const MESSAGE_LIMIT: usize = 16 << 20;
/// One with its framing. Files are shorter, each has a limit of its own.
const ANSWER_LIMIT: usize = MESSAGE_LIMIT + 1024;
/// A certificate and its issuers' are some kilobytes. A list of empty ones takes twelve times as much in
/// memory as on the wire.
const PAPERS_LIMIT: usize = 64 << 10;

impl Source for Link {
    async fn get(&self, path: &str, into: &mut Vec<u8>, limit: usize) -> Result<(), GetError> {
        let mut request = Request::get(path);
        if !into.is_empty() {
            request = request.header(header::RANGE, format!("bytes={}-", into.len()));
        }
        let request =
            request.body(Body::empty()).map_err(|_| GetError::Network(format!("{path:?} is no path")))?;
        let mut channel = self.paced();
        let answer = async { channel.ready().await?.call(request).await };
        let answer = match timeout(CALL_DEADLINE, answer).await {
            Ok(answer) => answer.map_err(|error| GetError::Network(trouble(&error).detail))?,
            Err(_) => return Err(GetError::Slow),
        };
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => into.clear(),
            status => {
                return Err(GetError::Status { status: status.as_u16(), path: path.to_owned() });
            }
        }
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|status| match cause(&status) {
                Some(PaceError::Slow) => GetError::Slow,
                _ => GetError::Network(trouble(&status).detail),
            })?;
            let data = frame.into_data().unwrap_or_default();
            if into.len() + data.len() > limit {
                return Err(GetError::TooLong { path: path.to_owned(), limit });
            }
            into.extend_from_slice(&data);
        }
        Ok(())
    }
}

/// An error with everything that caused it, for people.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// What the server said, as a reason; or why it said nothing.
pub fn reason(status: &tonic::Status) -> Reason {
    match status.get_details_error_info() {
        Some(info) => Reason::new(&info.reason, status.message()),
        None if status.source().is_none() => {
            // Not slipwayd, which always gives a reason: something in between.
            let (code, message) = (status.code(), status.message());
            Reason::new(UNREACHABLE, format!("the server's answer was {code:?}: {message}"))
        }
        None => trouble(status),
    }
}

/// Why a call did not get through, as a sentence: the libraries' own words are for their authors.
fn trouble(error: &(dyn Error + 'static)) -> Reason {
    let unreachable = |what: String| Reason::new(UNREACHABLE, what);
    if let Some(error) = cause::<ConnectError>(error) {
        return Reason::new(error.code(), error);
    }
    if cause::<TimeoutExpired>(error).is_some() {
        return unreachable(format!("the server did not answer within {} s", CALL_DEADLINE.as_secs()));
    }
    if let Some(error) = cause::<PaceError>(error) {
        return unreachable(error.to_string());
    }
    // HTTP/2 hands an I/O error on as its words.
    let is_alert = |error: &io::Error| error.to_string().contains(ALERT);
    if cause::<io::Error>(error).is_some_and(is_alert) || cause::<rustls::Error>(error).is_some() {
        let what =
            "the server refuses the certificate of this device: it is not one of its own, or has ended";
        return Reason::new(REFUSED, what);
    }
    unreachable(match cause::<io::Error>(error) {
        Some(error) => format!("the connection to the server broke off: {}", io_words(error)),
        None => "the connection to the server broke off".to_owned(),
    })
}

/// The first cause of this kind, also one that an I/O error wraps.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// What the server suggests to do, if it does.
pub fn hint(status: &tonic::Status) -> Option<String> {
    status.get_details_error_info()?.metadata.get("hint").cloned()
}

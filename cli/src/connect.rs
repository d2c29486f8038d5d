//! One TLS connection to the server, trusting exactly one CA, with the caller's token on every call.

use std::time::Duration;

use http::{StatusCode, Uri};
use http_body_util::BodyExt as _;
use slipway_proto::v1::{
    access_service_client::AccessServiceClient, alert_service_client::AlertServiceClient,
    fleet_service_client::FleetServiceClient, privacy_service_client::PrivacyServiceClient,
    release_service_client::ReleaseServiceClient, rollout_service_client::RolloutServiceClient,
    telemetry_service_client::TelemetryServiceClient, wear_service_client::WearServiceClient,
    webhook_service_client::WebhookServiceClient,
};
use tonic::{
    Request, Status,
    body::Body,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tower::{Service as _, ServiceExt as _};

use crate::{
    args::Connection,
    error::{Failure, source_of},
    output::Console,
    profile::Profile,
    tls::{ConnectError, Target, connect_tls, tls_config},
};

/// Longer than any handshake over a bad mobile network, shorter than a person's patience.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest answer is the metadata of a product with all its releases (5 MiB).
const MESSAGE_MAX: usize = 16 << 20;
/// Files are at most 8 MiB: slower than that is as good as nothing.
const FILE_TIMEOUT: Duration = Duration::from_secs(60);
/// A watched stream may be silent for hours; this finds out that the other end is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A channel that carries the caller's token.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// An open connection, from which the client of each service is made.
#[derive(Clone)]
pub struct Api {
    channel: Authorized,
    /// As the caller named it: `https://host:port`.
    pub server: String,
}

impl Api {
    /// Connects by profile, flags and environment.
    ///
    /// # Errors
    /// Settings that are missing, a server that cannot be reached, or one that is not the right one.
    pub async fn open(connection: &Connection, console: &Console) -> Result<Self, Failure> {
        let profile = Profile::read(connection, console)?;
        Self::connect(&profile).await
    }

    /// Connects to the server of a profile.
    ///
    /// # Errors
    /// A server that cannot be reached, or one that is not the right one.
    pub async fn connect(profile: &Profile) -> Result<Self, Failure> {
        let server = profile.server.trim_end_matches('/').to_owned();
        let target = Target::parse(&server)?;
        let bearer = Bearer::new(profile.token.as_ref().map(|token| token.as_str()))?;
        let tls = tls_config(profile)?;
        // The scheme of the endpoint is http because TLS is ours; requests say https.
        let endpoint = Endpoint::from_shared(format!("http://{}", target.authority))
            .map_err(Failure::bug)?
            .origin(target.uri.clone())
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .map_err(Failure::bug)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE);
        let connector = tower::service_fn(move |_: Uri| connect_tls(target.clone(), tls.clone()));
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| {
            let known = source_of::<ConnectError>(&error).cloned();
            // What is not ours comes from the endpoint: the time it had is over.
            known.unwrap_or_else(|| {
                let seconds = CONNECT_TIMEOUT.as_secs();
                ConnectError::unreachable(&server, format!("no answer within {seconds} s"))
            })
        })?;
        Ok(Self { channel: InterceptedService::new(channel, bearer), server })
    }

    /// Devices, updates and claims.
    pub fn fleet(&self) -> FleetServiceClient<Authorized> {
        FleetServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// Trust and releases.
    pub fn releases(&self) -> ReleaseServiceClient<Authorized> {
        ReleaseServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// A file that the server gives out over HTTP, of at most `limit` bytes; none when it has no such file.
    ///
    /// # Errors
    /// A connection that broke or stood still; an answer that is neither.
    pub async fn file(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, Status> {
        let request = http::Request::get(path).body(Body::empty());
        let request = request.map_err(|error| Status::internal(format!("{path} is no path: {error}")))?;
        let answer = async {
            let mut channel = self.channel.clone();
            let ready = channel.ready().await.map_err(|error| Status::from_error(error.into()))?;
            let answer = ready.call(request).await.map_err(|error| Status::from_error(error.into()))?;
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(None),
                status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    return Err(Status::unavailable(format!("the server answered {status} for {path}")));
                }
                status => {
                    return Err(Status::permission_denied(format!(
                        "the server answered {status} for {path}"
                    )));
                }
            }
            let mut body = answer.into_body();
            let mut bytes = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame?;
                let data = frame.data_ref().map_or(&[][..], |data| data);
                if bytes.len() + data.len() > limit {
                    return Err(Status::data_loss(format!("{path} is longer than {limit} bytes")));
                }
                bytes.extend_from_slice(data);
            }
            Ok(Some(bytes))
        };
        let late = |_| Status::unavailable(format!("{path} did not arrive within a minute"));
        tokio::time::timeout(FILE_TIMEOUT, answer).await.map_err(late)?
    }

    /// Rollouts.
    pub fn rollouts(&self) -> RolloutServiceClient<Authorized> {
        RolloutServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// Alerts and limits.
    pub fn alerts(&self) -> AlertServiceClient<Authorized> {
        AlertServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// Wear models.
    pub fn wear(&self) -> WearServiceClient<Authorized> {
        WearServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// Webhooks.
    pub fn webhooks(&self) -> WebhookServiceClient<Authorized> {
        WebhookServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// Readings.
    pub fn telemetry(&self) -> TelemetryServiceClient<Authorized> {
        TelemetryServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// What devices sent, handed out and erased.
    pub fn privacy(&self) -> PrivacyServiceClient<Authorized> {
        PrivacyServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }

    /// Tokens.
    pub fn access(&self) -> AccessServiceClient<Authorized> {
        AccessServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_MAX)
    }
}

/// Puts the token on each call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn new(token: Option<&str>) -> Result<Self, Failure> {
        let Some(token) = token else { return Ok(Self(None)) };
        let mut value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>().map_err(|_| {
            Failure::new("the token holds characters that no token has")
                .hint("a token looks like slip_ID_SECRET; is this the right file?")
                .reason("PROFILE_INVALID")
        })?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

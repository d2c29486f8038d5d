//! gRPC clients of a running server, with a token.

use std::{net::IpAddr, path::Path, time::Duration};

use slipway_proto::v1::{
    Claim, CreateClaimRequest, access_service_client::AccessServiceClient,
    alert_service_client::AlertServiceClient, device_service_client::DeviceServiceClient,
    enrollment_service_client::EnrollmentServiceClient, fleet_service_client::FleetServiceClient,
    release_service_client::ReleaseServiceClient, rollout_service_client::RolloutServiceClient,
    telemetry_service_client::TelemetryServiceClient, webhook_service_client::WebhookServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::desk::{HARDWARE, PRODUCT};

/// A channel with a bearer token on every call.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// Adds `authorization` to a call.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Somebody who calls the server.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The connection, for raw calls.
    pub channel: Channel,
    bearer: Bearer,
}

impl Caller {
    /// Connects to `https://localhost:PORT` and trusts `ca_pem` alone; `device` is a client certificate and its key.
    pub fn connect(port: u16, ca_pem: &str, token: Option<&str>, device: Option<(&str, &str)>) -> Self {
        Self::connect_from(None, port, ca_pem, token, device)
    }

    /// The same from an address of this machine, as one of 127.0.0.0/8 on Linux.
    pub fn connect_from(
        from: Option<IpAddr>,
        port: u16,
        ca_pem: &str,
        token: Option<&str>,
        device: Option<(&str, &str)>,
    ) -> Self {
        let mut tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca_pem)).domain_name("localhost");
        if let Some((certificate, key)) = device {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let channel = Endpoint::from_shared(format!("https://127.0.0.1:{port}"))
            .expect("an address")
            .local_address(from)
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(60))
            .tls_config(tls)
            .expect("a TLS configuration")
            .connect_lazy();
        let bearer = Bearer(token.map(|t| format!("Bearer {}", t.trim()).parse().expect("a token in ASCII")));
        Caller { channel, bearer }
    }

    /// The administrator of the server that keeps its data in `data`.
    pub fn admin(port: u16, data: &Path) -> Self {
        let read = |name: &str| {
            std::fs::read_to_string(data.join(name))
                .unwrap_or_else(|e| panic!("{}: {e}", data.join(name).display()))
        };
        Self::connect(port, &read("server-ca.pem"), Some(&read("admin.token")), None)
    }

    /// A claim for so many devices with these labels; returns its secret.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn claim(&self, uses: u32, labels: &[(&str, &str)]) -> String {
        let claim = Claim {
            product: PRODUCT.to_owned(),
            hardware: vec![HARDWARE.to_owned()],
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            uses,
            ..Claim::default()
        };
        let request = CreateClaimRequest { claim: Some(claim), ..CreateClaimRequest::default() };
        self.fleet().create_claim(request).await.expect("a claim").into_inner().token
    }

    fn with(&self) -> Authorized {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    /// Devices and claims.
    pub fn fleet(&self) -> FleetServiceClient<Authorized> {
        FleetServiceClient::new(self.with())
    }

    /// Releases.
    pub fn releases(&self) -> ReleaseServiceClient<Authorized> {
        ReleaseServiceClient::new(self.with())
    }

    /// Rollouts.
    pub fn rollouts(&self) -> RolloutServiceClient<Authorized> {
        RolloutServiceClient::new(self.with())
    }

    /// Readings.
    pub fn telemetry(&self) -> TelemetryServiceClient<Authorized> {
        TelemetryServiceClient::new(self.with())
    }

    /// Alerts and limits.
    pub fn alerts(&self) -> AlertServiceClient<Authorized> {
        AlertServiceClient::new(self.with())
    }

    /// Webhooks.
    pub fn webhooks(&self) -> WebhookServiceClient<Authorized> {
        WebhookServiceClient::new(self.with())
    }

    /// Tokens.
    pub fn access(&self) -> AccessServiceClient<Authorized> {
        AccessServiceClient::new(self.with())
    }

    /// What a device calls; needs a client certificate.
    pub fn device(&self) -> DeviceServiceClient<Authorized> {
        DeviceServiceClient::new(self.with())
    }

    /// What a device without a certificate calls.
    pub fn enrollment(&self) -> EnrollmentServiceClient<Authorized> {
        EnrollmentServiceClient::new(self.with())
    }
}

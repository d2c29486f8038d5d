//! Where webhooks may lead, and whose certificates they trust there.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::model::address::{AddressPolicy, Network};

/// What the command line and the environment say of webhooks.
#[derive(Args, Clone, Debug, Default)]
pub struct WebhookOptions {
    /// Network that webhooks may lead to although it is not public, for example 10.1.0.0/16; may be repeated
    #[arg(
        long = "webhook-allow-network",
        value_name = "NETWORK",
        env = "SLIPWAYD_WEBHOOK_ALLOW_NETWORKS",
        value_delimiter = ','
    )]
    pub allow_networks: Vec<Network>,
    /// Let webhooks lead to http:// as well: what is sent can be read on the way
    #[arg(id = "webhook_allow_http", long = "webhook-allow-http", env = "SLIPWAYD_WEBHOOK_ALLOW_HTTP")]
    pub allow_http: bool,
    /// PEM file of authorities that webhooks trust beside those of the system
    #[arg(id = "webhook_ca", long = "webhook-ca", value_name = "FILE", env = "SLIPWAYD_WEBHOOK_CA")]
    pub ca: Option<PathBuf>,
}

impl WebhookOptions {
    /// These over what the file says.
    pub(super) fn over(
        self,
        allow_networks: Vec<Network>,
        allow_http: bool,
        ca: Option<PathBuf>,
    ) -> Webhooks {
        Webhooks {
            allow_networks: if self.allow_networks.is_empty() { allow_networks } else { self.allow_networks },
            allow_http: self.allow_http || allow_http,
            ca: self.ca.or(ca),
        }
    }
}

/// Everything decided about webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Webhooks {
    /// Networks that they may lead to although they are not public.
    #[serde(rename = "webhook_allow_networks")]
    pub allow_networks: Vec<Network>,
    /// Also to http.
    #[serde(rename = "webhook_allow_http")]
    pub allow_http: bool,
    /// Authorities that they trust beside those of the system.
    #[serde(rename = "webhook_ca")]
    pub ca: Option<PathBuf>,
}

impl Webhooks {
    /// Which addresses may be called.
    pub fn policy(&self) -> AddressPolicy {
        AddressPolicy { http: self.allow_http, networks: self.allow_networks.clone() }
    }
}

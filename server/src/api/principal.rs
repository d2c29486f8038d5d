//! The caller, as handlers get him: put there by `auth` before the call was dispatched.

use std::sync::Arc;

use tonic::{Request, Status};

use super::status::refused;
use crate::{
    model::refusal::{Reason, Refusal},
    service::{device_cache::DeviceEntry, token_cache::TokenCaller},
};

/// Who showed a token.
pub fn token<T>(request: &Request<T>) -> Result<Arc<TokenCaller>, Status> {
    request.extensions().get::<Arc<TokenCaller>>().cloned().ok_or_else(|| {
        refused(&Refusal::new(
            Reason::TokenRequired,
            "this call needs a token",
            "send `authorization: Bearer slip_…`",
        ))
    })
}

/// The device whose certificate was shown.
pub fn device<T>(request: &Request<T>) -> Result<Arc<DeviceEntry>, Status> {
    request.extensions().get::<Arc<DeviceEntry>>().cloned().ok_or_else(|| {
        refused(&Refusal::new(
            Reason::DeviceCertificateRequired,
            "this call needs a device certificate",
            "enrol the device: slipway-agent enroll --claim FILE",
        ))
    })
}

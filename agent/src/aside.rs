//! The connection beside the ordinary one, for a device that cannot show its certificate or does not know
//! what time it is. Nothing that matters rests on TLS here: the time and the roots are signed, a challenge
//! is good for nothing without the device's key, and a certificate for nothing without the key it is for.
//! So nothing else can be asked on it.

use slipway_proto::v1::{ChallengeRequest, GetTimeRequest, GetTimeResponse, RenewRequest, RenewResponse};
use slipway_trust::limits;

use crate::{
    link::{GetError, Link, Source as _, reason},
    machine::Reason,
};

/// See the module.
#[derive(Debug)]
pub struct Aside(Link);

impl Aside {
    /// Of a link that shows nobody.
    pub(crate) fn new(link: Link) -> Self {
        Self(link)
    }

    /// The time, signed for `nonce`.
    ///
    /// # Errors
    /// What the server said, or why it could not be asked.
    pub async fn time(&self, nonce: [u8; 16]) -> Result<GetTimeResponse, Reason> {
        let request = GetTimeRequest { nonce: nonce.to_vec() };
        let answer = self.0.enrollment().get_time(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| reason(&status))
    }

    /// What the device has to sign.
    ///
    /// # Errors
    /// What the server said, or why it could not be asked.
    pub async fn challenge(&self, device_id: &str) -> Result<Vec<u8>, Reason> {
        let request = ChallengeRequest { device_id: device_id.to_owned(), ..ChallengeRequest::default() };
        let answer = self.0.enrollment().challenge(request).await;
        answer.map(|answer| answer.into_inner().nonce).map_err(|status| reason(&status))
    }

    /// A new certificate.
    ///
    /// # Errors
    /// What the server said, or why it could not be asked.
    pub async fn renew(&self, request: RenewRequest) -> Result<RenewResponse, Reason> {
        let answer = self.0.enrollment().renew(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| reason(&status))
    }

    /// The root of that version; none when there is none yet.
    ///
    /// # Errors
    /// Why it could not be fetched.
    pub async fn root(&self, version: u64) -> Result<Option<Vec<u8>>, GetError> {
        let mut bytes = Vec::new();
        let path = format!("/tuf/metadata/{version}.root.json");
        match self.0.get(&path, &mut bytes, limits::ROOT_BYTES).await {
            Ok(()) => Ok(Some(bytes)),
            Err(GetError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

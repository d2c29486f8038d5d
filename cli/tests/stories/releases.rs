//! A release service that keeps what it is sent and fails where a test wants it to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use slipway_proto::v1::{self, release_service_server::ReleaseService};
use slipway_trust::{Manifest, SecretKey, Sha256, Signer as _};
use tonic::{Request, Response, Status, Streaming, async_trait};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What the service holds, and what it shall do wrong.
#[derive(Default)]
pub struct State {
    pub trust: v1::Trust,
    pub segments: BTreeMap<Vec<u8>, Vec<u8>>,
    pub manifests: Vec<Manifest>,
    /// Upload calls that end with UNAVAILABLE after this many segments, one entry a call.
    pub break_uploads_after: Vec<usize>,
    /// Documents that another publisher gets in before the next publication.
    pub first_come: Vec<(Vec<u8>, Vec<u8>)>,
    pub uploads: usize,
    pub requests: Vec<v1::PublishReleaseRequest>,
}

#[derive(Clone, Default)]
pub struct Releases(Arc<Mutex<State>>);

impl Releases {
    /// Without a root, with online keys.
    pub fn new() -> Self {
        let releases = Self::default();
        for (n, role) in (1..).zip(["timestamp", "snapshot", "director"]) {
            let public_key = SecretKey::from_seed([n; 32]).public_key().to_string();
            releases.state().trust.online_keys.push(v1::OnlineKey {
                role: role.into(),
                public_key,
                ..v1::OnlineKey::default()
            });
        }
        releases
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn refused(code: tonic::Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "slipway.v1", std::collections::HashMap::new());
    Status::with_error_details(code, message, details)
}

#[async_trait]
impl ReleaseService for Releases {
    async fn get_trust(&self, _: Request<v1::GetTrustRequest>) -> Result<Response<v1::Trust>, Status> {
        Ok(Response::new(self.state().trust.clone()))
    }

    async fn initialize_trust(
        &self,
        request: Request<v1::InitializeTrustRequest>,
    ) -> Result<Response<v1::Trust>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        (state.trust.root, state.trust.targets) = (request.root, request.targets);
        Ok(Response::new(state.trust.clone()))
    }

    async fn update_trust(
        &self,
        request: Request<v1::UpdateTrustRequest>,
    ) -> Result<Response<v1::Trust>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        let trust = &mut state.trust;
        for (held, new) in [(&mut trust.root, request.root), (&mut trust.targets, request.targets)] {
            if !new.is_empty() {
                *held = new;
            }
        }
        Ok(Response::new(state.trust.clone()))
    }

    async fn prepare_online_key(
        &self,
        request: Request<v1::PrepareOnlineKeyRequest>,
    ) -> Result<Response<v1::OnlineKey>, Status> {
        let public_key = SecretKey::from_seed([77; 32]).public_key().to_string();
        Ok(Response::new(v1::OnlineKey { role: request.into_inner().role, public_key, is_waiting: true }))
    }

    async fn find_missing_segments(
        &self,
        request: Request<v1::FindMissingSegmentsRequest>,
    ) -> Result<Response<v1::FindMissingSegmentsResponse>, Status> {
        let mut digests = request.into_inner().digests;
        digests.retain(|digest| !self.state().segments.contains_key(digest));
        Ok(Response::new(v1::FindMissingSegmentsResponse { digests }))
    }

    async fn upload_segments(
        &self,
        request: Request<Streaming<v1::UploadSegmentsRequest>>,
    ) -> Result<Response<v1::UploadSegmentsResponse>, Status> {
        let break_after = {
            let mut state = self.state();
            state.uploads += 1;
            if state.break_uploads_after.is_empty() {
                usize::MAX
            } else {
                state.break_uploads_after.remove(0)
            }
        };
        let mut stream = request.into_inner();
        let mut answer = v1::UploadSegmentsResponse::default();
        while let Some(segment) = stream.message().await? {
            if answer.stored as usize >= break_after {
                return Err(Status::unavailable("the test breaks the call"));
            }
            let digest = Sha256::try_from(segment.digest.as_slice()).unwrap();
            slipway_payload::check_frame(&digest, &segment.frame).unwrap();
            answer.stored += 1;
            answer.bytes += segment.frame.len() as u64;
            self.state().segments.insert(segment.digest, segment.frame);
        }
        Ok(Response::new(answer))
    }

    async fn publish_release(
        &self,
        request: Request<v1::PublishReleaseRequest>,
    ) -> Result<Response<v1::Release>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.requests.push(request.clone());
        let manifest = Manifest::parse(&request.manifest).unwrap();
        let artifact = &manifest.artifacts[0];
        if !artifact.segments.iter().all(|segment| state.segments.contains_key(segment.as_bytes().as_slice()))
        {
            return Err(refused(tonic::Code::FailedPrecondition, "SEGMENTS_MISSING", "segments are missing"));
        }
        if !state.first_come.is_empty() {
            (state.trust.targets, state.trust.product) = state.first_come.remove(0);
            return Err(refused(tonic::Code::Aborted, "PUBLISHED_MEANWHILE", "another publisher was first"));
        }
        let release = v1::Release {
            name: format!("releases/{}/{}", manifest.product, manifest.version),
            counter: manifest.counter,
            artifacts: vec![v1::Artifact { size: artifact.size, ..v1::Artifact::default() }],
            ..v1::Release::default()
        };
        if !request.validate_only {
            if !request.targets.is_empty() {
                state.trust.targets = request.targets;
            }
            state.trust.product = request.product_metadata;
            state.manifests.push(manifest);
        }
        Ok(Response::new(release))
    }

    async fn withdraw_release(
        &self,
        request: Request<v1::WithdrawReleaseRequest>,
    ) -> Result<Response<v1::WithdrawReleaseResponse>, Status> {
        self.state().trust.product = request.into_inner().product_metadata;
        Ok(Response::new(v1::WithdrawReleaseResponse::default()))
    }

    async fn get_release(&self, _: Request<v1::GetReleaseRequest>) -> Result<Response<v1::Release>, Status> {
        Err(refused(tonic::Code::NotFound, "RELEASE_NOT_FOUND", "there is no such release"))
    }

    async fn list_releases(
        &self,
        _: Request<v1::ListReleasesRequest>,
    ) -> Result<Response<v1::ListReleasesResponse>, Status> {
        Ok(Response::new(v1::ListReleasesResponse::default()))
    }
}

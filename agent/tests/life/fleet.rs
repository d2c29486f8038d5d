//! A server that does what the contract says and nothing more, and a device that is enrolled with it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, http, middleware::map_response, routing::get};
use slipway_proto::v1::{
    ChallengeRequest, ChallengeResponse, CheckInRequest, CheckInResponse, EnrollRequest, EnrollResponse,
    GetTimeRequest, GetTimeResponse, Inventory, MetadataVersions, Reading, RenewRequest, RenewResponse,
    ReportUpdateRequest, ReportUpdateResponse, SendTelemetryRequest, SendTelemetryResponse, TrustDelta,
    UpdateOffer, UpdateState,
    device_service_server::{DeviceService, DeviceServiceServer},
    enrollment_service_server::{EnrollmentService, EnrollmentServiceServer},
};
use slipway_trust::{
    Artifact, Date, Manifest, Sha256,
    fake::{DEVICE, Delta, Fake, HARDWARE, PRODUCT},
    repo::ReleaseRules,
};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Code, Request, Response, Status as Refusal};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::listen::{Identity, serve};

/// 2027-01-15: after the agent's build time, within the life of everything that the fake signs.
pub const NOW: i64 = 1_800_000_000_000;
/// The same as servers show it.
const DATE: &str = "Fri, 15 Jan 2027 08:00:00 GMT";
pub const SEGMENT: usize = 64 << 10;
/// For what takes a second on an idle machine: each step waits for the disk, which others may keep busy.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the server knows and serves. Tests change it while it serves.
pub struct World {
    pub fake: Fake,
    pub delta: Delta,
    /// Sent at every check-in, whatever the device holds.
    pub pushed: Option<Delta>,
    /// What the device said it holds.
    pub have: MetadataVersions,
    assignments: u64,
    pub offer: Option<String>,
    pub cancel: bool,
    /// Goes on offering what the device has finished or refused.
    pub insists: bool,
    /// Answers nothing but that.
    pub revoked: bool,
    /// Takes no report of this update.
    pub chokes_on: Option<String>,
    pub reports: Vec<ReportUpdateRequest>,
    pub readings: Vec<Reading>,
    pub inventory: Inventory,
    pub segments: BTreeMap<String, Vec<u8>>,
    pub manifests: BTreeMap<String, Vec<u8>>,
    pub images: BTreeMap<u64, Vec<u8>>,
    /// Paths of segments that were asked for.
    pub fetched: Vec<String>,
    /// Requests of any kind.
    pub requests: u64,
}

impl World {
    fn new(now: Date) -> Self {
        let fake = Fake::new(now);
        let mut world = Self {
            delta: fake.delta(Vec::new()),
            pushed: None,
            have: MetadataVersions::default(),
            fake,
            assignments: 0,
            offer: None,
            cancel: false,
            insists: false,
            revoked: false,
            chokes_on: None,
            reports: Vec::new(),
            readings: Vec::new(),
            inventory: Inventory::default(),
            segments: BTreeMap::new(),
            manifests: BTreeMap::new(),
            images: BTreeMap::new(),
            fetched: Vec::new(),
            requests: 0,
        };
        world.publish(3, 0, 30);
        world
    }

    /// A release of so many segments; each third one is nothing but zeros.
    pub fn publish(&mut self, counter: u64, floor: u64, segments: u64) {
        let mut image = Vec::new();
        for index in 0..segments {
            let byte = if index % 3 == 2 { 0 } else { (index + counter * 7) as u8 | 1 };
            image.extend(std::iter::repeat_n(byte, SEGMENT));
            let place = image.len() - 8;
            if byte != 0 {
                image[place..].copy_from_slice(&(index << 8 | counter).to_be_bytes());
            }
        }
        image.extend(b"a last one that is shorter");
        let manifest = Manifest {
            product: PRODUCT.to_owned(),
            version: format!("{counter}.0.0").parse().unwrap(),
            counter,
            artifacts: vec![Artifact {
                component: "system".to_owned(),
                hardware: vec![HARDWARE.to_owned()],
                size: image.len() as u64,
                digest: Sha256::of(&image),
                segment_size: SEGMENT as u32,
                segments: image.chunks(SEGMENT).map(Sha256::of).collect(),
            }],
        };
        for segment in image.chunks(SEGMENT) {
            let frame = slipway_payload::encode(segment).unwrap();
            self.segments.insert(Sha256::of(segment).to_string(), frame);
        }
        let bytes = manifest.to_bytes().unwrap();
        let mut product = self.fake.product();
        product.version += 1;
        let rules = ReleaseRules { floor, min_from: 0 };
        let entry = product.add_release(&manifest, &bytes, rules).unwrap();
        let version = product.version;
        self.manifests.insert(format!("{PRODUCT}/{}.{counter}.0.0.json", entry.sha256), bytes);
        self.fake.releases.push(entry);
        self.fake.set_product(&product, version);
        self.images.insert(counter, image);
        self.delta = self.fake.delta(self.delta.assignment.clone());
    }

    /// Offers a release to the device, under a new name.
    pub fn offer(&mut self, counter: u64) -> String {
        self.assignments += 1;
        self.delta.assignment = self.fake.assignment(self.assignments, Some(counter));
        let update = format!("devices/{DEVICE}/updates/{}", self.assignments);
        self.offer = Some(update.clone());
        self.cancel = false;
        update
    }

    pub fn states(&self, update: &str) -> Vec<UpdateState> {
        self.reports.iter().filter(|report| report.update == update).map(|report| report.state()).collect()
    }

    /// The last report of an update, if it is its last.
    pub fn end(&self, update: &str) -> Option<ReportUpdateRequest> {
        let last = self.reports.iter().rfind(|report| report.update == update)?;
        (last.state() as i32 >= UpdateState::Succeeded as i32).then(|| last.clone())
    }

    /// What the device does not hold yet.
    fn news(&self, request: &CheckInRequest) -> Option<TrustDelta> {
        let have = request.have.unwrap_or_default();
        let timestamp = slipway_trust::Timestamp::parse(&self.delta.timestamp).map_or(0, |body| body.version);
        if have.timestamp == timestamp && have.assignment == self.assignments && self.pushed.is_none() {
            return None;
        }
        let delta = self.pushed.as_ref().unwrap_or(&self.delta).clone();
        let Delta { roots, timestamp, snapshot, targets, product, assignment } = delta;
        Some(TrustDelta { roots, timestamp, snapshot, targets, product, assignment })
    }
}

/// The server; tells when something happened.
#[derive(Clone)]
pub struct Fleet {
    pub addr: SocketAddr,
    pub world: Arc<Mutex<World>>,
    changed: watch::Sender<u64>,
    pub ca_pem: String,
}

impl Fleet {
    pub async fn start(now: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let identity = Identity::new();
        let fleet = Self {
            addr,
            world: Arc::new(Mutex::new(World::new(Date::from_millis(now)))),
            changed: watch::channel(0).0,
            ca_pem: identity.certificate.pem(),
        };
        // Its clock and that of its devices agree.
        let dated = map_response(|mut answer: http::Response<Body>| async move {
            answer.headers_mut().insert(http::header::DATE, http::HeaderValue::from_static(DATE));
            answer
        });
        tokio::spawn(serve(listener, identity, fleet.router().layer(dated)));
        fleet
    }

    fn router(&self) -> Router {
        let (segments, targets) = (self.clone(), self.clone());
        tonic::service::Routes::new(DeviceServiceServer::new(self.clone()))
            .add_service(EnrollmentServiceServer::new(self.clone()))
            .into_axum_router()
            .reset_fallback()
            .route("/segments/{digest}", get(move |request| async move { segments.segment(&request) }))
            .route("/tuf/targets/{*path}", get(move |request| async move { targets.target(&request) }))
    }

    /// Something was asked.
    fn note(&self) {
        self.world.lock().unwrap().requests += 1;
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Refuses a device that was revoked, as the real server does.
    fn let_in(&self) -> Result<(), Refusal> {
        if !self.world.lock().unwrap().revoked {
            return Ok(());
        }
        self.note();
        let mut details = ErrorDetails::new();
        details.set_error_info("DEVICE_REVOKED", "slipway.v1", std::collections::HashMap::new());
        let text = format!("the device {DEVICE} was revoked");
        Err(Refusal::with_error_details(Code::PermissionDenied, text, details))
    }

    fn segment(&self, request: &http::Request<Body>) -> http::Response<Body> {
        let digest = request.uri().path().trim_start_matches("/segments/").to_owned();
        let found = {
            let mut world = self.world.lock().unwrap();
            world.fetched.push(digest.clone());
            world.segments.get(&digest).cloned()
        };
        self.note();
        answer(found)
    }

    fn target(&self, request: &http::Request<Body>) -> http::Response<Body> {
        let path = request.uri().path().trim_start_matches("/tuf/targets/");
        let found = self.world.lock().unwrap().manifests.get(path).cloned();
        self.note();
        answer(found)
    }

    /// Waits until the world is as asked.
    pub async fn until<T>(&self, mut is: impl FnMut(&World) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                if let Some(found) = is(&self.world.lock().unwrap()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => {
                let world = self.world.lock().unwrap();
                panic!(
                    "not within {PATIENCE:?}; {} requests, the device holds {:?}, is blocked by {:?}, offered {:?}; \
                     reports: {:#?}",
                    world.requests, world.have, world.inventory.blocked, world.offer, world.reports
                )
            }
        }
    }

    /// Waits for the end of an update.
    pub async fn end_of(&self, update: &str) -> ReportUpdateRequest {
        self.until(|world| world.end(update)).await
    }
}

fn answer(found: Option<Vec<u8>>) -> http::Response<Body> {
    match found {
        Some(bytes) => http::Response::new(bytes.into()),
        None => {
            let mut missing = http::Response::new(Body::empty());
            *missing.status_mut() = http::StatusCode::NOT_FOUND;
            missing
        }
    }
}

#[tonic::async_trait]
impl DeviceService for Fleet {
    async fn check_in(&self, request: Request<CheckInRequest>) -> Result<Response<CheckInResponse>, Refusal> {
        self.let_in()?;
        let request = request.into_inner();
        let answer = {
            let mut world = self.world.lock().unwrap();
            world.have = request.have.unwrap_or_default();
            if let Some(inventory) = request.inventory.clone() {
                world.inventory = inventory;
            }
            let open = world
                .offer
                .clone()
                .filter(|update| world.insists || (world.end(update).is_none() && !world.cancel));
            CheckInResponse {
                trust: world.news(&request),
                // The end of time: what is added to it must not overflow.
                offer: open.map(|update| UpdateOffer {
                    update,
                    deadline: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
                    ..Default::default()
                }),
                next_check_in: Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 }),
                want_inventory: false,
                cancel_update: world.cancel && !request.update.is_empty(),
            }
        };
        self.note();
        Ok(Response::new(answer))
    }

    async fn report_update(
        &self,
        request: Request<ReportUpdateRequest>,
    ) -> Result<Response<ReportUpdateResponse>, Refusal> {
        self.let_in()?;
        let report = request.into_inner();
        {
            let mut world = self.world.lock().unwrap();
            if world.chokes_on.as_deref() == Some(&report.update) {
                return Err(Refusal::data_loss("the record of the update is damaged"));
            }
            if !world.reports.iter().any(|known| known.sequence == report.sequence) {
                world.reports.push(report);
            }
        }
        self.note();
        Ok(Response::new(ReportUpdateResponse {}))
    }

    async fn send_telemetry(
        &self,
        request: Request<SendTelemetryRequest>,
    ) -> Result<Response<SendTelemetryResponse>, Refusal> {
        self.let_in()?;
        let SendTelemetryRequest { sequence, readings, .. } = request.into_inner();
        self.world.lock().unwrap().readings.extend(readings);
        self.note();
        Ok(Response::new(SendTelemetryResponse { sequence, dropped: 0 }))
    }
}

#[tonic::async_trait]
impl EnrollmentService for Fleet {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Refusal> {
        let request = request.into_inner();
        if request.claim_token != "a token" {
            return Err(Refusal::unauthenticated("the claim is not known"));
        }
        let csr = rcgen::CertificateSigningRequestParams::from_der(&request.csr_der.into()).unwrap();
        let authority = rcgen::KeyPair::generate().unwrap();
        let issuer = rcgen::Issuer::new(rcgen::CertificateParams::default(), authority);
        let certificate = csr.signed_by(&issuer).unwrap();
        Ok(Response::new(EnrollResponse {
            name: format!("devices/{}", request.device_id),
            product: PRODUCT.to_owned(),
            certificate_chain_der: vec![certificate.der().to_vec()],
            ..Default::default()
        }))
    }

    // Its certificates hold for ever, and its devices have clocks.
    async fn get_time(&self, _: Request<GetTimeRequest>) -> Result<Response<GetTimeResponse>, Refusal> {
        Err(Refusal::unimplemented("there are no clocks here"))
    }

    async fn challenge(&self, _: Request<ChallengeRequest>) -> Result<Response<ChallengeResponse>, Refusal> {
        Err(Refusal::unimplemented("there is nothing to renew here"))
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Refusal> {
        Err(Refusal::unimplemented("there is nothing to renew here"))
    }
}

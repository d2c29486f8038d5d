//! The calls of one device that knows everything already.

use slipway_proto::v1::{
    CheckInRequest, Inventory, MetadataVersions, TrustDelta, device_service_client::DeviceServiceClient,
};
use slipway_tests::operator::{Authorized, Caller};

/// How many check-ins it may take until a device is told nothing new.
const PATIENCE: usize = 10;

/// One device on one connection.
#[derive(Clone)]
pub struct Device {
    client: DeviceServiceClient<Authorized>,
    request: CheckInRequest,
}

impl Device {
    /// A device that was just enrolled and sends its inventory first.
    pub fn new(caller: &Caller) -> Self {
        let inventory =
            Inventory { agent_version: "0.1.0".into(), boot_id: "bench".into(), ..Inventory::default() };
        let request = CheckInRequest {
            have: Some(MetadataVersions::default()),
            inventory_digest: 1,
            inventory: Some(inventory),
            update: String::new(),
        };
        Self::with(caller, request)
    }

    /// A device that says always the same.
    pub fn with(caller: &Caller, request: CheckInRequest) -> Self {
        Device { client: caller.device(), request }
    }

    /// What it says.
    pub fn request(&self) -> CheckInRequest {
        self.request.clone()
    }

    /// Checks in until the server has nothing to tell.
    pub async fn settle(&mut self) {
        for _ in 0..PATIENCE {
            let answer = self.client.check_in(self.request.clone()).await.expect("an answer").into_inner();
            if !answer.want_inventory && self.request.inventory.take().is_none() && answer.trust.is_none() {
                assert!(answer.offer.is_none(), "nothing is rolled out here");
                return;
            }
            if let Some(news) = answer.trust {
                learn(self.request.have.get_or_insert_default(), &news);
            }
        }
        panic!("after {PATIENCE} check-ins the server still had something to tell");
    }

    /// One check-in at which nothing changed.
    pub async fn call(&mut self) {
        let answer = self.client.check_in(self.request.clone()).await.expect("an answer").into_inner();
        assert!(
            answer.trust.is_none() && !answer.want_inventory,
            "something changed in the middle of a round"
        );
    }
}

/// Takes note of the versions; a bench believes what it is told.
fn learn(have: &mut MetadataVersions, news: &TrustDelta) {
    let newest = |bytes: &[u8], known: u64| version(bytes).unwrap_or(known);
    for root in &news.roots {
        have.root = newest(root, have.root);
    }
    have.timestamp = newest(&news.timestamp, have.timestamp);
    have.snapshot = newest(&news.snapshot, have.snapshot);
    have.targets = newest(&news.targets, have.targets);
    have.product = newest(&news.product, have.product);
    have.assignment = newest(&news.assignment, have.assignment);
}

fn version(document: &[u8]) -> Option<u64> {
    let document: serde_json::Value = serde_json::from_slice(document).ok()?;
    document.pointer("/signed/version")?.as_u64()
}

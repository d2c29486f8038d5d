//! A publisher for tests: keys of everybody, and releases of the product `pump` on demand.

use std::sync::Arc;

use bytes::Bytes;
use slipway_trust::{
    Date, Sha256, Signer, Targets, Version,
    fake::{self, Fake, PRODUCT},
    repo::{self, ReleaseRules, lifetime},
};

use super::{
    Context,
    online_keys::OnlineKeys,
    publish::{self, Publication},
    segments, trust_init,
};
use crate::model::release::Release;

/// Who publishes in tests.
pub const PUBLISHER: &str = "tokens/t1 (ci)";

/// The online keys that the fake root names.
pub fn online_keys() -> OnlineKeys {
    let keys = Fake::new(Date::from_unix(0)).keys;
    OnlineKeys {
        timestamp: Arc::new(keys.timestamp),
        snapshot: Arc::new(keys.snapshot),
        director: Arc::new(keys.director),
    }
}

/// Everybody's keys, and the product's metadata as it grows.
pub struct Publisher {
    /// Keys, root and targets.
    pub fake: Fake,
    /// The product's role, with what was drafted so far.
    pub product: Targets,
    now: Date,
}

/// What a publisher would send.
pub struct Draft {
    /// Signed by both publishers.
    pub metadata: Vec<u8>,
    /// The manifest that it lists.
    pub manifest: Vec<u8>,
}

impl Draft {
    /// As a call; new hardware is fine.
    pub fn publication(&self) -> Publication<'_> {
        Publication {
            product: PRODUCT,
            product_metadata: &self.metadata,
            manifest: &self.manifest,
            allow_new_hardware: true,
            ..Publication::default()
        }
    }
}

impl Publisher {
    /// Gives the server its root and targets.
    pub async fn initialize(ctx: &Context) -> Self {
        let now = Date::from_millis(ctx.clock.now().millis());
        let fake = Fake::new(now);
        trust_init::initialize(ctx, PUBLISHER, &fake.repository.roots[0], &fake.repository.targets)
            .await
            .expect("an honest root");
        let product = Targets::empty(0, now.plus_days(lifetime::TARGETS_DAYS));
        Publisher { fake, product, now }
    }

    /// Adds a release on top of what was drafted before, and signs.
    pub fn draft(&mut self, version: &str, counter: u64) -> Draft {
        let manifest = fake::manifest(version, counter);
        let bytes = manifest.to_bytes().expect("a valid manifest");
        self.product.add_release(&manifest, &bytes, ReleaseRules::default()).expect("a newer release");
        self.product.version += 1;
        Draft { metadata: self.sign(&self.product), manifest: bytes }
    }

    /// Metadata of the product's role, signed by both publishers.
    pub fn sign(&self, product: &Targets) -> Vec<u8> {
        let [one, two] = &self.fake.keys.publishers;
        fake::signed(product, &[one as &dyn Signer, two])
    }

    /// An assignment as the director's key would sign it, for any device.
    pub fn assignment(&self, device: &str, version: u64) -> Vec<u8> {
        let expires = self.now.plus_days(lifetime::ASSIGNMENT_DAYS);
        fake::signed(&repo::assignment(version, expires, self.now, device, None), &[&self.fake.keys.director])
    }

    /// Drafts a release, uploads its segments and publishes it.
    pub async fn publish(&mut self, ctx: &Context, version: &str, counter: u64) -> Release {
        let draft = self.draft(version, counter);
        upload(ctx, version).await;
        publish::publish(ctx, PUBLISHER, draft.publication()).await.expect("an honest release")
    }
}

/// Uploads the segments of the fake image of `version`.
pub async fn upload(ctx: &Context, version: &str) {
    for segment in fake::image(version).chunks(4096) {
        let frame = slipway_payload::encode(segment).expect("a segment encodes");
        segments::store(ctx, Sha256::of(segment), Bytes::from(frame)).await.expect("an honest segment");
    }
}

/// A version of the tests.
pub fn version(text: &str) -> Version {
    text.parse().expect("a version")
}

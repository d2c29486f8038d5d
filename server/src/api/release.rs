//! ReleaseService: the trust, segments, and releases.

use std::pin::pin;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use slipway_proto::v1::{
    self, release_service_server::ReleaseService, release_service_server::ReleaseServiceServer,
};
use tonic::{Request, Response, Status, Streaming};

use super::{principal, status::refused, wire};
use crate::{
    model::{
        refusal::{Reason, Refusal},
        release::{Release, check_product, digest},
    },
    service::{
        Context, Error, publish, publish::Publication, publish_withdraw, publish_withdraw::Withdrawal,
        releases, segments, trust_expiry, trust_expiry::Life, trust_init, trust_update,
        trust_update::TrustUpdate,
    },
    store::releases::releases_used,
};

/// One manifest and two metadata files, at their limits, with room for the rest of the message.
const LARGEST_REQUEST: usize =
    slipway_trust::limits::MANIFEST_BYTES + 2 * slipway_trust::limits::TARGETS_BYTES + 64 * 1024;
/// Segments that are decoded and written at once in one upload: 4 MiB in memory, and the disk's
/// waiting time is used.
const AT_ONCE: usize = 4;

/// The handlers.
#[derive(Clone, Debug)]
pub struct Api {
    ctx: Context,
}

/// The service, with room for what publishers send.
pub fn service(ctx: Context) -> ReleaseServiceServer<Api> {
    ReleaseServiceServer::new(Api { ctx })
        .max_decoding_message_size(LARGEST_REQUEST)
        .max_encoding_message_size(LARGEST_REQUEST)
}

#[tonic::async_trait]
impl ReleaseService for Api {
    async fn get_trust(&self, request: Request<v1::GetTrustRequest>) -> Result<Response<v1::Trust>, Status> {
        let product = request.into_inner().product;
        if !product.is_empty() {
            check_product(&product).map_err(|refusal| refused(&refusal))?;
        }
        Ok(Response::new(self.trust(&product).await?))
    }

    async fn initialize_trust(
        &self,
        request: Request<v1::InitializeTrustRequest>,
    ) -> Result<Response<v1::Trust>, Status> {
        let actor = principal::token(&request)?.actor();
        let message = request.into_inner();
        trust_init::initialize(&self.ctx, &actor, &message.root, &message.targets).await?;
        Ok(Response::new(self.trust("").await?))
    }

    async fn update_trust(
        &self,
        request: Request<v1::UpdateTrustRequest>,
    ) -> Result<Response<v1::Trust>, Status> {
        let actor = principal::token(&request)?.actor();
        let message = request.into_inner();
        for product in &message.products {
            check_product(&product.product).map_err(|refusal| refused(&refusal))?;
        }
        let products = message.products.iter();
        let update = TrustUpdate {
            root: &message.root,
            targets: &message.targets,
            server_ca: &message.server_ca,
            products: products.map(|one| (one.product.as_str(), one.metadata.as_slice())).collect(),
            validate_only: message.validate_only,
        };
        trust_update::update(&self.ctx, &actor, update).await?;
        Ok(Response::new(self.trust("").await?))
    }

    async fn prepare_online_key(
        &self,
        request: Request<v1::PrepareOnlineKeyRequest>,
    ) -> Result<Response<v1::OnlineKey>, Status> {
        let actor = principal::token(&request)?.actor();
        let role = request.into_inner().role;
        let key = trust_update::prepare_key(&self.ctx, &actor, &role).await?;
        Ok(Response::new(v1::OnlineKey { role, public_key: key.to_string(), is_waiting: true }))
    }

    async fn find_missing_segments(
        &self,
        request: Request<v1::FindMissingSegmentsRequest>,
    ) -> Result<Response<v1::FindMissingSegmentsResponse>, Status> {
        let asked = request.into_inner().digests;
        segments::check_asked(asked.len()).map_err(|refusal| refused(&refusal))?;
        let digests: Result<Vec<_>, _> =
            asked.iter().enumerate().map(|(at, bytes)| digest(bytes, &format!("digests[{at}]"))).collect();
        let digests = digests.map_err(|refusal| refused(&refusal))?;
        let missing = segments::missing(&self.ctx, &digests).await?;
        let digests = missing.iter().map(|digest| digest.as_bytes().to_vec()).collect();
        Ok(Response::new(v1::FindMissingSegmentsResponse { digests }))
    }

    async fn upload_segments(
        &self,
        request: Request<Streaming<v1::UploadSegmentsRequest>>,
    ) -> Result<Response<v1::UploadSegmentsResponse>, Status> {
        let ctx = &self.ctx;
        let stores = request.into_inner().map(|message| async move {
            let message = message?;
            let digest = digest(&message.digest, "digest").map_err(|refusal| refused(&refusal))?;
            Ok::<_, Status>(segments::store(ctx, digest, Bytes::from(message.frame)).await?)
        });
        // The next message is read when one of those before it is durable: that is the back-pressure.
        let mut stores = pin!(stores.buffered(AT_ONCE));
        let mut answer = v1::UploadSegmentsResponse::default();
        while let Some(stored) = stores.try_next().await? {
            if let Some(bytes) = stored {
                answer.stored += 1;
                answer.bytes += bytes;
            }
        }
        Ok(Response::new(answer))
    }

    async fn publish_release(
        &self,
        request: Request<v1::PublishReleaseRequest>,
    ) -> Result<Response<v1::Release>, Status> {
        let actor = principal::token(&request)?.actor();
        let message = request.into_inner();
        let publication = Publication {
            product: &message.product,
            targets: &message.targets,
            product_metadata: &message.product_metadata,
            manifest: &message.manifest,
            allow_new_hardware: message.allow_new_hardware,
            validate_only: message.validate_only,
            request_id: &message.request_id,
        };
        let release = publish::publish(&self.ctx, &actor, publication).await?;
        Ok(Response::new(self.message_of(release)))
    }

    async fn withdraw_release(
        &self,
        request: Request<v1::WithdrawReleaseRequest>,
    ) -> Result<Response<v1::WithdrawReleaseResponse>, Status> {
        let actor = principal::token(&request)?.actor();
        let message = request.into_inner();
        let asked = Withdrawal {
            name: &message.name,
            product_metadata: &message.product_metadata,
            force: message.force,
            reason: &message.reason,
            validate_only: message.validate_only,
        };
        let withdrawn = publish_withdraw::withdraw(&self.ctx, &actor, asked).await?;
        Ok(Response::new(v1::WithdrawReleaseResponse {
            release: Some(self.message_of(withdrawn.release)),
            rollouts: withdrawn.rollouts,
            devices: withdrawn.devices.iter().map(|id| format!("devices/{id}")).collect(),
            device_count: withdrawn.device_count,
        }))
    }

    async fn get_release(
        &self,
        request: Request<v1::GetReleaseRequest>,
    ) -> Result<Response<v1::Release>, Status> {
        let release = releases::get(&self.ctx, &request.into_inner().name).await?;
        Ok(Response::new(self.message_of(release)))
    }

    async fn list_releases(
        &self,
        request: Request<v1::ListReleasesRequest>,
    ) -> Result<Response<v1::ListReleasesResponse>, Status> {
        let asked = request.into_inner();
        let (releases, next_page_token) =
            releases::list(&self.ctx, &asked.filter, asked.page_size, &asked.page_token).await?;
        let releases = releases.into_iter().map(|release| self.message_of(release)).collect();
        Ok(Response::new(v1::ListReleasesResponse { releases, next_page_token }))
    }
}

impl Api {
    async fn trust(&self, product: &str) -> Result<v1::Trust, Status> {
        let ring = self.ctx.trust.ring();
        let message = |role: &str, key: slipway_trust::PublicKey, is_waiting| v1::OnlineKey {
            role: role.to_owned(),
            public_key: key.to_string(),
            is_waiting,
        };
        let in_use = ring.in_use().public().map(|(role, key)| message(role, key, false));
        let waiting = ring.waiting().into_iter().map(|(role, key)| message(role, key, true));
        let online_keys: Vec<_> = in_use.into_iter().chain(waiting).collect();
        let set = match self.ctx.trust.require_now(&self.ctx.db).await {
            Ok(set) => set,
            Err(Error::Refused(Refusal { reason: Reason::TrustNotInitialized, .. })) => {
                return Ok(v1::Trust { online_keys, ..v1::Trust::default() });
            }
            Err(other) => return Err(other.into()),
        };
        let mut tx = self.ctx.db.read().await.map_err(Error::from)?;
        let (last_counter, versions) = releases_used(&mut tx, product).await.map_err(Error::from)?;
        drop(tx);
        let file = |role: &str| set.file(role).map(|file| file.bytes.to_vec()).unwrap_or_default();
        Ok(v1::Trust {
            root: set.roots().last().map(|root| root.to_vec()).unwrap_or_default(),
            targets: file("targets"),
            product: if product.is_empty() { Vec::new() } else { file(product) },
            online_keys,
            roots: set.roots().iter().map(|root| root.to_vec()).collect(),
            last_counter,
            last_version: versions.into_iter().max().map(|version| version.to_string()).unwrap_or_default(),
            roles: trust_expiry::lives(&set).into_iter().map(life_of).collect(),
        })
    }

    fn message_of(&self, release: Release) -> v1::Release {
        let set = self.ctx.trust.current();
        let is_listed = set.is_none_or(|set| set.release(&release.product, &release.version).is_some());
        let artifacts = release.artifacts.iter().map(|artifact| v1::Artifact {
            component: artifact.component.clone(),
            hardware: artifact.hardware.clone(),
            size: artifact.size,
            digest: artifact.digest.to_string(),
            segments: artifact.segments,
        });
        v1::Release {
            name: release.name(),
            artifacts: artifacts.collect(),
            version: release.version.to_string(),
            counter: release.counter,
            floor: release.floor,
            min_from: release.min_from,
            manifest_digest: release.manifest_digest.to_string(),
            create_time: Some(wire::timestamp(release.created_at)),
            publisher: release.created_by,
            is_withdrawn: !is_listed,
            product: release.product,
        }
    }
}

fn life_of(life: Life) -> v1::RoleLife {
    v1::RoleLife {
        role: life.role,
        version: life.version,
        expire_time: Some(wire::timestamp(life.expires_at)),
        is_online: life.is_online,
    }
}

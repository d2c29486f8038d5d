//! RolloutService: plans, and how they go.

use std::pin::Pin;

use futures_util::{Stream, stream::try_unfold};
use prost::Message as _;
use slipway_proto::v1::{
    self,
    rollout_service_server::{RolloutService, RolloutServiceServer},
};
use slipway_trust::Sha256;
use tonic::{Request, Response, Status};

use super::{principal, rollout_wire, status::refused, wire::id_in};
use crate::{
    limits::MESSAGE,
    model::{
        filter::Filter,
        page::Page,
        refusal::Reason,
        rollout::{Act, Rollout},
    },
    service::{
        Context, Error, hand_assignments,
        prospects::{self, Census, census},
        rollout_watch::Watcher,
        rollouts::{self, Asked},
    },
    store::rollouts::rollout_get,
};

/// The handlers.
#[derive(Clone, Debug)]
pub struct Api {
    ctx: Context,
}

/// The service.
pub fn service(ctx: Context) -> RolloutServiceServer<Api> {
    RolloutServiceServer::new(Api { ctx }).max_decoding_message_size(MESSAGE)
}

#[tonic::async_trait]
impl RolloutService for Api {
    async fn create_rollout(
        &self,
        request: Request<v1::CreateRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        let actor = principal::token(&request)?.actor();
        let asked = request.into_inner();
        let plan = asked.rollout.unwrap_or_default();
        // Maps would be encoded in any order; a plan has none.
        let repeat = Asked { request_id: asked.request_id, digest: Sha256::of(&plan.encode_to_vec()) };
        let draft = rollout_wire::draft(plan).map_err(|refusal| refused(&refusal))?;
        let made = rollouts::create(&self.ctx, &actor, draft, asked.validate_only, &repeat).await?;
        Ok(Response::new(self.counted(&made)))
    }

    async fn preview_rollout(
        &self,
        request: Request<v1::PreviewRolloutRequest>,
    ) -> Result<Response<v1::PreviewRolloutResponse>, Status> {
        let plan = request.into_inner().rollout.unwrap_or_default();
        let draft = rollout_wire::draft(plan).map_err(|refusal| refused(&refusal))?;
        let preview = prospects::preview(&self.ctx, draft).await?;
        Ok(Response::new(rollout_wire::preview(preview)))
    }

    async fn get_rollout(
        &self,
        request: Request<v1::GetRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        let name = &request.get_ref().name;
        let id = id_in("rollouts", name, "name")?;
        let mut tx = self.ctx.db.read().await.map_err(Error::from)?;
        let found = rollout_get(&mut tx, &id).await.map_err(Error::from)?;
        let found = found.ok_or_else(|| refused(&rollouts::not_found(name)))?;
        Ok(Response::new(self.counted(&found)))
    }

    async fn list_rollouts(
        &self,
        request: Request<v1::ListRolloutsRequest>,
    ) -> Result<Response<v1::ListRolloutsResponse>, Status> {
        let asked = request.into_inner();
        let filter = Filter::parse(&asked.filter, rollouts::FILTER_FIELDS, Reason::FilterInvalid)
            .map_err(|refusal| refused(&refusal))?;
        let binding = ["rollouts", asked.filter.as_str()];
        let page = Page::parse(asked.page_size, &asked.page_token, &binding).map_err(|e| refused(&e))?;
        let (found, next_page_token) = rollouts::list(&self.ctx, &filter, &page).await?;
        let rollouts =
            found.iter().map(|rollout| rollout_wire::rollout(rollout, &Census::default())).collect();
        Ok(Response::new(v1::ListRolloutsResponse { rollouts, next_page_token }))
    }

    async fn pause_rollout(
        &self,
        request: Request<v1::PauseRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        let actor = principal::token(&request)?.actor();
        let asked = request.into_inner();
        self.act(&actor, &asked.name, Act::Pause, &asked.etag).await
    }

    async fn resume_rollout(
        &self,
        request: Request<v1::ResumeRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        let actor = principal::token(&request)?.actor();
        let asked = request.into_inner();
        self.act(&actor, &asked.name, Act::Resume, &asked.etag).await
    }

    async fn abort_rollout(
        &self,
        request: Request<v1::AbortRolloutRequest>,
    ) -> Result<Response<v1::Rollout>, Status> {
        let actor = principal::token(&request)?.actor();
        let asked = request.into_inner();
        self.act(&actor, &asked.name, Act::Abort, &asked.etag).await
    }

    async fn assign_release(
        &self,
        request: Request<v1::AssignReleaseRequest>,
    ) -> Result<Response<v1::AssignReleaseResponse>, Status> {
        let actor = principal::token(&request)?.actor();
        let asked = request.into_inner();
        let device = id_in("devices", &asked.device, "device")?;
        let made = hand_assignments::assign(&self.ctx, &actor, &device, &asked.release).await?;
        Ok(Response::new(v1::AssignReleaseResponse { assignment: made.bytes.to_vec() }))
    }

    type WatchRolloutStream = Pin<Box<dyn Stream<Item = Result<v1::WatchRolloutResponse, Status>> + Send>>;

    async fn watch_rollout(
        &self,
        request: Request<v1::WatchRolloutRequest>,
    ) -> Result<Response<Self::WatchRolloutStream>, Status> {
        let caller = principal::token(&request)?;
        let place = self.ctx.watches.take(&caller).map_err(|e| refused(&e))?;
        let id = id_in("rollouts", &request.get_ref().name, "name")?;
        let mut watcher = Watcher::new(&self.ctx, id);
        // The first look is part of the call: an unknown rollout is its error, not the stream's.
        let first = watcher.next().await?;
        let stream = try_unfold((first, watcher, place), |(ready, mut watcher, place)| async move {
            let change = match ready {
                Some(change) => change,
                None => match watcher.next().await? {
                    Some(change) => change,
                    None => return Ok::<_, Status>(None),
                },
            };
            let response = v1::WatchRolloutResponse {
                rollout: Some(rollout_wire::rollout(&change.rollout, &change.census)),
                updates: change.updates.iter().map(|update| rollout_wire::update(update, &[])).collect(),
            };
            Ok(Some((response, (None, watcher, place))))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

impl Api {
    async fn act(
        &self,
        actor: &str,
        name: &str,
        act: Act,
        etag: &str,
    ) -> Result<Response<v1::Rollout>, Status> {
        let id = id_in("rollouts", name, "name")?;
        let rollout = rollouts::act(&self.ctx, actor, &id, act, etag).await?;
        Ok(Response::new(self.counted(&rollout)))
    }

    fn counted(&self, rollout: &Rollout) -> v1::Rollout {
        rollout_wire::rollout(rollout, &census(&self.ctx, rollout))
    }
}

//! AlertService: alerts and the limits they come from.

use futures_util::{Stream, stream::try_unfold};
use slipway_proto::v1::{
    self,
    alert_service_server::{AlertService, AlertServiceServer},
};
use std::pin::Pin;
use tonic::{Request, Response, Status};

use super::{
    alert_wire, limit_wire, principal,
    status::refused,
    wire::{from_timestamp, id_in},
};
use crate::{
    limits::MESSAGE,
    model::{
        filter::Filter,
        page::Page,
        refusal::{Reason, Refusal},
        silence::Silence,
        specification::Specification,
    },
    service::{Context, Error, alert_watch, alerts, limits, limits_apply, silences},
};

/// The handlers.
#[derive(Clone, Debug)]
pub struct Api {
    ctx: Context,
}

/// The service.
pub fn service(ctx: Context) -> AlertServiceServer<Api> {
    AlertServiceServer::new(Api { ctx }).max_decoding_message_size(MESSAGE)
}

#[tonic::async_trait]
impl AlertService for Api {
    async fn list_alerts(
        &self,
        request: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        let caller = principal::token(&request)?;
        let request = request.into_inner();
        let filter = Filter::parse(&request.filter, alerts::FILTER_FIELDS, Reason::FilterInvalid)
            .map_err(|refusal| refused(&refusal.field("filter")))?;
        let lives = if request.living_only { "living" } else { "any" };
        let binding = ["alerts", lives, request.filter.as_str(), caller.token.id.as_str()];
        let page = Page::parse(request.page_size, &request.page_token, &binding).map_err(|e| refused(&e))?;
        let found = alerts::list(&self.ctx, &caller, &page, &filter, request.living_only).await?;
        Ok(Response::new(v1::ListAlertsResponse {
            alerts: found.alerts.iter().map(alert_wire::alert).collect(),
            next_page_token: found.next,
            resolved_count: found.resolved.and_then(|count| i32::try_from(count).ok()),
        }))
    }

    async fn get_alert(&self, request: Request<v1::GetAlertRequest>) -> Result<Response<v1::Alert>, Status> {
        let caller = principal::token(&request)?;
        let id = id_in("alerts", &request.get_ref().name, "name")?;
        let alert = alerts::get(&self.ctx, &caller, &id).await?;
        Ok(Response::new(alert_wire::alert(&alert)))
    }

    async fn acknowledge_alert(
        &self,
        request: Request<v1::AcknowledgeAlertRequest>,
    ) -> Result<Response<v1::Alert>, Status> {
        let caller = principal::token(&request)?;
        let request = request.into_inner();
        let id = id_in("alerts", &request.name, "name")?;
        let alert = alerts::acknowledge(&self.ctx, &caller, &id, &request.etag, &request.note).await?;
        Ok(Response::new(alert_wire::alert(&alert)))
    }

    async fn resolve_alert(
        &self,
        request: Request<v1::ResolveAlertRequest>,
    ) -> Result<Response<v1::Alert>, Status> {
        let caller = principal::token(&request)?;
        let request = request.into_inner();
        let id = id_in("alerts", &request.name, "name")?;
        let alert = alerts::resolve(&self.ctx, &caller, &id, &request.etag, &request.note).await?;
        Ok(Response::new(alert_wire::alert(&alert)))
    }

    type WatchAlertsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchAlertsResponse, Status>> + Send>>;

    async fn watch_alerts(
        &self,
        request: Request<v1::WatchAlertsRequest>,
    ) -> Result<Response<Self::WatchAlertsStream>, Status> {
        let caller = principal::token(&request)?;
        let place = self.ctx.watches.take(&caller).map_err(|e| refused(&e))?;
        let watcher = alert_watch::watch(
            &self.ctx,
            caller,
            &request.get_ref().resume_token,
            request.get_ref().include_suppressed,
        )
        .await?;
        // Pulled by the connection: who reads slowly holds up only himself.
        let stream = try_unfold((watcher, place), |(mut watcher, place)| async move {
            let change = watcher.next().await?;
            let response = v1::WatchAlertsResponse {
                alert: change.alert.as_ref().map(alert_wire::alert),
                resume_token: change.token,
            };
            Ok::<_, Status>(Some((response, (watcher, place))))
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn create_limit(
        &self,
        request: Request<v1::CreateLimitRequest>,
    ) -> Result<Response<v1::Limit>, Status> {
        let actor = principal::token(&request)?.actor();
        let request = request.into_inner();
        let wire = request.limit.unwrap_or_default();
        let limit = limit_wire::from_limit(wire, &actor, self.ctx.clock.now()).map_err(Error::from)?;
        let limit = limits::create(&self.ctx, &actor, limit, request.take_over).await?;
        Ok(Response::new(limit_wire::limit(&limit)))
    }

    async fn list_limits(
        &self,
        request: Request<v1::ListLimitsRequest>,
    ) -> Result<Response<v1::ListLimitsResponse>, Status> {
        let request = request.into_inner();
        let page =
            Page::parse(request.page_size, &request.page_token, &["limits"]).map_err(|e| refused(&e))?;
        let (found, next_page_token) = limits::list(&self.ctx, &page).await?;
        let limits = found.iter().map(limit_wire::limit).collect();
        Ok(Response::new(v1::ListLimitsResponse { limits, next_page_token }))
    }

    async fn delete_limit(
        &self,
        request: Request<v1::DeleteLimitRequest>,
    ) -> Result<Response<v1::Limit>, Status> {
        let actor = principal::token(&request)?.actor();
        let id = id_in("limits", &request.get_ref().name, "name")?;
        let limit = match request.get_ref().force {
            true => limits::delete_managed(&self.ctx, &actor, &id).await?,
            false => limits::delete(&self.ctx, &actor, &id).await?,
        };
        Ok(Response::new(limit_wire::limit(&limit)))
    }

    async fn apply_limits(
        &self,
        request: Request<v1::ApplyLimitsRequest>,
    ) -> Result<Response<v1::ApplyLimitsResponse>, Status> {
        let actor = principal::token(&request)?.actor();
        let request = request.into_inner();
        let (prune, validate_only) = (request.prune, request.validate_only);
        let wanted = self.specification(request, &actor)?;
        let changes = limits_apply::apply(&self.ctx, &actor, &wanted, prune, validate_only).await?;
        let changes = changes.iter().map(limit_wire::change).collect();
        Ok(Response::new(v1::ApplyLimitsResponse { changes }))
    }

    async fn list_fixes(
        &self,
        request: Request<v1::ListFixesRequest>,
    ) -> Result<Response<v1::ListFixesResponse>, Status> {
        let request = request.into_inner();
        let page =
            Page::parse(request.page_size, &request.page_token, &["fixes"]).map_err(|e| refused(&e))?;
        let (found, next_page_token) = limits::fixes(&self.ctx, &page).await?;
        let fixes = found.iter().map(limit_wire::fix).collect();
        Ok(Response::new(v1::ListFixesResponse { fixes, next_page_token }))
    }

    async fn create_silence(
        &self,
        request: Request<v1::CreateSilenceRequest>,
    ) -> Result<Response<v1::Silence>, Status> {
        let actor = principal::token(&request)?.actor();
        let wire = request.into_inner().silence.unwrap_or_default();
        let matcher = Silence::matcher(&wire.matcher).map_err(|e| refused(&e))?;
        let end = wire.end_time.as_ref().map(from_timestamp).ok_or_else(|| {
            let hint = "say until when: within 92 days";
            refused(
                &Refusal::new(Reason::SilenceInvalid, "a silence without an end", hint)
                    .field("silence.end_time"),
            )
        })?;
        let silence = silences::create(&self.ctx, &actor, matcher, wire.reason, end).await?;
        Ok(Response::new(limit_wire::silence(&silence)))
    }

    async fn list_silences(
        &self,
        request: Request<v1::ListSilencesRequest>,
    ) -> Result<Response<v1::ListSilencesResponse>, Status> {
        let request = request.into_inner();
        let binding = ["silences", if request.include_ended { "all" } else { "in force" }];
        let page = Page::parse(request.page_size, &request.page_token, &binding).map_err(|e| refused(&e))?;
        let (found, next_page_token) = silences::list(&self.ctx, &page, request.include_ended).await?;
        let silences = found.iter().map(limit_wire::silence).collect();
        Ok(Response::new(v1::ListSilencesResponse { silences, next_page_token }))
    }

    async fn delete_silence(
        &self,
        request: Request<v1::DeleteSilenceRequest>,
    ) -> Result<Response<v1::Silence>, Status> {
        let actor = principal::token(&request)?.actor();
        let id = id_in("silences", &request.get_ref().name, "name")?;
        let silence = silences::delete(&self.ctx, &actor, &id).await?;
        Ok(Response::new(limit_wire::silence(&silence)))
    }
}

impl Api {
    /// The specification on the wire. Every entry that cannot be read is told, not only the first.
    fn specification(&self, request: v1::ApplyLimitsRequest, actor: &str) -> Result<Specification, Error> {
        let now = self.ctx.clock.now();
        let mut faults: Vec<Refusal> = Vec::new();
        let mut wanted = Specification { set: request.set, ..Specification::default() };
        for (at, mut wire) in request.limits.into_iter().enumerate() {
            wire.managed_by.clone_from(&wanted.set);
            match limit_wire::from_limit(wire, actor, now) {
                Ok(limit) => wanted.limits.push(limit),
                Err(refusal) => faults.push(in_list(refusal, "limit.", &format!("limits[{at}]."))),
            }
        }
        for (at, mut wire) in request.fixes.into_iter().enumerate() {
            wire.managed_by.clone_from(&wanted.set);
            match limit_wire::from_fix(wire, actor, now) {
                Ok(fix) => wanted.fixes.push(fix),
                Err(refusal) => faults.push(in_list(refusal, "fix.", &format!("fixes[{at}]."))),
            }
        }
        let mut faults = faults.into_iter();
        let Some(mut first) = faults.next() else { return Ok(wanted) };
        first.violations =
            faults.map(|refusal| (refusal.field.unwrap_or_default(), refusal.message)).collect();
        Err(first.into())
    }
}

/// The refusal of one entry as that of the list it stands in.
fn in_list(mut refusal: Refusal, prefix: &str, place: &str) -> Refusal {
    let field = refusal.field.unwrap_or_default();
    refusal.field = Some(format!("{place}{}", field.strip_prefix(prefix).unwrap_or(&field)));
    refusal
}

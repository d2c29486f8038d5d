//! AlertService: alerts and the limits they come from.

use futures_util::{Stream, stream::try_unfold};
use slipway_proto::v1::{
    self,
    alert_service_server::{AlertService, AlertServiceServer},
};
use std::pin::Pin;
use tonic::{Request, Response, Status};

use super::{alert_wire, principal, status::refused, wire::id_in};
use crate::{
    limits::MESSAGE,
    model::{filter::Filter, page::Page, refusal::Reason},
    service::{Context, Error, alert_watch, alerts, limits},
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
        let binding = ["alerts", request.filter.as_str(), caller.token.id.as_str()];
        let page = Page::parse(request.page_size, &request.page_token, &binding).map_err(|e| refused(&e))?;
        let (found, next_page_token) = alerts::list(&self.ctx, &caller, &page, &filter).await?;
        let alerts = found.iter().map(alert_wire::alert).collect();
        Ok(Response::new(v1::ListAlertsResponse { alerts, next_page_token }))
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
        let alert = alerts::acknowledge(&self.ctx, &caller, &id, &request.etag).await?;
        Ok(Response::new(alert_wire::alert(&alert)))
    }

    async fn resolve_alert(
        &self,
        request: Request<v1::ResolveAlertRequest>,
    ) -> Result<Response<v1::Alert>, Status> {
        let caller = principal::token(&request)?;
        let request = request.into_inner();
        let id = id_in("alerts", &request.name, "name")?;
        let alert = alerts::resolve(&self.ctx, &caller, &id, &request.etag).await?;
        Ok(Response::new(alert_wire::alert(&alert)))
    }

    type WatchAlertsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchAlertsResponse, Status>> + Send>>;

    async fn watch_alerts(
        &self,
        request: Request<v1::WatchAlertsRequest>,
    ) -> Result<Response<Self::WatchAlertsStream>, Status> {
        let caller = principal::token(&request)?;
        let watcher = alert_watch::watch(&self.ctx, caller, &request.get_ref().resume_token).await?;
        // Pulled by the connection: who reads slowly holds up only himself.
        let stream = try_unfold(watcher, |mut watcher| async move {
            let change = watcher.next().await?;
            let response = v1::WatchAlertsResponse {
                alert: change.alert.as_ref().map(alert_wire::alert),
                resume_token: change.token,
            };
            Ok::<_, Status>(Some((response, watcher)))
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn create_limit(
        &self,
        request: Request<v1::CreateLimitRequest>,
    ) -> Result<Response<v1::Limit>, Status> {
        let actor = principal::token(&request)?.actor();
        let wire = request.into_inner().limit.unwrap_or_default();
        let limit = alert_wire::from_limit(wire, &actor, self.ctx.clock.now()).map_err(Error::from)?;
        let limit = limits::create(&self.ctx, &actor, limit).await?;
        Ok(Response::new(alert_wire::limit(&limit)))
    }

    async fn list_limits(
        &self,
        request: Request<v1::ListLimitsRequest>,
    ) -> Result<Response<v1::ListLimitsResponse>, Status> {
        let request = request.into_inner();
        let page =
            Page::parse(request.page_size, &request.page_token, &["limits"]).map_err(|e| refused(&e))?;
        let (found, next_page_token) = limits::list(&self.ctx, &page).await?;
        let limits = found.iter().map(alert_wire::limit).collect();
        Ok(Response::new(v1::ListLimitsResponse { limits, next_page_token }))
    }

    async fn delete_limit(
        &self,
        request: Request<v1::DeleteLimitRequest>,
    ) -> Result<Response<v1::Limit>, Status> {
        let actor = principal::token(&request)?.actor();
        let id = id_in("limits", &request.get_ref().name, "name")?;
        let limit = limits::delete(&self.ctx, &actor, &id).await?;
        Ok(Response::new(alert_wire::limit(&limit)))
    }
}

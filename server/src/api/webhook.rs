//! `WebhookService`: addresses that hear of events.

use slipway_proto::v1::{
    self,
    replay_webhook_request::Since as WireSince,
    webhook_service_server::{WebhookService, WebhookServiceServer},
};
use tonic::{Request, Response, Status};

use super::{principal, status::refused, webhook_wire, wire};
use crate::{
    limits,
    model::{
        filter::Filter,
        page::Page,
        refusal::{Reason, Refusal},
    },
    service::{
        Context, Error, deliveries,
        webhooks::{self, Since},
    },
};

/// The handlers.
#[derive(Debug)]
pub struct Api {
    ctx: Context,
}

/// The service, for the router.
pub fn service(ctx: Context) -> WebhookServiceServer<Api> {
    WebhookServiceServer::new(Api { ctx }).max_decoding_message_size(limits::MESSAGE)
}

#[tonic::async_trait]
impl WebhookService for Api {
    async fn create_webhook(
        &self,
        request: Request<v1::CreateWebhookRequest>,
    ) -> Result<Response<v1::CreateWebhookResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner().webhook.unwrap_or_default();
        let made = webhooks::create(&self.ctx, &caller, webhook_wire::new(asked)).await?;
        let secret = webhooks::secret(&made);
        Ok(Response::new(v1::CreateWebhookResponse { webhook: Some(webhook_wire::made(made)), secret }))
    }

    async fn list_webhooks(
        &self,
        request: Request<v1::ListWebhooksRequest>,
    ) -> Result<Response<v1::ListWebhooksResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let binding = ["webhooks", caller.token.id.as_str()];
        let page = Page::parse(asked.page_size, &asked.page_token, &binding).map_err(Error::from)?;
        let (found, next_page_token) = webhooks::list(&self.ctx, &caller, &page).await?;
        let webhooks = found.iter().map(webhook_wire::webhook).collect();
        Ok(Response::new(v1::ListWebhooksResponse { webhooks, next_page_token }))
    }

    async fn get_webhook(
        &self,
        request: Request<v1::GetWebhookRequest>,
    ) -> Result<Response<v1::Webhook>, Status> {
        let caller = principal::token(&request)?;
        let id = wire::id_in("webhooks", &request.get_ref().name, "name")?;
        let found = webhooks::get(&self.ctx, &caller, &id).await?;
        Ok(Response::new(webhook_wire::webhook(&found)))
    }

    async fn update_webhook(
        &self,
        request: Request<v1::UpdateWebhookRequest>,
    ) -> Result<Response<v1::Webhook>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let wanted = asked.webhook.unwrap_or_default();
        let id = wire::id_in("webhooks", &wanted.name, "webhook.name")?;
        let etag = wanted.etag.clone();
        let change = webhook_wire::change(wanted, &asked.update_mask.unwrap_or_default().paths)
            .map_err(Error::from)?;
        let changed = webhooks::update(&self.ctx, &caller, &id, change, &etag).await?;
        Ok(Response::new(webhook_wire::webhook(&changed)))
    }

    async fn delete_webhook(
        &self,
        request: Request<v1::DeleteWebhookRequest>,
    ) -> Result<Response<v1::Webhook>, Status> {
        let caller = principal::token(&request)?;
        let id = wire::id_in("webhooks", &request.get_ref().name, "name")?;
        let gone = webhooks::delete(&self.ctx, &caller, &id).await?;
        Ok(Response::new(webhook_wire::webhook(&gone)))
    }

    async fn rotate_webhook_secret(
        &self,
        request: Request<v1::RotateWebhookSecretRequest>,
    ) -> Result<Response<v1::RotateWebhookSecretResponse>, Status> {
        let caller = principal::token(&request)?;
        let id = wire::id_in("webhooks", &request.get_ref().name, "name")?;
        let (rotated, until) = webhooks::rotate(&self.ctx, &caller, &id).await?;
        Ok(Response::new(v1::RotateWebhookSecretResponse {
            secret: webhooks::secret(&rotated.webhook),
            webhook: Some(webhook_wire::webhook(&rotated)),
            old_expire_time: Some(wire::timestamp(until)),
        }))
    }

    async fn test_webhook(
        &self,
        request: Request<v1::TestWebhookRequest>,
    ) -> Result<Response<v1::TestWebhookResponse>, Status> {
        let caller = principal::token(&request)?;
        let id = wire::id_in("webhooks", &request.get_ref().name, "name")?;
        let (event, answer) = webhooks::test(&self.ctx, &caller, &id).await?;
        Ok(Response::new(v1::TestWebhookResponse {
            event_id: event.id,
            delivered: answer.is_taken(),
            http_status: i32::from(answer.http_status),
            error: answer.error,
        }))
    }

    async fn replay_webhook(
        &self,
        request: Request<v1::ReplayWebhookRequest>,
    ) -> Result<Response<v1::ReplayWebhookResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let id = wire::id_in("webhooks", &asked.name, "name")?;
        let since = match asked.since {
            Some(WireSince::Time(time)) => Since::Time(wire::from_timestamp(&time)),
            Some(WireSince::Position(position)) => Since::Position(position),
            None => {
                let refusal = Refusal::new(
                    Reason::WebhookInvalid,
                    "nobody said from where on events are to be sent again",
                    "name a time or a position",
                );
                return Err(refused(&refusal.field("since")));
            }
        };
        let (webhook, events) = webhooks::replay(&self.ctx, &caller, &id, since).await?;
        Ok(Response::new(v1::ReplayWebhookResponse {
            webhook: Some(webhook_wire::webhook(&webhook)),
            events,
        }))
    }

    async fn list_deliveries(
        &self,
        request: Request<v1::ListDeliveriesRequest>,
    ) -> Result<Response<v1::ListDeliveriesResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let id = wire::id_in("webhooks", &asked.parent, "parent")?;
        let filter = Filter::parse(&asked.filter, deliveries::FILTER_FIELDS, Reason::FilterInvalid)
            .map_err(|refusal| refused(&refusal.field("filter")))?;
        let binding = ["deliveries", id.as_str(), asked.filter.as_str()];
        let page = Page::parse(asked.page_size, &asked.page_token, &binding).map_err(Error::from)?;
        let (found, next_page_token) = deliveries::list(&self.ctx, &caller, &id, &page, &filter).await?;
        let deliveries = found.iter().map(webhook_wire::delivery).collect();
        Ok(Response::new(v1::ListDeliveriesResponse { deliveries, next_page_token }))
    }
}

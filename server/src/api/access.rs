//! `AccessService`: bearer tokens, and what was done with them.

use slipway_proto::v1::{
    self, CreateTokenRequest, CreateTokenResponse, GetCallerRequest, ListAuditEventsRequest,
    ListAuditEventsResponse, ListTokensRequest, ListTokensResponse, RevokeTokenRequest,
    access_service_server::{AccessService, AccessServiceServer},
};
use tonic::{Request, Response, Status};

use super::{principal, status::refused, wire};
use crate::{
    limits,
    model::{
        filter::Filter,
        page::Page,
        refusal::{Reason, Refusal},
        token::{Role, Token},
    },
    service::{
        Context, Error, audit,
        tokens::{self, NewToken},
    },
    store::audit::AuditEntry,
};

/// The handlers.
#[derive(Debug)]
pub struct Api {
    ctx: Context,
}

/// The service, for the router.
pub fn service(ctx: Context) -> AccessServiceServer<Api> {
    AccessServiceServer::new(Api { ctx }).max_decoding_message_size(limits::MESSAGE)
}

#[tonic::async_trait]
impl AccessService for Api {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let token = asked.token.unwrap_or_default();
        let new = NewToken {
            role: role(token.role())?,
            display_name: token.display_name,
            scope: token.scope,
            ttl: wire::life(asked.ttl, Reason::TokenInvalid)?,
        };
        let (made, secret) = tokens::create(&self.ctx, &caller.actor(), new).await?;
        Ok(Response::new(CreateTokenResponse { token: Some(to_wire(&made)), secret }))
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        let asked = request.into_inner();
        let page = Page::parse(asked.page_size, &asked.page_token, &["tokens"]).map_err(Error::from)?;
        let (found, next_page_token) = tokens::list(&self.ctx, &page).await?;
        let tokens = found.iter().map(to_wire).collect();
        Ok(Response::new(ListTokensResponse { tokens, next_page_token }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<v1::Token>, Status> {
        let caller = principal::token(&request)?;
        let id = wire::id_in("tokens", &request.into_inner().name, "name")?;
        let ended = tokens::revoke(&self.ctx, &caller.actor(), &id).await?;
        Ok(Response::new(to_wire(&ended)))
    }

    async fn get_caller(&self, request: Request<GetCallerRequest>) -> Result<Response<v1::Token>, Status> {
        let caller = principal::token(&request)?;
        Ok(Response::new(to_wire(&caller.token)))
    }

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let asked = request.into_inner();
        let filter = Filter::parse(&asked.filter, audit::FILTER_FIELDS, Reason::FilterInvalid)
            .map_err(|refusal| refused(&refusal.field("filter")))?;
        let binding = ["auditEvents", asked.filter.as_str()];
        let page = Page::parse(asked.page_size, &asked.page_token, &binding).map_err(Error::from)?;
        let (found, next_page_token) = audit::list(&self.ctx, &filter, &page).await?;
        let audit_events = found.into_iter().map(event).collect();
        Ok(Response::new(ListAuditEventsResponse { audit_events, next_page_token }))
    }
}

fn event(entry: AuditEntry) -> v1::AuditEvent {
    v1::AuditEvent {
        name: format!("auditEvents/{}", entry.number),
        time: Some(wire::timestamp(entry.at)),
        actor: entry.actor,
        action: entry.action,
        resource: entry.resource,
        detail: entry.detail,
        hash: entry.hash,
    }
}

fn to_wire(token: &Token) -> v1::Token {
    let role = match token.role {
        Role::Viewer => v1::Role::Viewer,
        Role::Operator => v1::Role::Operator,
        Role::Publisher => v1::Role::Publisher,
        Role::Admin => v1::Role::Admin,
        Role::Client => v1::Role::Client,
        Role::Ingest => v1::Role::Ingest,
    };
    v1::Token {
        name: format!("tokens/{}", token.id),
        display_name: token.display_name.clone(),
        role: role.into(),
        scope: token.scope.clone(),
        create_time: Some(wire::timestamp(token.created_at)),
        expire_time: Some(wire::timestamp(token.expires_at)),
        revoked: token.revoked_at.is_some(),
    }
}

fn role(asked: v1::Role) -> Result<Role, Status> {
    Ok(match asked {
        v1::Role::Viewer => Role::Viewer,
        v1::Role::Operator => Role::Operator,
        v1::Role::Publisher => Role::Publisher,
        v1::Role::Admin => Role::Admin,
        v1::Role::Client => Role::Client,
        v1::Role::Ingest => Role::Ingest,
        v1::Role::Unspecified => {
            return Err(refused(
                &Refusal::new(
                    Reason::TokenInvalid,
                    "a token needs a role",
                    "choose viewer, operator, publisher, admin, client or ingest",
                )
                .field("token.role"),
            ));
        }
    })
}

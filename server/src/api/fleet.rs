//! `FleetService`: devices, and the rights by which machines become devices.

use slipway_proto::v1::{
    self, Anchors, ApproveDeviceRequest, ClearQuarantineRequest, CreateAuthorityRequest, CreateClaimRequest,
    CreateClaimResponse, DeleteAuthorityRequest, ExplainDeviceRequest, ExplainDeviceResponse,
    GetAnchorsRequest, GetDeviceRequest, ImportDevicesRequest, ImportDevicesResponse, ListAuthoritiesRequest,
    ListAuthoritiesResponse, ListClaimsRequest, ListClaimsResponse, ListDevicesRequest, ListDevicesResponse,
    ListUpdatesRequest, ListUpdatesResponse, RevokeClaimRequest, RevokeDeviceRequest, UpdateDeviceRequest,
    fleet_service_server::{FleetService, FleetServiceServer},
};
use tonic::{Request, Response, Status};

use super::{
    enrolment_wire::{authority, registration, wanted_authority},
    fleet_wire::{claim, device, device_for, label_change},
    principal, rollout_wire, trust, wire,
};
use crate::{
    limits,
    model::{filter::Filter, page::Page, refusal::Reason},
    service::{
        Context, Error, authorities,
        claims::{self, NewClaim},
        devices, explain, registrations,
        token_cache::TokenCaller,
        updates,
    },
};

/// The handlers.
#[derive(Debug)]
pub struct Api {
    ctx: Context,
}

/// The service, for the router.
pub fn service(ctx: Context) -> FleetServiceServer<Api> {
    FleetServiceServer::new(Api { ctx }).max_decoding_message_size(limits::MESSAGE)
}

impl Api {
    /// A device that the caller may see; another one is as good as none.
    async fn find(&self, caller: &TokenCaller, name: &str, field: &str) -> Result<devices::Seen, Status> {
        let id = wire::id_in("devices", name, field)?;
        // Neither answer may tell which of the two it was.
        match devices::get(&self.ctx, &id).await {
            Ok(seen) if !caller.may_see(&seen.device) => Err(Error::from(devices::not_found(&id)).into()),
            other => Ok(other?),
        }
    }
}

#[tonic::async_trait]
impl FleetService for Api {
    async fn list_devices(
        &self,
        request: Request<ListDevicesRequest>,
    ) -> Result<Response<ListDevicesResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let binding = ["devices", &asked.filter, caller.scope().as_str()];
        let page = Page::parse(asked.page_size, &asked.page_token, &binding).map_err(Error::from)?;
        let filter = Filter::parse(&asked.filter, devices::fields(&caller), Reason::FilterInvalid)
            .map_err(|refusal| Error::from(refusal.field("filter")))?;
        let found = devices::list(&self.ctx, &page, &filter, &caller).await?;
        Ok(Response::new(ListDevicesResponse {
            devices: found.devices.iter().map(|seen| device_for(&caller, seen)).collect(),
            next_page_token: found.next,
            total_size: found.total,
        }))
    }

    async fn get_device(&self, request: Request<GetDeviceRequest>) -> Result<Response<v1::Device>, Status> {
        let caller = principal::token(&request)?;
        let found = self.find(&caller, &request.get_ref().name, "name").await?;
        Ok(Response::new(device_for(&caller, &found)))
    }

    async fn update_device(
        &self,
        request: Request<UpdateDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let wanted = asked.device.unwrap_or_default();
        let change = label_change(&asked.update_mask.unwrap_or_default(), &wanted).map_err(Error::from)?;
        let id = self.find(&caller, &wanted.name, "device.name").await?.device.id;
        let changed = devices::set_labels(&self.ctx, &caller.actor(), &id, &change, &wanted.etag).await?;
        Ok(Response::new(device(&changed)))
    }

    async fn revoke_device(
        &self,
        request: Request<RevokeDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let id = wire::id_in("devices", &asked.name, "name")?;
        let revoked = devices::revoke(&self.ctx, &caller.actor(), &id, &asked.reason).await?;
        Ok(Response::new(device(&revoked)))
    }

    async fn clear_quarantine(
        &self,
        request: Request<ClearQuarantineRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let caller = principal::token(&request)?;
        let id = wire::id_in("devices", &request.into_inner().name, "name")?;
        let cleared = devices::clear_quarantine(&self.ctx, &caller.actor(), &id).await?;
        Ok(Response::new(device(&cleared)))
    }

    async fn approve_device(
        &self,
        request: Request<ApproveDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let id = wire::id_in("devices", &asked.name, "name")?;
        let approved = devices::approve(&self.ctx, &caller.actor(), &id, &asked.etag).await?;
        Ok(Response::new(device(&approved)))
    }

    async fn import_devices(
        &self,
        request: Request<ImportDevicesRequest>,
    ) -> Result<Response<ImportDevicesResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let read = asked.registrations.into_iter().enumerate();
        let read: Result<Vec<_>, _> = read.map(|(index, one)| registration(index, one)).collect();
        let registrations = read.map_err(Error::from)?;
        let done =
            registrations::import(&self.ctx, &caller.actor(), &registrations, asked.validate_only).await?;
        Ok(Response::new(ImportDevicesResponse {
            created_count: done.created,
            unchanged_count: done.unchanged,
            corrected_count: done.corrected,
            revoked_count: done.revoked,
        }))
    }

    async fn explain_device(
        &self,
        request: Request<ExplainDeviceRequest>,
    ) -> Result<Response<ExplainDeviceResponse>, Status> {
        let caller = principal::token(&request)?;
        let found = self.find(&caller, &request.get_ref().name, "name").await?;
        let id = &found.device.id;
        let why = explain::device(&self.ctx, id).await?.ok_or_else(|| Error::from(devices::not_found(id)))?;
        let (rollout, offer) = why.offer.as_ref().map_or_else(Default::default, |(active, version)| {
            (format!("rollouts/{}", active.id), format!("releases/{}/{version}", active.rollout.product))
        });
        let mut shown = device(&found);
        if let Some(alarm) = &why.alarm {
            // Whatever the device says itself: it gets nothing until this is put right.
            shown.blocked = Some(v1::Reason {
                code: Reason::MetadataRefused.code().to_owned(),
                detail: format!("the server's own copy of the signed metadata is not served: {alarm}"),
            });
        }
        Ok(Response::new(ExplainDeviceResponse {
            device: Some(shown),
            offer,
            rollout,
            verdicts: why
                .verdicts
                .iter()
                .map(|(active, verdict)| rollout_wire::verdict(active, verdict))
                .collect(),
            updates: why
                .updates
                .iter()
                .map(|(update, history)| rollout_wire::update(update, history))
                .collect(),
            metadata: Some(trust::metadata_versions(&why.have)),
        }))
    }

    async fn list_updates(
        &self,
        request: Request<ListUpdatesRequest>,
    ) -> Result<Response<ListUpdatesResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let binding = ["updates", &asked.parent, &asked.filter, caller.scope().as_str()];
        let page = Page::parse(asked.page_size, &asked.page_token, &binding).map_err(Error::from)?;
        let filter = Filter::parse(&asked.filter, updates::FILTER_FIELDS, Reason::FilterInvalid)
            .map_err(|refusal| Error::from(refusal.field("filter")))?;
        let of_one = match asked.parent.as_str() {
            "devices/-" => None,
            name => Some(self.find(&caller, name, "parent").await?.device.id),
        };
        let visible = |id: &str| self.ctx.devices.get(id).is_some_and(|entry| caller.may_see(&**entry));
        let (found, next_page_token) =
            updates::list(&self.ctx, of_one.as_deref(), &filter, &page, visible).await?;
        let updates = found.iter().map(|update| rollout_wire::update(update, &[])).collect();
        Ok(Response::new(ListUpdatesResponse { updates, next_page_token }))
    }

    async fn create_claim(
        &self,
        request: Request<CreateClaimRequest>,
    ) -> Result<Response<CreateClaimResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let wanted = asked.claim.unwrap_or_default();
        let new = NewClaim {
            product: wanted.product,
            hardware: wanted.hardware,
            labels: wanted.labels.into_iter().collect(),
            uses: wanted.uses,
            device_id: wanted.device_id,
            device_id_pattern: wanted.device_id_pattern,
            approve: wanted.approve,
            ttl: wire::life(asked.ttl, Reason::ClaimInvalid)?,
            request_id: asked.request_id,
        };
        let root = self.ctx.trust.newest_root(&self.ctx.db).await?;
        let (made, token) = claims::create(&self.ctx, &caller.actor(), new).await?;
        Ok(Response::new(CreateClaimResponse {
            claim: Some(claim(&made)),
            token,
            server_ca_pem: self.ctx.pki.server_ca_pem().to_owned(),
            root: root.map(Into::into).unwrap_or_default(),
        }))
    }

    async fn list_claims(
        &self,
        request: Request<ListClaimsRequest>,
    ) -> Result<Response<ListClaimsResponse>, Status> {
        let asked = request.into_inner();
        let page = Page::parse(asked.page_size, &asked.page_token, &["claims"]).map_err(Error::from)?;
        let (found, next_page_token) = claims::list(&self.ctx, &page).await?;
        let claims = found.iter().map(claim).collect();
        Ok(Response::new(ListClaimsResponse { claims, next_page_token }))
    }

    async fn revoke_claim(
        &self,
        request: Request<RevokeClaimRequest>,
    ) -> Result<Response<v1::Claim>, Status> {
        let caller = principal::token(&request)?;
        let id = wire::id_in("claims", &request.into_inner().name, "name")?;
        let ended = claims::revoke(&self.ctx, &caller.actor(), &id).await?;
        Ok(Response::new(claim(&ended)))
    }
    async fn get_anchors(&self, _: Request<GetAnchorsRequest>) -> Result<Response<Anchors>, Status> {
        let root = self.ctx.trust.newest_root(&self.ctx.db).await?;
        Ok(Response::new(Anchors {
            server_ca_pem: self.ctx.pki.server_ca_pem().to_owned(),
            root: root.map(Into::into).unwrap_or_default(),
        }))
    }

    async fn create_authority(
        &self,
        request: Request<CreateAuthorityRequest>,
    ) -> Result<Response<v1::Authority>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let wanted = wanted_authority(asked.authority_id, asked.authority.unwrap_or_default());
        let made = authorities::create(&self.ctx, &caller.actor(), wanted).await?;
        Ok(Response::new(authority(&made)))
    }

    async fn list_authorities(
        &self,
        request: Request<ListAuthoritiesRequest>,
    ) -> Result<Response<ListAuthoritiesResponse>, Status> {
        let asked = request.into_inner();
        let page = Page::parse(asked.page_size, &asked.page_token, &["authorities"]).map_err(Error::from)?;
        let (found, next_page_token) = authorities::list(&self.ctx, &page).await?;
        let authorities = found.iter().map(authority).collect();
        Ok(Response::new(ListAuthoritiesResponse { authorities, next_page_token }))
    }

    async fn delete_authority(
        &self,
        request: Request<DeleteAuthorityRequest>,
    ) -> Result<Response<v1::Authority>, Status> {
        let caller = principal::token(&request)?;
        let id = wire::id_in("authorities", &request.into_inner().name, "name")?;
        let gone = authorities::delete(&self.ctx, &caller.actor(), &id).await?;
        Ok(Response::new(authority(&gone)))
    }
}

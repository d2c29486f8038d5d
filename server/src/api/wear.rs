//! WearService: wear models, and the lives that they learn from.

use std::time::Duration;

use slipway_insight::Side;
use slipway_proto::v1::{
    self,
    wear_service_server::{WearService, WearServiceServer},
};
use tonic::{Request, Response, Status, Streaming};

use super::{
    alert_wire::severity,
    principal,
    status::refused,
    wire::{duration, from_duration, id_in, timestamp},
};
use crate::{
    limits::MESSAGE,
    model::{
        alert::Severity,
        id,
        lives::Lives,
        page::Page,
        refusal::{Reason, Refusal},
        selector::Selector,
        text::quoted,
        wear::{Sensor, WearTerms},
    },
    service::{
        Context,
        wear::{self, Action, Counted},
    },
};

/// The handlers.
#[derive(Clone, Debug)]
pub struct Api {
    ctx: Context,
}

/// The service.
pub fn service(ctx: Context) -> WearServiceServer<Api> {
    WearServiceServer::new(Api { ctx }).max_decoding_message_size(MESSAGE)
}

#[tonic::async_trait]
impl WearService for Api {
    async fn apply_wear_model(
        &self,
        request: Request<Streaming<v1::ApplyWearModelRequest>>,
    ) -> Result<Response<v1::ApplyWearModelResponse>, Status> {
        let caller = principal::token(&request)?;
        // Held until it is learned: that is when the lives are let go.
        let _place = self.ctx.lessons.take(&caller).map_err(|refusal| refused(&refusal))?;
        let mut messages = request.into_inner();
        let first = messages.message().await?.unwrap_or_default();
        let (wire, validate_only) = (first.wear_model.unwrap_or_default(), first.validate_only);
        let terms = from_model(wire).map_err(|refusal| refused(&refusal))?;
        wear::check(&terms)?;
        let mut lives = Lives::new(terms.sensors.len());
        let mut take = |recorded: Vec<v1::RecordedLife>| {
            recorded
                .iter()
                .try_for_each(|life| lives.add(&life.unit, &life.values))
                .map_err(|refusal| refused(&refusal))
        };
        take(first.lives)?;
        while let Some(message) = messages.message().await? {
            if message.wear_model.is_some() || message.validate_only {
                let hint = "say what is to be followed in the first message alone";
                let wrong = "a message after the first says again what is to be followed";
                return Err(refused(
                    &Refusal::new(Reason::WearModelInvalid, wrong, hint).field("wear_model"),
                ));
            }
            take(message.lives)?;
        }
        let (applied, action) = wear::apply(&self.ctx, &caller.actor(), terms, lives, validate_only).await?;
        let action = match action {
            Action::Create => v1::WearModelAction::Create,
            Action::Update => v1::WearModelAction::Update,
            Action::Restart => v1::WearModelAction::Restart,
            Action::Keep => v1::WearModelAction::Keep,
        };
        let wear_model = Some(model(&applied));
        Ok(Response::new(v1::ApplyWearModelResponse { wear_model, action: action.into() }))
    }

    async fn list_wear_models(
        &self,
        request: Request<v1::ListWearModelsRequest>,
    ) -> Result<Response<v1::ListWearModelsResponse>, Status> {
        let request = request.into_inner();
        let page =
            Page::parse(request.page_size, &request.page_token, &["wearModels"]).map_err(|e| refused(&e))?;
        let (found, next_page_token) = wear::list(&self.ctx, &page).await?;
        let wear_models = found.iter().map(model).collect();
        Ok(Response::new(v1::ListWearModelsResponse { wear_models, next_page_token }))
    }

    async fn get_wear_model(
        &self,
        request: Request<v1::GetWearModelRequest>,
    ) -> Result<Response<v1::WearModel>, Status> {
        let id = id_in("wearModels", &request.get_ref().name, "name")?;
        Ok(Response::new(model(&wear::get(&self.ctx, &id).await?)))
    }

    async fn delete_wear_model(
        &self,
        request: Request<v1::DeleteWearModelRequest>,
    ) -> Result<Response<v1::WearModel>, Status> {
        let actor = principal::token(&request)?.actor();
        let id = id_in("wearModels", &request.get_ref().name, "name")?;
        Ok(Response::new(model(&wear::delete(&self.ctx, &actor, &id).await?)))
    }

    async fn restart_wear_model(
        &self,
        request: Request<v1::RestartWearModelRequest>,
    ) -> Result<Response<v1::WearModel>, Status> {
        let actor = principal::token(&request)?.actor();
        let id = id_in("wearModels", &request.get_ref().name, "name")?;
        let device_id = id_in("devices", &request.get_ref().device, "device")?;
        Ok(Response::new(model(&wear::restart(&self.ctx, &actor, &id, &device_id).await?)))
    }
}

/// A wear model as an operator reads it.
fn model(Counted { model, devices }: &Counted) -> v1::WearModel {
    let (terms, measured) = (&model.terms, model.cohort.measured());
    let sensor =
        |sensor: &Sensor| v1::WearSensor { metric: sensor.metric.clone(), unit: sensor.unit.clone() };
    let signs = model.signs().map(|(sensor, side, new_value)| v1::WearSign {
        metric: sensor.metric.clone(),
        rises: side == Side::Above,
        new_value,
    });
    v1::WearModel {
        name: format!("wearModels/{}", terms.id),
        selector: terms.selector.as_str().to_owned(),
        component: terms.component.clone(),
        sensors: terms.sensors.iter().map(sensor).collect(),
        step: Some(duration(terms.step)),
        horizon: terms.horizon,
        part: terms.part.clone(),
        failure_mode: terms.failure_mode.clone(),
        lead_time: Some(duration(terms.lead_time)),
        severity: severity(terms.severity).into(),
        source: terms.source.clone(),
        fit: Some(v1::WearFit {
            lives: u32::try_from(model.cohort.lives()).unwrap_or(u32::MAX),
            rows: u64::from(model.rows),
            signs: signs.collect(),
            error: measured.error,
            coverage: measured.coverage,
        }),
        devices: *devices,
        update_time: Some(timestamp(model.updated_at)),
        updated_by: model.updated_by.clone(),
    }
}

/// What an operator says. What no wear model may be is refused by [`WearTerms::faults`]; here only what cannot be read.
fn from_model(wire: v1::WearModel) -> Result<WearTerms, Refusal> {
    let invalid = |field: &str, wrong: String, hint: &str| {
        Refusal::new(Reason::WearModelInvalid, wrong, hint).field(format!("wear_model.{field}"))
    };
    let id = id::within("wearModels", &wire.name).ok_or_else(|| {
        let wrong = format!("{} is no name for a wear model", quoted(&wire.name));
        invalid("name", wrong, "name it wearModels/ID")
    })?;
    let span = |field: &str, span: Option<&prost_types::Duration>| {
        from_duration(span.unwrap_or(&prost_types::Duration::default())).ok_or_else(|| {
            invalid(field, format!("{field} is a negative time"), "give a time of zero or more")
        })
    };
    let (step, lead_time): (Duration, Duration) =
        (span("step", wire.step.as_ref())?, span("lead_time", wire.lead_time.as_ref())?);
    let severity = match wire.severity() {
        v1::AlertSeverity::Info => Severity::Info,
        v1::AlertSeverity::Warning => Severity::Warning,
        v1::AlertSeverity::Unspecified | v1::AlertSeverity::Critical => Severity::Critical,
    };
    Ok(WearTerms {
        id: id.to_owned(),
        selector: Selector::parse(&wire.selector).map_err(|refusal| refusal.field("wear_model.selector"))?,
        component: wire.component,
        sensors: wire
            .sensors
            .into_iter()
            .map(|v1::WearSensor { metric, unit }| Sensor { metric, unit })
            .collect(),
        step,
        horizon: wire.horizon,
        part: wire.part,
        failure_mode: wire.failure_mode,
        lead_time,
        severity,
        source: wire.source,
    })
}

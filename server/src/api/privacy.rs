//! `PrivacyService`: what a device sent, handed out and forgotten.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use futures_util::{Stream, stream::try_unfold};
use slipway_archive::Row;
use slipway_proto::v1::{
    self, EraseDeviceRequest, EraseDeviceResponse, ExportDeviceRequest, ExportDeviceResponse,
    export_device_response::Record,
    privacy_service_server::{PrivacyService, PrivacyServiceServer},
};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::{alert_wire, fleet_wire, principal, rollout_wire, status::refused, wire};
use crate::{
    limits,
    model::{
        device::DataClass,
        erasure::Erasure,
        refusal::{Reason, Refusal},
        time::Timestamp,
    },
    service::{
        Context, Error, erasure,
        export::{Export, Part},
    },
};

/// Readings of one message: some 100 KB.
const READINGS: usize = 1_000;
/// How long a call waits for an erasure that it began; less than a call may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// The handlers.
#[derive(Debug)]
pub struct Api {
    ctx: Context,
}

/// The service, for the router.
pub fn service(ctx: Context) -> PrivacyServiceServer<Api> {
    PrivacyServiceServer::new(Api { ctx }).max_decoding_message_size(limits::MESSAGE)
}

#[tonic::async_trait]
impl PrivacyService for Api {
    type ExportDeviceStream = Pin<Box<dyn Stream<Item = Result<ExportDeviceResponse, Status>> + Send>>;

    async fn export_device(
        &self,
        request: Request<ExportDeviceRequest>,
    ) -> Result<Response<Self::ExportDeviceStream>, Status> {
        let caller = principal::token(&request)?;
        let place = self.ctx.exports.take(&caller).map_err(|e| refused(&e))?;
        let id = wire::id_in("devices", &request.get_ref().name, "name")?;
        let export = Export::begin(&self.ctx, &caller.actor(), &id).await?;
        // Pulled by the connection: who reads slowly holds up only himself.
        let stream =
            try_unfold((export, VecDeque::new(), place), |(mut export, mut ready, place)| async move {
                while ready.is_empty() {
                    let Some(part) = export.next().await? else { return Ok(None) };
                    ready.extend(records(part));
                }
                Ok::<_, Status>(ready.pop_front().map(|record| {
                    let response = ExportDeviceResponse { record: Some(record) };
                    (response, (export, ready, place))
                }))
            });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn erase_device(
        &self,
        request: Request<EraseDeviceRequest>,
    ) -> Result<Response<EraseDeviceResponse>, Status> {
        let caller = principal::token(&request)?;
        let id = wire::id_in("devices", &request.get_ref().name, "name")?;
        let erasure = Erasure { device_id: id, class: class_asked(request.get_ref().data_class)? };
        erasure::begin(&self.ctx, &caller.actor(), &erasure).await?;
        // Cut off here, the task goes on with it.
        let finished = match timeout(PATIENCE, erasure::finish(&self.ctx, &erasure)).await {
            Ok(Ok(())) => true,
            Ok(Err(Error::Refused(_))) | Err(_) => !erasure::is_pending(&self.ctx, &erasure).await?,
            Ok(Err(error)) => return Err(error.into()),
        };
        Ok(Response::new(EraseDeviceResponse { finished }))
    }
}

fn records(part: Part) -> Vec<Record> {
    match part {
        Part::Device(seen) => vec![Record::Device(fleet_wire::device(&seen))],
        Part::Update(update, history) => vec![Record::Update(rollout_wire::update(&update, &history))],
        Part::Alert(alert) => vec![Record::Alert(alert_wire::alert(&alert))],
        Part::Readings(rows) => rows
            .chunks(READINGS)
            .map(|rows| v1::ExportedReadings { readings: rows.iter().map(reading).collect() })
            .map(Record::Readings)
            .collect(),
        Part::Series(series, readings) => vec![Record::Series(v1::ExportedSeries {
            data_class: class(&series.class).into(),
            component: series.component,
            metric: series.metric,
            unit: series.unit,
            readings,
        })],
        Part::Metric(metric) => vec![Record::Metric(v1::ExportedMetric {
            data_class: class(&metric.class).into(),
            metric: metric.name,
            unit: metric.unit,
            kind: metric.kind.to_owned(),
            meaning: metric.meaning.to_owned(),
            owners: metric.is_owners,
        })],
    }
}

/// None: everything. A class that is none erases nothing.
fn class_asked(wire: i32) -> Result<Option<DataClass>, Status> {
    let asked = v1::DataClass::try_from(wire).ok().map(|class| match class {
        v1::DataClass::Unspecified => None,
        v1::DataClass::Essential => Some(DataClass::Essential),
        v1::DataClass::Diagnostic => Some(DataClass::Diagnostic),
        v1::DataClass::Usage => Some(DataClass::Usage),
        v1::DataClass::Location => Some(DataClass::Location),
    });
    asked.ok_or_else(|| {
        let hint = "name one of the four classes, or none to erase everything";
        let refusal = Refusal::new(Reason::MessageInvalid, format!("{wire} is no class of data"), hint);
        refused(&refusal.field("data_class"))
    })
}

fn reading(row: &Row) -> v1::Reading {
    v1::Reading {
        component: row.component.to_string(),
        metric: row.metric.to_string(),
        unit: row.unit.to_string(),
        data_class: class(&row.class).into(),
        time: Some(wire::timestamp(Timestamp::from_millis(row.time))),
        value: row.value,
        boot_id: row.boot_id.to_string(),
    }
}

fn class(name: &str) -> v1::DataClass {
    let name = format!("DATA_CLASS_{}", name.to_uppercase());
    v1::DataClass::from_str_name(&name).unwrap_or(v1::DataClass::Unspecified)
}

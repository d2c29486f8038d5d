//! TelemetryService: what devices measured.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream::try_unfold};
use slipway_archive::Row;
use slipway_proto::v1::{
    self,
    telemetry_service_server::{TelemetryService, TelemetryServiceServer},
};
use tonic::{Request, Response, Status};

use super::{
    principal,
    status::refused,
    telemetry_wire::{self, Times},
    wire::{duration, id_in, timestamp},
};
use crate::{
    limits::MESSAGE,
    model::{page::Page, selector::Selector},
    service::{
        Context,
        archive::{Devices, Readings, Select},
        telemetry,
        token_cache::TokenCaller,
    },
};

/// Points of a chart when nobody says how many: more than a terminal has columns.
const POINTS: usize = 500;
/// Most points of a chart: an answer of 600 kB.
const MAX_POINTS: usize = 10_000;
/// Readings in one message of an export: about 100 kB.
const MESSAGE_READINGS: usize = 1_000;
/// What a chart shows when nobody says since when.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// The handlers.
#[derive(Clone, Debug)]
pub struct Api {
    ctx: Context,
}

/// The service.
pub fn service(ctx: Context) -> TelemetryServiceServer<Api> {
    TelemetryServiceServer::new(Api { ctx }).max_decoding_message_size(MESSAGE)
}

impl Api {
    /// The device that a request names, if the caller may know of it.
    async fn device(&self, caller: &Arc<TokenCaller>, parent: &str) -> Result<String, Status> {
        let id = id_in("devices", parent, "parent")?;
        telemetry::check_visible(&self.ctx, caller, &id).await?;
        Ok(id)
    }
}

#[tonic::async_trait]
impl TelemetryService for Api {
    async fn list_series(
        &self,
        request: Request<v1::ListSeriesRequest>,
    ) -> Result<Response<v1::ListSeriesResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let device = self.device(&caller, &asked.parent).await?;
        let binding = ["series", device.as_str()];
        let page = Page::parse(asked.page_size, &asked.page_token, &binding).map_err(|e| refused(&e))?;
        let (found, next_page_token) = telemetry::series(&self.ctx, &device, &page).await?;
        let series = found.iter().map(telemetry_wire::series).collect();
        Ok(Response::new(v1::ListSeriesResponse { series, next_page_token }))
    }

    async fn query_readings(
        &self,
        request: Request<v1::QueryReadingsRequest>,
    ) -> Result<Response<v1::QueryReadingsResponse>, Status> {
        let caller = principal::token(&request)?;
        let asked = request.into_inner();
        let device = self.device(&caller, &asked.parent).await?;
        let most = telemetry_wire::points(asked.max_points, POINTS, MAX_POINTS).map_err(|e| refused(&e))?;
        let at_least = telemetry_wire::bucket(asked.bucket.as_ref()).map_err(|e| refused(&e))?;
        let (component, metric) =
            telemetry_wire::series_asked(&asked.component, &asked.metric).map_err(|e| refused(&e))?;
        let now = self.ctx.clock.now();
        let times = Times::read(asked.start_time.as_ref(), asked.end_time.as_ref());
        let times = times.or(now, Some(WEEK)).map_err(|e| refused(&e))?;
        let select = Select {
            devices: Devices::One(device),
            component: Some(component),
            metric: Some(metric),
            from: times.0,
            until: times.1,
        };
        let drawn = telemetry::draw(&self.ctx, select, most, at_least).await?;
        let length = drawn.bucket.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis);
        let mut answer = v1::QueryReadingsResponse {
            points: drawn.points.iter().map(telemetry_wire::point).collect(),
            bucket: length.map(duration),
            readings: drawn.readings,
            ..Default::default()
        };
        if let Some(newest) = drawn.newest {
            answer.unit = newest.unit;
            answer.data_class = telemetry_wire::class(newest.class).into();
            answer.last_time = Some(timestamp(newest.at));
            answer.last_value = newest.value;
        }
        Ok(Response::new(answer))
    }

    type ExportReadingsStream =
        Pin<Box<dyn Stream<Item = Result<v1::ExportReadingsResponse, Status>> + Send>>;

    async fn export_readings(
        &self,
        request: Request<v1::ExportReadingsRequest>,
    ) -> Result<Response<Self::ExportReadingsStream>, Status> {
        let caller = principal::token(&request)?;
        let place = self.ctx.exports.take(&caller).map_err(|e| refused(&e))?;
        let asked = request.into_inner();
        let devices = if asked.parent == "devices/-" {
            let selector = Selector::parse(&asked.selector).map_err(|e| refused(&e.field("selector")))?;
            telemetry::selected(&self.ctx, &caller, &selector).await?
        } else {
            Devices::One(self.device(&caller, &asked.parent).await?)
        };
        let given = |text: String| (!text.is_empty()).then_some(text);
        let times = Times::read(asked.start_time.as_ref(), asked.end_time.as_ref());
        let (from, until) = times.or(self.ctx.clock.now(), None).map_err(|e| refused(&e))?;
        let (component, metric) = (given(asked.component), given(asked.metric));
        let readings = Readings::begin(&self.ctx, Select { devices, component, metric, from, until }).await?;
        // Pulled by the connection: who reads slowly holds up only himself, and one page is in memory.
        let begun = (readings, VecDeque::new(), place);
        let stream = try_unfold(begun, |(mut readings, mut rows, place)| async move {
            if rows.is_empty() {
                match readings.next().await? {
                    Some(page) => rows = VecDeque::from(page),
                    None => return Ok(None),
                }
            }
            let message = message(&mut rows);
            Ok::<_, Status>(Some((message, (readings, rows, place))))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

/// The next rows that are of one device.
fn message(rows: &mut VecDeque<Row>) -> v1::ExportReadingsResponse {
    let device = rows.front().map(|row| row.device.clone());
    let alike = rows.iter().take(MESSAGE_READINGS).take_while(|row| Some(&row.device) == device.as_ref());
    let count = alike.count();
    v1::ExportReadingsResponse {
        device: device.map(|id| format!("devices/{id}")).unwrap_or_default(),
        readings: rows.drain(..count).map(|row| telemetry_wire::reading(&row)).collect(),
    }
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;

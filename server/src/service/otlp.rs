//! Metrics by the OpenTelemetry protocol, from a device or from a gateway that speaks for several, into the inbox.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::try_join_all;
use prost::Message as _;
use slipway_proto::{
    opentelemetry::proto::{
        collector::metrics::v1::{
            ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        },
        metrics::v1::ResourceMetrics,
    },
    v1,
};
use slipway_trust::Sha256;

use super::{
    Context, Result,
    device_cache::DeviceEntry,
    ingest::{self, NONCE},
    token_cache::TokenCaller,
};
use crate::{
    limits,
    model::{
        device::DeviceState,
        reading::MAX_READINGS,
        refusal::{Reason, Refusal},
        text::quoted,
        time::Timestamp,
    },
    otlp::{self, Fault, Point, Tally, Why},
    store::inbox::InboxRow,
};

/// Batches of one request that wait for a commit at once, so that the queue has room for others.
const AT_ONCE: usize = 32;

/// Who sends.
#[derive(Clone, Debug)]
pub enum Sender {
    /// A device, for itself: it is the one its certificate names.
    Device(Arc<DeviceEntry>),
    /// Whoever has a token for the devices in its scope.
    Gateway(Arc<TokenCaller>),
}

/// Takes the metrics of one request; OK once all that are not counted as rejected are durable.
///
/// The same request again adds nothing. Refused with `BATCH_TOO_LARGE`, `STORAGE_FULL` or `UNAVAILABLE`; what a refused
/// request left vanishes when it is repeated.
pub async fn export(
    ctx: &Context,
    sender: &Sender,
    request: ExportMetricsServiceRequest,
) -> Result<ExportMetricsServiceResponse> {
    let count = otlp::count(&request);
    if count > limits::OTLP_POINTS {
        return Err(Refusal::new(
            Reason::BatchTooLarge,
            format!("{count} data points are more than the {} of one request", limits::OTLP_POINTS),
            "export fewer at once: max_export_batch_size of the kit, send_batch_max_size of a collector",
        )
        .field("resource_metrics")
        .into());
    }
    let now = ctx.clock.now();
    let mut tally = Tally::default();
    let mut devices: BTreeMap<String, (Arc<DeviceEntry>, Vec<Point>)> = BTreeMap::new();
    for of in &request.resource_metrics {
        match device_of(ctx, sender, of).await? {
            Ok(device) => {
                let points = otlp::points(of, &mut tally);
                devices
                    .entry(device.id().to_owned())
                    .or_insert_with(|| (device, Vec::new()))
                    .1
                    .extend(points);
            }
            Err(why) => tally.reject(otlp::count_of_resource(of), why),
        }
    }
    let mut rows = Vec::new();
    for (device, points) in devices.into_values() {
        rows.extend(batches(points).into_iter().filter_map(|batch| row(&device, batch, now, &mut tally)));
    }
    let mut rest = rows.into_iter().peekable();
    while rest.peek().is_some() {
        try_join_all(rest.by_ref().take(AT_ONCE).map(|row| ingest::keep(ctx, row))).await?;
    }
    tell(ctx, sender, &tally, now);
    let message = tally.message();
    let partial_success = (!message.is_empty()).then(|| ExportMetricsPartialSuccess {
        rejected_data_points: i64::try_from(tally.rejected()).unwrap_or(i64::MAX),
        error_message: message,
    });
    Ok(ExportMetricsServiceResponse { partial_success })
}

/// Counts what was rejected, and says it in the log once a minute: senders are told, and most of them tell nobody.
fn tell(ctx: &Context, sender: &Sender, tally: &Tally, now: Timestamp) {
    if tally.rejected() == 0 {
        return;
    }
    if ctx.metrics.otlp_rejected(tally.faults().map(|(fault, points)| (fault.as_str(), points)), now) {
        let sender = match sender {
            Sender::Device(device) => format!("devices/{}", device.id()),
            Sender::Gateway(caller) => format!("tokens/{}", caller.token.id),
        };
        let faults: Vec<String> =
            tally.faults().map(|(fault, points)| format!("{} {points}", fault.as_str())).collect();
        tracing::info!(
            sender,
            rejected = tally.rejected(),
            faults = faults.join(", "),
            why = tally.message(),
            "OTLP data points were rejected; said once a minute at most, and counted at /metrics"
        );
    }
}

/// The device that a resource is of, or why it is of none that the sender may speak for.
async fn device_of(
    ctx: &Context,
    sender: &Sender,
    of: &ResourceMetrics,
) -> Result<std::result::Result<Arc<DeviceEntry>, Why>> {
    let foreign = |why: String| Why(Fault::Device, why);
    let said = otlp::named(of.resource.as_ref(), otlp::DEVICE);
    let caller = match sender {
        Sender::Device(device) => {
            return Ok(match said {
                Some(other) if other != device.id() => Err(foreign(format!(
                    "of {}, with the certificate of {}",
                    quoted(other),
                    quoted(device.id())
                ))),
                _ => Ok(device.clone()),
            });
        }
        Sender::Gateway(caller) => caller,
    };
    let Some(id) = said.or_else(|| otlp::named(of.resource.as_ref(), otlp::INSTANCE)) else {
        return Ok(Err(foreign(format!("of no device: the resource needs the attribute {}", otlp::DEVICE))));
    };
    if ctx.devices.get(id).is_none() && ctx.db.is_shared() {
        // Another replica may have enrolled it a moment ago.
        ctx.devices.refresh(ctx, id).await?;
    }
    // Whether there is a device outside of his scope is not for the caller to find out.
    let found = ctx.devices.get(id).filter(|device| caller.may_see(&***device));
    Ok(match found {
        None => Err(foreign(format!("of {}, which is no device in the scope of this token", quoted(id)))),
        Some(device) => match device.state() {
            DeviceState::Active | DeviceState::Quarantined => Ok(device),
            state => Err(foreign(format!("of {}, which is {}", quoted(id), state.as_str()))),
        },
    })
}

/// Points in batches that fit into the inbox, each of one class. How they are cut depends on the request alone.
fn batches(mut points: Vec<Point>) -> Vec<Vec<Point>> {
    points.sort_by_key(|point| i32::from(point.class));
    let mut batches: Vec<Vec<Point>> = Vec::new();
    let mut room = 0;
    for point in points {
        let size = point.readings.len();
        let fits = |batch: &&mut Vec<Point>| {
            size <= room && batch.last().is_some_and(|last| last.class == point.class)
        };
        match batches.last_mut().filter(fits) {
            Some(batch) => batch.push(point),
            None => {
                room = MAX_READINGS;
                batches.push(vec![point]);
            }
        }
        room = room.saturating_sub(size);
    }
    batches
}

/// What is kept of a batch, if anything is.
fn row(device: &DeviceEntry, mut points: Vec<Point>, now: Timestamp, tally: &mut Tally) -> Option<InboxRow> {
    points.retain(|point| match why_not(device, point, now) {
        None => true,
        Some(why) => {
            tally.reject(1, why);
            false
        }
    });
    let readings: Vec<v1::Reading> = points.into_iter().flat_map(|point| point.readings).collect();
    if readings.is_empty() {
        return None;
    }
    let readings = v1::SendTelemetryRequest { readings, ..Default::default() }.encode_to_vec();
    // Of what is kept, not of what was sent: a class that the owner allows later is new when the request is repeated. The
    // others are in batches of their own, which stay what they are.
    let nonce = Sha256::of(&readings).as_bytes()[..NONCE].to_vec();
    Some(InboxRow {
        device_id: device.id().to_owned(),
        sequence: 0,
        nonce,
        received_at: now.millis(),
        readings,
    })
}

fn why_not(device: &DeviceEntry, point: &Point, now: Timestamp) -> Option<Why> {
    let class = ingest::class(point.class.into()).filter(|class| device.allows(*class));
    if class.is_none() {
        let class = point.class.as_str_name().trim_start_matches("DATA_CLASS_").to_lowercase();
        let why = format!("of the class {class}, which the owner of the device switched off");
        return Some(Why(Fault::Consent, why));
    }
    for reading in point.readings.iter().map(ingest::from_wire) {
        if let Err(refusal) = reading.check(0) {
            return Some(refusal.message.into());
        }
        if !reading.value.is_finite() {
            return Some(Why(Fault::Value, "with a value that is not finite".to_owned()));
        }
        if !reading.is_sound(now) {
            let why = "without a time, or one before 2000 or more than a day ahead".to_owned();
            return Some(Why(Fault::Time, why));
        }
    }
    None
}

#[cfg(test)]
#[path = "otlp_tests.rs"]
mod tests;

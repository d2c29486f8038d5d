//! What is told outside of the server: events, as CloudEvents 1.0 in JSON.

use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};
use slipway_trust::Sha256;

use super::{
    alert::{Alert, AlertState, SOMEBODY_ELSE},
    rollout::{Rollout, RolloutState},
    time::{DAY, Timestamp},
};

/// How long events are kept, to be sent and to be sent again: as long as the changes of alerts.
pub const KEPT: std::time::Duration = DAY.saturating_mul(30);

const ACKNOWLEDGED_BY: &str = "acknowledged_by";

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventKind { $($(#[$doc])* $variant,)* }

        impl EventKind {
            /// Every kind there is.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$variant),*];

            /// As it is stored, chosen and sent.
            pub fn as_str(self) -> &'static str {
                match self { $(EventKind::$variant => $word,)* }
            }
        }
    };
}

kinds! {
    /// An alert is there that nobody was told of, or is there again.
    AlertOpened = "alert.opened",
    /// Somebody takes care.
    AlertAcknowledged = "alert.acknowledged",
    /// Something changed about it that somebody would act on.
    AlertChanged = "alert.changed",
    /// Its cause is gone.
    AlertResolved = "alert.resolved",
    /// A rollout was made, or goes on.
    RolloutRunning = "rollout.running",
    /// It offers nothing: an operator paused it, or a wave failed.
    RolloutPaused = "rollout.paused",
    /// Every wave passed.
    RolloutSucceeded = "rollout.succeeded",
    /// It ended without passing.
    RolloutFailed = "rollout.failed",
    /// An operator ended it.
    RolloutAborted = "rollout.aborted",
    /// Devices that took the release are on their way back.
    RolloutRollingBack = "rollout.rolling_back",
    /// They are back.
    RolloutRolledBack = "rollout.rolled_back",
    /// An operator asked for it: says nothing about any device.
    WebhookTest = "webhook.test",
}

impl EventKind {
    /// Reads [`EventKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        EventKind::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// Whether one of `types` (`alert.opened`, `alert.*`) names it; no types name every kind.
    pub fn is_one_of(self, types: &[String]) -> bool {
        types.is_empty() || types.iter().any(|wanted| names(wanted, self.as_str()))
    }

    /// Whether an entry of a list of types names anything that can happen.
    pub fn is_type(text: &str) -> bool {
        EventKind::ALL.iter().any(|kind| *kind != EventKind::WebhookTest && names(text, kind.as_str()))
    }
}

fn names(wanted: &str, kind: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => start.ends_with('.') && kind.starts_with(start),
        None => wanted == kind,
    }
}

/// An event that has no place in the order yet.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// To what, as a resource name.
    pub subject: String,
    /// The device it is about; empty when it is about none or several.
    pub device_id: String,
    /// When.
    pub at: Timestamp,
    /// What there is to know.
    pub data: Value,
}

impl NewEvent {
    /// What to tell of a changed alert, when the last that was told of it left it in `told`; nothing of one that is
    /// suppressed: nobody shall be woken by it, and when that ends it is told as opened.
    pub fn of_alert(alert: &Alert, told: Option<&Value>) -> Option<Self> {
        if !alert.suppressed_by.is_empty() {
            return None;
        }
        let before = told.and_then(|data| data.get("state")).and_then(Value::as_str);
        let before = before.and_then(AlertState::parse);
        let kind = match (before, alert.state) {
            (_, AlertState::Resolved) => EventKind::AlertResolved,
            (Some(AlertState::Open), AlertState::Acknowledged) => EventKind::AlertAcknowledged,
            (Some(AlertState::Open | AlertState::Acknowledged), _) => EventKind::AlertChanged,
            // What was told so long ago is no longer kept.
            (None, _) if alert.updated_at.since(alert.created_at) >= KEPT => EventKind::AlertChanged,
            (None | Some(AlertState::Resolved), _) => EventKind::AlertOpened,
        };
        Some(NewEvent {
            kind,
            subject: format!("alerts/{}", alert.id),
            device_id: alert.device_id.clone(),
            at: alert.updated_at,
            data: alert_data(alert),
        })
    }

    /// What to tell of a rollout that came into `state` for this reason. It is about no single device, so only webhooks
    /// without a scope hear of it.
    pub fn of_rollout(rollout: &Rollout, state: RolloutState, reason: &str, now: Timestamp) -> Self {
        let kind = match state {
            RolloutState::Running => EventKind::RolloutRunning,
            RolloutState::Paused => EventKind::RolloutPaused,
            RolloutState::Succeeded => EventKind::RolloutSucceeded,
            RolloutState::Failed => EventKind::RolloutFailed,
            RolloutState::Aborted => EventKind::RolloutAborted,
            RolloutState::RollingBack => EventKind::RolloutRollingBack,
            RolloutState::RolledBack => EventKind::RolloutRolledBack,
        };
        let data = json!({
            "name": rollout.name(),
            "release": rollout.release(),
            "selector": rollout.selector,
            "state": state.as_str(),
            "reason": reason,
            "created_by": rollout.created_by,
            "create_time": moment(rollout.created_at),
            "update_time": moment(now),
        });
        NewEvent { kind, subject: rollout.name(), device_id: String::new(), at: now, data }
    }

    /// An event that only shows that the way is open.
    pub fn test(webhook_id: &str, at: Timestamp) -> Self {
        let subject = format!("webhooks/{webhook_id}");
        let data = json!({ "name": subject, "message": "This is a test: nothing happened." });
        NewEvent { kind: EventKind::WebhookTest, subject, device_id: String::new(), at, data }
    }

    /// The event at its place. Its id follows from what it says and where it stands: a server that was restored from a
    /// backup gives no second event an id that receivers have seen.
    pub fn at_position(self, position: i64) -> Event {
        let data = self.data.to_string();
        let mut text = position.to_string();
        for part in [self.kind.as_str(), &self.subject, &self.at.millis().to_string(), &data] {
            text.push('\n');
            text.push_str(part);
        }
        let id = format!("msg_{}", &Sha256::of(text.as_bytes()).to_string()[..32]);
        Event {
            position,
            id,
            kind: self.kind,
            subject: self.subject,
            device_id: self.device_id,
            at: self.at,
            data,
        }
    }
}

/// An event at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the order; later ones are larger.
    pub position: i64,
    /// Its id, by which receivers know a repeat.
    pub id: String,
    /// What happened.
    pub kind: EventKind,
    /// To what, as a resource name.
    pub subject: String,
    /// The device it is about; empty when it is about none or several.
    pub device_id: String,
    /// When.
    pub at: Timestamp,
    /// What there is to know, as JSON text.
    pub data: String,
}

impl Event {
    /// Who acknowledged an alert, when this tells of one that somebody did.
    pub fn acknowledged_by(&self) -> Option<String> {
        let data: Value = serde_json::from_str(&self.data).ok()?;
        Some(data.get(ACKNOWLEDGED_BY)?.as_str()?.to_owned())
    }

    /// The same for those who may not know who that was.
    pub fn by_somebody_else(mut self) -> Self {
        if let Ok(Value::Object(mut data)) = serde_json::from_str(&self.data)
            && let Some(by) = data.get_mut(ACKNOWLEDGED_BY)
        {
            *by = SOMEBODY_ELSE.into();
            // A note on what befell several devices may name whose they are.
            if data.contains_key("selector") {
                data.remove("note");
            }
            self.data = Value::Object(data).to_string();
        }
        self
    }

    /// The body that is sent: CloudEvents 1.0, structured mode. `source` is the URL of the server. None when what is
    /// stored is no JSON.
    pub fn body(&self, source: &str) -> Option<String> {
        let envelope = Envelope {
            specversion: "1.0",
            id: &self.id,
            source,
            kind: self.kind.as_str(),
            subject: &self.subject,
            time: moment(self.at),
            datacontenttype: "application/json",
            data: serde_json::from_str(&self.data).ok()?,
        };
        serde_json::to_string(&envelope).ok()
    }
}

/// The attributes of a CloudEvent around data that goes out as it was stored.
#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

/// RFC 3339, to the millisecond.
fn moment(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.millis()) {
        Ok(at) => format!("{at:.3}"),
        // Beyond the year 9999, where no clock of ours is.
        Err(_) => jiff::Timestamp::MAX.to_string(),
    }
}

/// An alert as it is told: words and times as text; what is absent or empty is left out.
fn alert_data(alert: &Alert) -> Value {
    let mut data = Map::new();
    let mut text = |key: &str, value: &str| {
        if !value.is_empty() {
            data.insert(key.to_owned(), value.into());
        }
    };
    text("name", &format!("alerts/{}", alert.id));
    if !alert.device_id.is_empty() {
        text("device", &format!("devices/{}", alert.device_id));
    }
    text("selector", &alert.selector);
    text("component", &alert.component);
    text("kind", alert.kind.as_str());
    text("failure_mode", &alert.failure_mode);
    text("state", alert.state.as_str());
    text("severity", alert.severity.as_str());
    text("health", alert.health.as_str());
    text("summary", &alert.summary);
    text("recommendation", &alert.recommendation);
    text("update_to", &alert.update_to);
    text(ACKNOWLEDGED_BY, &alert.acknowledged_by);
    text("note", &alert.note);
    text("wear_model", &alert.wear_model().map(|id| format!("wearModels/{id}")).unwrap_or_default());
    text("etag", &alert.etag());
    for (key, at) in [
        ("act_by", alert.act_by),
        ("create_time", Some(alert.created_at)),
        ("update_time", Some(alert.updated_at)),
        ("resolve_time", alert.resolved_at),
    ] {
        text(key, &at.map(moment).unwrap_or_default());
    }
    let seen = &alert.evidence;
    data.insert(
        "evidence".to_owned(),
        json!({
            "metric": seen.metric, "unit": seen.unit, "value": seen.value,
            "time": moment(Timestamp::from_millis(seen.at_ms)), "limit": seen.limit,
            "slope_per_day": seen.slope_per_day, "readings": seen.readings,
        }),
    );
    if let Some(forecast) = &alert.forecast {
        let at = |millis| moment(Timestamp::from_millis(millis));
        data.insert(
            "forecast".to_owned(),
            json!({
                "p10": at(forecast.p10_ms), "p50": at(forecast.p50_ms), "p90": forecast.p90_ms.map(at),
                "percent": forecast.percent, "comparable_parts": forecast.comparable,
                "explanation": forecast.explanation(&seen.unit),
            }),
        );
    }
    Value::Object(data)
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;

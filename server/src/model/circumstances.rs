//! What stands around an alert and is none of its doing: who hears of it, and what release would end it.

use super::{
    alert::{Alert, Kind},
    filter::Subject,
    fix::Fix,
    selector::Selector,
    silence::Silence,
    time::Timestamp,
};

/// The silences in force, the fixes that are known, and the outages of several devices at once.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Silences, in force or over.
    pub silences: Vec<Silence>,
    /// Fixes.
    pub fixes: Vec<Fix>,
    /// Outages of several devices that go on.
    pub outages: Vec<Outage>,
}

/// Several devices went silent at once, and that is told once.
#[derive(Clone, Debug)]
pub struct Outage {
    /// The alert that tells it.
    pub alert_id: String,
    /// Which devices.
    pub selector: Selector,
    /// Who has called later than this is not one of those that are silent.
    pub silent_since: Timestamp,
}

impl Circumstances {
    /// The alert of the outage that a device is part of, which called last at `called_at`.
    pub fn outage_of(&self, device: &impl Subject, called_at: Timestamp) -> Option<&str> {
        let is_part = |outage: &&Outage| called_at <= outage.silent_since && outage.selector.matches(device);
        self.outages.iter().find(is_part).map(|outage| outage.alert_id.as_str())
    }

    /// Why nobody is woken by this alert: the outage that explains it, else a silence; empty when they
    /// are. `outage` is the id of the living alert that says that the device is silent, if it is.
    pub fn suppressor(
        &self,
        alert: &Alert,
        device: Option<&impl Subject>,
        outage: Option<&str>,
        now: Timestamp,
    ) -> String {
        if let Some(id) = outage.filter(|_| alert.kind != Kind::Offline) {
            return format!("alerts/{id}");
        }
        let silence =
            self.silences.iter().find(|silence| silence.is_in_force(now) && silence.covers(alert, device));
        silence.map(|silence| format!("silences/{}", silence.id)).unwrap_or_default()
    }

    /// The release that ends it, while the device runs an older one; empty when none is known. Of
    /// several the newest: it has the fixes of those before.
    pub fn update_to(&self, alert: &Alert, device: Option<&impl Subject>) -> String {
        let (Some(device), false) = (device, alert.failure_mode.is_empty()) else { return String::new() };
        let helping = self.fixes.iter().filter(|fix| fix.helps(&alert.failure_mode, device));
        helping.max_by(|a, b| a.version.cmp(&b.version)).map(Fix::release).unwrap_or_default()
    }

    /// The alert as it is under these circumstances. `opens` says that it was not living before: if it
    /// opens suppressed, those who do not ask for that hear neither its beginning nor its end.
    pub fn dress(
        &self,
        alert: Alert,
        device: Option<&impl Subject>,
        outage: Option<&str>,
        opens: bool,
        now: Timestamp,
    ) -> Alert {
        if !alert.is_living() {
            return alert;
        }
        let suppressed_by = self.suppressor(&alert, device, outage, now);
        let told = suppressed_by.is_empty() || (alert.told && !opens);
        Alert { update_to: self.update_to(&alert, device), suppressed_by, told, ..alert }
    }

    /// The alert as it is to be when these circumstances came about after it; none when they change
    /// nothing.
    pub fn revise(
        &self,
        alert: &Alert,
        device: Option<&impl Subject>,
        outage: Option<&str>,
        now: Timestamp,
    ) -> Option<Alert> {
        let dressed = self.dress(alert.clone(), device, outage, false, now);
        let is_same = dressed.suppressed_by == alert.suppressed_by && dressed.update_to == alert.update_to;
        (!is_same).then(|| Alert { updated_at: now, generation: alert.generation + 1, ..dressed })
    }
}

/// What is to become of an alert that would open beside those that its device has.
#[derive(Clone, Debug, PartialEq)]
pub enum Beside {
    /// It opens.
    Opens,
    /// Another one tells the same already, at least as gravely.
    IsTold,
    /// It is graver than this one, which it replaces.
    Replaces(Box<Alert>),
}

/// One device and component has one living alert for a failure mode, whatever number of limits and wear models say so:
/// the gravest.
pub fn beside(opening: &Alert, living: &[Alert], now: Timestamp) -> Beside {
    let same = living.iter().find(|alert| {
        alert.is_living()
            && alert.id != opening.id
            && alert.is_of_part()
            && alert.component == opening.component
            && alert.failure_mode == opening.failure_mode
    });
    match same {
        Some(_) if opening.failure_mode.is_empty() || !opening.is_of_part() => Beside::Opens,
        None => Beside::Opens,
        Some(alert) if alert.severity >= opening.severity => Beside::IsTold,
        Some(alert) => {
            let outcome = format!("Nothing to do here any more: alert {} says it more urgently.", opening.id);
            Beside::Replaces(Box::new(alert.cleared(&outcome, now)))
        }
    }
}

#[cfg(test)]
#[path = "circumstances_tests.rs"]
mod tests;

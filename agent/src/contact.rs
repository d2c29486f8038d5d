//! One round of talk with the server: reports first, then the check-in, then readings.

mod readings;

use std::time::Duration;

use slipway_proto::v1::{
    CheckInRequest, CheckInResponse, InstalledComponent, Inventory, Reason as WireReason,
    ReportUpdateRequest, SendTelemetryRequest, UpdateOffer, UpdateState,
};
use slipway_trust::{DeviceFacts, Sha256, check_release};
use tonic::Code;

use crate::{
    bundle::{self, Supply},
    config::{Config, StateDir},
    link::{self, Link},
    machine::{Offer, Reason, Report, Step},
    manifest::{self, ManifestError},
    passport::{Passport, SHUT_OUT},
    verify::{TrustError, TrustStore},
};

/// New metadata in several portions, or an inventory that is asked for, is fetched in one round.
const CHECK_INS: u32 = 20;
/// Longest id of an update: the server's have 20. The name stands in every record of the journal, and
/// one that does not fit into a record would stop the device from ever writing another.
const UPDATE_ID_LIMIT: usize = 64;

/// What the shell wants to have said.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Reports, oldest first.
    pub reports: Vec<Report>,
    /// Check in; else only reports and readings are handed over.
    pub check_in: bool,
    /// What the device is and runs; `blocked` is filled in here when nothing else fills it.
    pub inventory: Inventory,
    /// The update that is worked on; empty when there is none.
    pub update: String,
    /// A new update could be begun.
    pub open: bool,
    /// Counter of the release that runs; 0 when unknown.
    pub installed: u64,
    /// A batch of readings.
    pub readings: Option<SendTelemetryRequest>,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Round {
    /// The server answered.
    pub contact: bool,
    /// Sequences of reports that the server has, or will never take.
    pub delivered: Vec<u64>,
    /// The last check-in was answered with an offer of any kind.
    pub offered: bool,
    /// An update to begin, or to refuse.
    pub offer: Option<Result<Offer, (String, Reason)>>,
    /// This update, which is worked on, is no longer wanted.
    pub cancelled: Option<String>,
    /// The check-in was answered.
    pub checked_in: bool,
    /// When the server wants to hear from the device again.
    pub next_check_in: Option<Duration>,
    /// Sequence of the readings that the server has.
    pub readings: Option<u64>,
    /// What went wrong: the round ended there.
    pub trouble: Option<Reason>,
    /// What went wrong without ending the round.
    pub remark: Option<Reason>,
}

/// Everything a round needs; given away for its time and returned after it.
pub struct Contact {
    /// The connection.
    pub link: Link,
    /// What the device believes.
    pub trust: TrustStore,
    passport: Passport,
    config: Config,
    state: StateDir,
    /// Why the last metadata was refused.
    refused: Option<Reason>,
    /// An operator has to let this device in again.
    shut_out: Option<Reason>,
    /// Fingerprint of the inventory that the server knows.
    answered: Option<u64>,
}

impl Contact {
    /// A device with a link to its server.
    pub fn new(link: Link, trust: TrustStore, passport: Passport, config: Config, state: StateDir) -> Self {
        Self { link, trust, passport, config, state, refused: None, shut_out: None, answered: None }
    }

    /// Why nothing can be installed at the moment, as far as the server and its metadata are concerned.
    pub fn blocked(&self) -> Option<Reason> {
        let stale = || self.trust.stale().map(|error| Reason::new(error.code(), &error));
        self.shut_out.clone().or_else(|| self.refused.clone()).or_else(stale)
    }

    /// The server does not talk to this device any more.
    pub fn is_shut_out(&self) -> bool {
        self.shut_out.is_some()
    }

    /// Talks to the server once.
    pub async fn talk(mut self, ask: Ask) -> (Self, Round) {
        let mut round = Round::default();
        let mut talked = self.try_talk(&ask, &mut round).await;
        if let Err(trouble) = &talked
            && self.passport.cure(trouble, &mut self.trust).await
        {
            talked = self.try_talk(&ask, &mut round).await;
        }
        round.trouble = talked.err();
        let is_shut_out = |trouble: &Reason| SHUT_OUT.contains(&trouble.code.as_str());
        let shut_out = round.trouble.clone().filter(is_shut_out);
        if shut_out.is_some() || round.contact {
            self.shut_out = shut_out;
        }
        (self, round)
    }

    async fn try_talk(&mut self, ask: &Ask, round: &mut Round) -> Result<(), Reason> {
        round.remark = self.passport.prepare(&mut self.trust).await?.or(round.remark.take());
        for report in &ask.reports {
            // A second try goes on where the first one failed.
            if !round.delivered.contains(&report.sequence) {
                self.report(report, round).await?;
            }
        }
        if ask.check_in {
            self.check_in(ask, round).await?;
        }
        if let Some(batch) = &ask.readings {
            self.send_readings(batch, round).await?;
        }
        Ok(())
    }

    async fn report(&self, report: &Report, round: &mut Round) -> Result<(), Reason> {
        match self.link.device().report_update(wire_report(report)).await {
            Ok(_) => round.delivered.push(report.sequence),
            Err(status) => match status.code() {
                Code::NotFound | Code::InvalidArgument => {
                    // It will never be taken; those behind it must not wait for it. Of what came from a
                    // file the server hears by the inventory alone, which is nothing to remark.
                    if !report.update.contains(bundle::UPDATE) {
                        round.remark = Some(link::reason(&status));
                    }
                    round.delivered.push(report.sequence);
                }
                // The server cannot take this one now. It may take others, and above all it may have an
                // update for the device that cures what is wrong.
                Code::Internal
                | Code::DataLoss
                | Code::FailedPrecondition
                | Code::Aborted
                | Code::OutOfRange
                | Code::AlreadyExists
                | Code::Unimplemented => round.remark = Some(link::reason(&status)),
                // Nothing else would get through either.
                _ => return Err(link::reason(&status)),
            },
        }
        round.contact = true;
        Ok(())
    }

    async fn check_in(&mut self, ask: &Ask, round: &mut Round) -> Result<(), Reason> {
        for _ in 0..CHECK_INS {
            let mut inventory = ask.inventory.clone();
            self.passport.describe(&mut inventory);
            if inventory.blocked.is_none() {
                inventory.blocked = self.blocked().map(|reason| wire_reason(&reason));
            }
            let digest = fingerprint(&inventory);
            let changed = self.answered != Some(digest);
            let before = self.trust.have();
            let request = CheckInRequest {
                have: Some(before),
                inventory_digest: digest,
                inventory: changed.then_some(inventory),
                update: ask.update.clone(),
            };
            let answer =
                self.link.device().check_in(request).await.map_err(|status| link::reason(&status))?;
            if let Some(shown) = answer.metadata().get("date").and_then(|date| date.to_str().ok()) {
                self.link.hear(shown);
            }
            let mut answer = answer.into_inner();
            round.offered = answer.offer.is_some();
            if let Some(offer) = answer.offer.take_if(|offer| !self.is_own(&offer.update)) {
                let name: String = offer.update.chars().take(80).collect();
                let detail = format!("{name:?} is offered, which is no update of this device");
                round.remark = Some(Reason::new("OFFER_INVALID", detail));
            }
            round.contact = true;
            round.remark = self.passport.answered().err().or(round.remark.take());
            round.next_check_in = answer.next_check_in.and_then(|pause| pause.try_into().ok());
            round.checked_in = true;
            let cancelled = answer.cancel_update && !ask.update.is_empty();
            round.cancelled = cancelled.then(|| ask.update.clone());
            let was_refused = self.refused.take();
            if let Some(delta) = &answer.trust
                && let Err(error) = self.trust.apply(delta)
            {
                let reason = Reason::new(error.code(), link::chain(&error));
                if matches!(error, TrustError::Io { .. }) {
                    // Nothing is wrong with the metadata; it is asked for again.
                    return Err(reason);
                }
                round.remark = Some(reason.clone());
                self.refused = Some(reason);
            }
            self.answered = (!answer.want_inventory || changed).then_some(digest);
            let news = self.refused != was_refused && self.refused.is_some();
            let more_roots = self.refused.is_none() && self.trust.have().root != before.root;
            if (answer.want_inventory && !changed) || news || more_roots {
                if let (true, Some(offer)) = (news, &answer.offer) {
                    self.refuse(ask, offer, round);
                }
                continue;
            }
            round.remark = self.passport.follow(&self.trust).await.err().or(round.remark.take());
            return self.consider(ask, &answer, round).await;
        }
        Ok(())
    }

    /// Whether it can be the name of an update of this device.
    fn is_own(&self, update: &str) -> bool {
        let id = update.strip_prefix("devices/").and_then(|name| name.strip_prefix(&self.config.device_id));
        id.and_then(|name| name.strip_prefix("/updates/")).is_some_and(|id| {
            (1..=UPDATE_ID_LIMIT).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
        })
    }

    /// The server offers an update, and what it sent for it does not verify.
    fn refuse(&self, ask: &Ask, offer: &UpdateOffer, round: &mut Round) {
        if let (Some(reason), true) = (&self.refused, ask.open && offer.update != ask.update) {
            round.offer = Some(Err((offer.update.clone(), reason.clone())));
        }
    }

    async fn consider(
        &mut self,
        ask: &Ask,
        answer: &CheckInResponse,
        round: &mut Round,
    ) -> Result<(), Reason> {
        let Some(offer) = &answer.offer else { return Ok(()) };
        if !ask.open || offer.update == ask.update || round.offer.is_some() {
            return Ok(());
        }
        if self.refused.is_some() {
            self.refuse(ask, offer, round);
            return Ok(());
        }
        let refuse = |code: &str, detail: String| Err((offer.update.clone(), Reason::new(code, detail)));
        let entry = match self.trust.assigned() {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                // The signed word is "stay"; the offer is not signed, so it counts for nothing.
                let detail = format!("{} is offered, but the signed assignment says to stay", offer.release);
                round.remark = Some(Reason::new("OFFER_NOT_ASSIGNED", detail));
                return Ok(());
            }
            Err(error @ TrustError::Io { .. }) => {
                return Err(Reason::new(error.code(), link::chain(&error)));
            }
            Err(error) => {
                round.offer = Some(refuse(error.code(), link::chain(&error)));
                return Ok(());
            }
        };
        let facts = DeviceFacts {
            product: &self.config.product,
            hardware: &self.config.hardware,
            installed: ask.installed,
            floor: ask.inventory.floor,
        };
        if let Err(refusal) = check_release(&entry, &facts) {
            round.offer = Some(refuse(refusal.code(), refusal.to_string()));
            return Ok(());
        }
        let deadline = offer
            .deadline
            .map(|time| time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000));
        let server = Supply::Server(self.link.clone());
        round.offer = match manifest::resolve(&server, &self.state, &self.config, &entry).await {
            Ok(release) => Some(Ok(Offer { update: offer.update.clone(), release, deadline })),
            Err(ManifestError::Refused(reason)) => Some(Err((offer.update.clone(), reason))),
            Err(error) => {
                let code = match &error {
                    ManifestError::Keep(_) => "STATE_IO_FAILED",
                    _ => "MANIFEST_UNAVAILABLE",
                };
                let reason = Reason::new(code, link::chain(&error));
                if matches!(&error, ManifestError::Get(error) if !error.is_passing()) {
                    // The server is there and does not give it out: the next inventory says so.
                    self.refused = Some(reason.clone());
                }
                return Err(reason);
            }
        };
        Ok(())
    }
}

/// What one component of this device runs.
pub fn component(
    config: &Config,
    slot: &str,
    installed: Option<&crate::machine::Installed>,
) -> InstalledComponent {
    InstalledComponent {
        component: config.component.clone(),
        version: installed.map(|installed| installed.version.clone()).unwrap_or_default(),
        counter: installed.map_or(0, |installed| installed.counter),
        digest: installed.map(|installed| installed.digest.to_string()).unwrap_or_default(),
        slot: slot.to_owned(),
    }
}

/// A reason as it travels.
pub fn wire_reason(reason: &Reason) -> WireReason {
    WireReason { code: reason.code.clone(), detail: reason.detail.clone() }
}

fn wire_report(report: &Report) -> ReportUpdateRequest {
    let state = match report.step {
        Step::Downloading => UpdateState::Downloading,
        Step::Staged => UpdateState::Staged,
        Step::Trial => UpdateState::Trial,
        Step::Succeeded => UpdateState::Succeeded,
        Step::Failed => UpdateState::Failed,
        Step::RolledBack => UpdateState::RolledBack,
        Step::Rejected => UpdateState::Rejected,
    };
    ReportUpdateRequest {
        update: report.update.clone(),
        sequence: report.sequence,
        state: state.into(),
        reason: report.reason.as_ref().map(wire_reason),
        occurred_at: Some(prost_types::Timestamp {
            seconds: report.at.div_euclid(1000),
            nanos: i32::try_from(report.at.rem_euclid(1000)).unwrap_or(0) * 1_000_000,
        }),
        bytes_fetched: report.fetched,
        bytes_written: report.written,
        attempt: report.attempt,
        running_version: report.running_version.clone(),
    }
}

/// Equal for equal inventories, whatever order a map is walked in.
fn fingerprint(inventory: &Inventory) -> u64 {
    use prost::Message as _;
    let mut plain = inventory.clone();
    let mut attributes: Vec<_> = plain.attributes.drain().collect();
    attributes.sort();
    let mut hasher = Sha256::hasher();
    hasher.update(&plain.encode_to_vec());
    for (key, value) in attributes {
        hasher.update(format!("{}:{key}{}:{value}", key.len(), value.len()).as_bytes());
    }
    let digest = hasher.finish();
    let first = digest.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(first)
}

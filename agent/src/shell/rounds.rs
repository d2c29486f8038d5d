//! What the shell says to the server, and what it makes of the answer.

use std::time::Duration;

use slipway_proto::v1::{DataClass, Inventory, SendTelemetryRequest};
use tokio::time::sleep;

use super::Shell;
use crate::{
    contact::{self, Ask, Contact, Round},
    machine::{Event, Reason, State},
};

const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

impl Shell<'_> {
    /// Starts a round if there is something to say and none is under way.
    pub(super) fn begin_round(&mut self) {
        let batch = self.next_batch();
        let news = self.snapshot.memory.sequence > self.tried
            && !self.snapshot.memory.outbox.is_empty()
            && self.schedule.is_news();
        let shut_out = self.contact.as_ref().is_some_and(Contact::is_shut_out);
        if self.round.is_some() || !(self.check_in_due || !shut_out && (news || batch.is_some())) {
            return;
        }
        let Some(contact) = self.contact.take() else { return };
        // At the end of an update the server hears at once what the device runs now.
        let ended = news && self.snapshot.state == State::Idle && self.schedule.may_hurry();
        let check_in = self.check_in_due || ended;
        let ask = self.ask(check_in, batch);
        self.check_in_due &= !check_in;
        self.tried = self.snapshot.memory.sequence;
        if check_in {
            self.next_contact = Box::pin(sleep(Duration::MAX));
        }
        self.round = Some(Box::pin(contact.talk(ask)));
    }

    fn next_batch(&mut self) -> Option<SendTelemetryRequest> {
        if !self.check_in_due && (!self.readings_flow || self.resting) {
            return None;
        }
        let batch = self.readings.as_mut()?.batch();
        // Until the server has it, or there are new ones: a server that does not take it is not pressed.
        self.readings_flow = false;
        batch
    }

    fn ask(&self, check_in: bool, readings: Option<SendTelemetryRequest>) -> Ask {
        let memory = &self.snapshot.memory;
        let running = self.world.as_ref().map(|world| world.running);
        let installed = running.and_then(|slot| memory.installed(slot));
        let slot = running.map_or("", |slot| slot.as_str());
        let consent = match &self.readings {
            Some(readings) => readings.consent(),
            None => vec![DataClass::Essential],
        };
        let state = &self.snapshot.state;
        Ask {
            reports: memory.outbox.clone(),
            check_in,
            inventory: Inventory {
                components: vec![contact::component(&self.config, slot, installed)],
                agent_version: AGENT_VERSION.to_owned(),
                boot_id: self.world.as_ref().map(|world| world.boot_id.clone()).unwrap_or_default(),
                attributes: self.config.attributes.clone().into_iter().collect(),
                consent: consent.into_iter().map(i32::from).collect(),
                floor: memory.floor,
                blocked: self.blocked().map(|reason| contact::wire_reason(&reason)),
            },
            update: state.work().map(|work| work.update.clone()).unwrap_or_default(),
            open: self.world.is_some()
                && self.retry.is_none()
                && (matches!(state, State::Idle | State::Inconsistent { .. }) || state.droppable().is_some()),
            installed: installed.map_or(0, |installed| installed.counter),
            readings,
        }
    }

    /// Why nothing can be installed at the moment, as far as this device itself is concerned.
    fn blocked(&self) -> Option<Reason> {
        if let State::Inconsistent { reason } = &self.snapshot.state {
            return Some(reason.clone());
        }
        if self.world.is_none() {
            let detail = "the boot loader cannot be read; see the device's log";
            return Some(Reason::new("BOOT_LOADER_UNREADABLE", detail));
        }
        self.stuck.clone()
    }

    pub(super) fn finish_round(&mut self, contact: Contact, round: Round) {
        let now = self.clock.now();
        let shut_out = contact.is_shut_out();
        self.diary.blocked(self.blocked().or_else(|| contact.blocked()));
        self.contact = Some(contact);
        self.resting = round.trouble.is_some();
        if round.contact {
            self.contacted = true;
            self.diary.contacted(now);
        }
        for reason in [&round.remark, &round.trouble].into_iter().flatten() {
            self.diary.trouble(reason, now);
        }
        if round.checked_in && round.remark.is_none() && round.trouble.is_none() {
            self.diary.well(now);
        }
        if let (Some(sequence), Some(readings)) = (round.readings, self.readings.as_mut()) {
            readings.acknowledge(sequence);
            self.readings_flow = true;
        }
        if self.retry.is_none() {
            // Else they are sent once more: harmless, and better than a queue that grows.
            for sequence in round.delivered {
                self.happen(Event::Delivered { sequence });
            }
        }
        if round.contact && matches!(self.snapshot.state, State::Trial { healthy: true, .. }) {
            self.happen(Event::Contacted);
        }
        if let Some(update) = round.cancelled {
            self.happen(Event::Cancelled { update });
        }
        match (round.offer, self.world.clone()) {
            (Some(Ok(offer)), Some(world)) => self.happen(Event::Offered(Box::new(offer), world)),
            (Some(Err((update, reason))), _) => self.happen(Event::OfferRefused { update, reason }),
            _ => {}
        }
        if round.checked_in && !round.offered {
            self.schedule.fruitful();
        }
        if round.trouble.is_some() {
            self.readings_flow = false;
            // Reports that did not get through go with the next try, not before.
            let pause = match shut_out {
                true => self.schedule.shut_out(&mut self.rng),
                false => self.schedule.failed(&mut self.rng),
            };
            self.next_contact = Box::pin(sleep(pause));
        } else if round.checked_in {
            let pause = self.schedule.answered(round.next_check_in, &mut self.rng);
            self.next_contact = Box::pin(sleep(pause));
        }
    }
}

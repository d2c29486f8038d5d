//! The loop: journal before effect, effect, event, again. The only file that waits for several things.

use std::{
    collections::VecDeque,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use slipway_proto::v1::{DataClass, Inventory, SendTelemetryRequest};
use tokio::{
    sync::{mpsc, watch},
    time::{Sleep, sleep},
};

use crate::{
    clock::{self, Clock},
    config::{Config, StateDir},
    contact::{self, Ask, Contact, Round},
    diary::Diary,
    effects::{Done, Hands},
    fetch::Note,
    journal::{Journal, JournalError},
    link::chain,
    machine::{Effect, Event, Reason, Snapshot, State, World, step},
    readings::Readings,
    schedule::Schedule,
    slots::Slots,
};

/// A journal that cannot be written (a full disk) is tried again after this.
const JOURNAL_PAUSE: Duration = Duration::from_secs(5);
const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why a life of the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Somebody asked for it.
    Stopped,
    /// The device rebooted: start over from the journal.
    Rebooted,
}

/// What a life of the agent is made of.
pub struct Parts {
    /// What the device is.
    pub config: Config,
    /// Where it keeps what it knows.
    pub state: StateDir,
    /// Trusted time.
    pub clock: Clock,
    /// For pauses.
    pub rng: StdRng,
    /// Slots and boot loader.
    pub slots: Box<dyn Slots + Send>,
    /// The way to the server.
    pub contact: Contact,
    /// The journal and its last record.
    pub journal: Journal,
    /// The last record, read.
    pub snapshot: Snapshot,
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One life of the agent, from a start to a reboot or a stop.
pub struct Shell<'a> {
    config: Config,
    state: StateDir,
    clock: Clock,
    rng: StdRng,
    slots: Arc<Mutex<Box<dyn Slots + Send>>>,
    link: crate::link::Link,
    journal: Journal,
    snapshot: Snapshot,
    diary: Diary,
    readings: Option<&'a mut (dyn Readings + 'static)>,

    /// Events that were not dealt with yet: while the journal cannot be written they wait.
    events: VecDeque<Event>,
    stuck: Option<Reason>,
    retry: Option<Pin<Box<Sleep>>>,

    work: Option<Later<Done>>,
    notes: (mpsc::UnboundedSender<Note>, mpsc::UnboundedReceiver<Note>),
    deadline: Option<Pin<Box<Sleep>>>,

    contact: Option<Contact>,
    round: Option<Later<(Contact, Round)>>,
    schedule: Schedule,
    next_contact: Pin<Box<Sleep>>,
    check_in_due: bool,
    /// Sequence of the last report that was tried to be handed over.
    tried: u64,
    contacted: bool,
    world: Option<World>,

    next_sample: Option<Pin<Box<Sleep>>>,
    /// Readings are sent one batch after the other as long as the server takes them.
    readings_flow: bool,
}

impl<'a> Shell<'a> {
    /// Ready to start; nothing is done yet.
    pub fn new(parts: Parts, readings: Option<&'a mut (dyn Readings + 'static)>) -> Self {
        let Parts { config, state, clock, rng, slots, contact, journal, snapshot } = parts;
        let next_sample = readings.as_ref().map(|_| Box::pin(sleep(Duration::ZERO)));
        Self {
            diary: Diary::open(&state),
            link: contact.link.clone(),
            slots: Arc::new(Mutex::new(slots)),
            events: VecDeque::new(),
            stuck: None,
            retry: None,
            work: None,
            notes: mpsc::unbounded_channel(),
            deadline: None,
            contact: Some(contact),
            round: None,
            schedule: Schedule::default(),
            next_contact: Box::pin(sleep(Duration::ZERO)),
            check_in_due: true,
            tried: 0,
            contacted: false,
            world: None,
            next_sample,
            readings_flow: false,
            config,
            state,
            clock,
            rng,
            journal,
            snapshot,
            readings,
        }
    }

    /// Something that was found out before the start, for people.
    pub fn remark(&mut self, reason: &Reason) {
        self.diary.mishap(reason, self.clock.now());
    }

    /// Lives until the device reboots or `stop` becomes true.
    pub async fn live(mut self, stop: &mut watch::Receiver<bool>) -> Exit {
        match self.hands().world() {
            Ok(world) => {
                self.world = Some(world.clone());
                self.happen(Event::Started(world));
            }
            // Without a boot loader there are no updates, but everything else goes on.
            Err(reason) => self.diary.mishap(&reason, self.clock.now()),
        }
        self.set_deadline();
        loop {
            self.begin_round();
            tokio::select! {
                () = stopped(stop) => return Exit::Stopped,
                done = maybe(&mut self.work) => {
                    self.work = None;
                    match done {
                        Done::Event(Event::Healthy { .. }) => {
                            self.happen(Event::Healthy { contact: self.contacted });
                        }
                        Done::Event(event) => self.happen(event),
                        Done::Rebooted => return Exit::Rebooted,
                    }
                }
                Some(note) = self.notes.1.recv() => match note {
                    Note::Checkpoint(progress) => self.happen(Event::Checkpoint(progress)),
                    Note::Trouble(reason) => self.diary.mishap(&reason, self.clock.now()),
                },
                (contact, round) = maybe(&mut self.round) => {
                    self.round = None;
                    self.finish_round(contact, round);
                }
                () = self.next_contact.as_mut(), if !self.check_in_due => self.check_in_due = true,
                () = maybe(&mut self.deadline) => {
                    self.deadline = None;
                    self.happen(Event::Deadline);
                }
                () = maybe(&mut self.retry) => {
                    self.retry = None;
                    self.deal();
                }
                () = maybe(&mut self.next_sample) => self.sample(),
            }
        }
    }

    fn hands(&mut self) -> Hands {
        Hands {
            state: self.state.clone(),
            config: self.config.clone(),
            slots: self.slots.clone(),
            link: self.link.clone(),
            notes: self.notes.0.clone(),
            rng: StdRng::from_rng(&mut self.rng),
        }
    }

    fn happen(&mut self, event: Event) {
        self.events.push_back(event);
        if self.retry.is_none() {
            self.deal();
        }
    }

    /// Deals with what happened, as long as the journal takes it.
    fn deal(&mut self) {
        while let Some(event) = self.events.pop_front() {
            let Ok((next, effects)) = step(&self.snapshot, event.clone(), self.clock.now()) else {
                // The outcome of something that is no longer wanted.
                continue;
            };
            if worth_a_record(&self.snapshot, &next) {
                if let Err(error) = self.write(&next) {
                    let reason = Reason::new("JOURNAL_NOT_WRITABLE", chain(&error));
                    self.diary.mishap(&reason, self.clock.now());
                    self.stuck = Some(reason);
                    self.events.push_front(event);
                    self.retry = Some(Box::pin(sleep(JOURNAL_PAUSE)));
                    return;
                }
                self.stuck = None;
            }
            let moved = next.deadline != self.snapshot.deadline;
            self.announce(&event, &next.state);
            self.snapshot = next;
            if moved {
                self.set_deadline();
            }
            for effect in effects {
                self.perform(effect);
            }
        }
    }

    fn write(&mut self, next: &Snapshot) -> Result<(), JournalError> {
        // The types have no maps with keys that JSON cannot write.
        let body = serde_json::to_vec(next).unwrap_or_default();
        self.journal.append(&body)
    }

    fn announce(&mut self, event: &Event, next: &State) {
        if let Event::Failed(reason) | Event::Unhealthy(reason) = event {
            self.diary.mishap(reason, self.clock.now());
        }
        if next.name() != self.snapshot.state.name() {
            let version = next.work().map_or("", |work| work.release.version.as_str());
            eprintln!("slipway-agent: {} {version}", next.name());
        }
    }

    fn set_deadline(&mut self) {
        // From here on the timer counts, so that a clock that jumps neither ends nor prolongs anything.
        let now = self.clock.now();
        self.deadline = self.snapshot.deadline.map(|deadline| Box::pin(sleep(clock::until(deadline, now))));
    }

    fn perform(&mut self, effect: Effect) {
        // Whatever was going on before is over; its last notes are not for what comes now.
        self.work = None;
        self.notes = mpsc::unbounded_channel();
        if effect == Effect::Stop {
            return;
        }
        let hands = self.hands();
        self.work = Some(Box::pin(hands.perform(effect)));
    }

    /// Starts a round if there is something to say and none is under way.
    fn begin_round(&mut self) {
        let batch = self.next_batch();
        let news = self.snapshot.memory.sequence > self.tried && !self.snapshot.memory.outbox.is_empty();
        if self.round.is_some() || !(self.check_in_due || news || batch.is_some()) {
            return;
        }
        let Some(contact) = self.contact.take() else { return };
        // At the end of an update the server hears at once what the device runs now.
        let check_in = self.check_in_due || (news && self.snapshot.state == State::Idle);
        let ask = self.ask(check_in, batch);
        self.check_in_due &= !check_in;
        self.tried = self.snapshot.memory.sequence;
        if check_in {
            self.next_contact = Box::pin(sleep(Duration::MAX));
        }
        self.round = Some(Box::pin(contact.talk(ask)));
    }

    fn next_batch(&mut self) -> Option<SendTelemetryRequest> {
        if !self.readings_flow && !self.check_in_due {
            return None;
        }
        let batch = self.readings.as_mut()?.batch();
        self.readings_flow &= batch.is_some();
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

    fn finish_round(&mut self, contact: Contact, round: Round) {
        let now = self.clock.now();
        self.diary.blocked(self.blocked().or_else(|| contact.blocked()));
        self.contact = Some(contact);
        if round.contact {
            self.contacted = true;
            self.diary.contacted(now);
        }
        for reason in [&round.remark, &round.trouble].into_iter().flatten() {
            self.diary.mishap(reason, now);
        }
        if let (Some(sequence), Some(readings)) = (round.readings, self.readings.as_mut()) {
            readings.acknowledge(sequence);
            self.readings_flow = true;
        }
        if round.trouble.is_some() {
            self.readings_flow = false;
            // Reports that did not get through go with the next try, not before.
            let pause = self.schedule.failed(&mut self.rng);
            self.next_contact = Box::pin(sleep(pause));
        } else if round.checked_in {
            let pause = self.schedule.answered(round.next_check_in);
            self.next_contact = Box::pin(sleep(pause));
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
    }

    fn sample(&mut self) {
        let now = self.clock.now();
        let Some(readings) = self.readings.as_mut() else { return };
        let boot_id = self.world.as_ref().map_or("", |world| world.boot_id.as_str());
        if let Err(reason) = readings.sample(now, boot_id) {
            self.diary.mishap(&reason, now);
        }
        self.readings_flow = true;
        self.next_sample = Some(Box::pin(sleep(readings.interval())));
    }
}

/// A report that was taken away is written down when it was the last one: to send one again is harmless.
fn worth_a_record(before: &Snapshot, after: &Snapshot) -> bool {
    let only_outbox = before.state == after.state
        && before.deadline == after.deadline
        && before.memory.sequence == after.memory.sequence
        && before.memory.floor == after.memory.floor;
    before != after && !(only_outbox && !after.memory.outbox.is_empty())
}

/// Waits for what is there; for ever when nothing is.
async fn maybe<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could ask for it.
        pending().await
    }
}

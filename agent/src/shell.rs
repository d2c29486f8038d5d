//! The loop: journal before effect, effect, event, again. The only file that waits for several things.

use std::{
    collections::VecDeque,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::{mpsc, watch},
    time::{Sleep, sleep},
};

mod rounds;

use crate::{
    bundle::Supply,
    clock::{self, Clock},
    config::{Config, StateDir},
    contact::{Contact, Round},
    diary::{self, Diary},
    effects::{Done, Hands, no_space},
    fetch::Note,
    journal::{Journal, JournalError},
    link::chain,
    machine::{Effect, Event, Offer, Reason, Snapshot, State, World, step},
    readings::Readings,
    recover::{FloorFile, floor_not_kept},
    schedule::Schedule,
    slots::Slots,
};

/// A journal that cannot be written (a full disk) is tried again after this.
const JOURNAL_PAUSE: Duration = Duration::from_secs(5);

/// Why a life of the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Somebody asked for it.
    Stopped,
    /// The device rebooted: start over from the journal.
    Rebooted,
    /// What it was for is over.
    Done,
}

/// What a life is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// To serve until somebody stops it.
    Serve,
    /// To bring to its end whatever touches the boot loader already.
    Settle,
    /// To bring an update to its end: this one, else the one that is under way.
    Finish(Option<Box<Offer>>),
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
    /// What it is for.
    pub aim: Aim,
    /// Where manifests and segments come from.
    pub supply: Supply,
    /// Whom to talk to; nobody without a network.
    pub contact: Option<Contact>,
    /// The journal and its last record.
    pub journal: Journal,
    /// The last record, read.
    pub snapshot: Snapshot,
    /// The second copy of the rollback floor.
    pub floor: FloorFile,
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One life of the agent, from a start to a reboot or a stop.
pub struct Shell<'a> {
    config: Config,
    state: StateDir,
    clock: Clock,
    rng: StdRng,
    slots: Arc<Mutex<Box<dyn Slots + Send>>>,
    aim: Aim,
    supply: Supply,
    journal: Journal,
    snapshot: Snapshot,
    floor: FloorFile,
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
    /// The last round failed: the next one waits for its time, whatever there is to send.
    resting: bool,
}

impl<'a> Shell<'a> {
    /// Ready to start; nothing is done yet.
    pub fn new(parts: Parts, readings: Option<&'a mut (dyn Readings + 'static)>) -> Self {
        let Parts { config, state, clock, rng, slots, aim, supply, contact, journal, snapshot, floor } =
            parts;
        let next_sample = readings.as_ref().map(|_| Box::pin(sleep(Duration::ZERO)));
        Self {
            diary: Diary::open(&state),
            slots: Arc::new(Mutex::new(slots)),
            events: VecDeque::new(),
            stuck: None,
            retry: None,
            work: None,
            notes: mpsc::unbounded_channel(),
            deadline: None,
            contact,
            round: None,
            schedule: Schedule::default(),
            next_contact: Box::pin(sleep(Duration::ZERO)),
            check_in_due: true,
            tried: 0,
            contacted: false,
            world: None,
            next_sample,
            readings_flow: false,
            resting: false,
            aim,
            supply,
            config,
            state,
            clock,
            rng,
            journal,
            snapshot,
            floor,
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
                self.happen(Event::Started(world.clone()));
                if let Aim::Finish(offer) = &mut self.aim
                    && let Some(offer) = offer.take()
                {
                    self.happen(Event::Offered(offer, world));
                }
            }
            // Without a boot loader there are no updates, but everything else goes on.
            Err(reason) => self.diary.mishap(&reason, self.clock.now()),
        }
        self.set_deadline();
        loop {
            if self.is_done() {
                return Exit::Done;
            }
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

    /// Whether what this life is for is over.
    fn is_done(&self) -> bool {
        let state = &self.snapshot.state;
        let rests = matches!(state, State::Idle | State::Inconsistent { .. }) && self.work.is_none();
        self.retry.is_none()
            && match self.aim {
                Aim::Serve => false,
                Aim::Settle => rests || state.droppable().is_some(),
                Aim::Finish(_) => rests,
            }
    }

    fn hands(&mut self) -> Hands {
        Hands {
            state: self.state.clone(),
            config: self.config.clone(),
            slots: self.slots.clone(),
            supply: self.supply.clone(),
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
                    if error.is_full() && self.give_up_for_space() {
                        continue;
                    }
                    self.retry = Some(Box::pin(sleep(JOURNAL_PAUSE)));
                    return;
                }
                self.stuck = None;
            }
            let moved = next.deadline != self.snapshot.deadline;
            self.announce(&event, &next.state);
            self.pace(&event, &next.state);
            self.snapshot = next;
            if moved {
                self.set_deadline();
            }
            for effect in effects {
                self.perform(effect);
            }
        }
    }

    /// A spare slot that is being written may have taken the last of the disk that it shares with the
    /// journal, and then nothing could ever be recorded again, not even that there is no space.
    fn give_up_for_space(&mut self) -> bool {
        let (State::Fetching(work) | State::Verifying(work) | State::Staged(work)) = &self.snapshot.state
        else {
            return false;
        };
        let (target, reason) = (work.target, no_space(work));
        let hands = self.hands();
        if !hands.shares_disk(target) {
            return false;
        }
        self.perform(Effect::Stop);
        let freed = hands.give_space_back(target);
        if freed {
            self.events.push_front(Event::Failed(reason));
        }
        freed
    }

    fn write(&mut self, next: &Snapshot) -> Result<(), JournalError> {
        // The types have no maps with keys that JSON cannot write.
        let body = serde_json::to_vec(next).unwrap_or_default();
        self.journal.append(&body)?;
        // Behind the journal, so that the file is never ahead of a commit. Where it cannot be written, the
        // journal has the floor, and the next record tries again.
        if let Err(error) = self.floor.raise(next.memory.floor) {
            self.diary.mishap(&floor_not_kept(&self.floor, &error), self.clock.now());
        }
        Ok(())
    }

    fn announce(&mut self, event: &Event, next: &State) {
        if let Event::Failed(reason) | Event::Unhealthy(reason) = event {
            self.diary.mishap(reason, self.clock.now());
        }
        if next.name() != self.snapshot.state.name() {
            let version = next.work().map_or("", |work| work.release.version.as_str());
            diary::say(format!("{} {version}", next.name()).trim_end());
        }
    }

    /// Whether the offers of the server lead anywhere.
    fn pace(&mut self, event: &Event, next: &State) {
        let rests = matches!(next, State::Idle | State::Inconsistent { .. });
        match event {
            Event::Offered(..) | Event::OfferRefused { .. } | Event::Surveyed { .. } if rests => {
                self.schedule.fruitless();
            }
            Event::Prepared => self.schedule.fruitful(),
            _ => {}
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
    before != after && (!only_outbox || after.memory.outbox.is_empty())
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

//! The desk itself, as a pure state machine: requests and times in, one pending batch out.
//!
//! The thread in `run` feeds it, the simulation can too. It has no clock and does no I/O, but for
//! the responses that it may send at once because what they show is on disk already. Here is how
//! its parts work together, in time and around the engine; below are the requests (`requests`), and
//! what begins and ends with connections and sessions (`session`).

mod requests;
mod session;

use std::sync::Arc;

use bytes::Bytes;

use super::batch::{Pending, Release};
use super::clients::Clients;
use super::commits::Commits;
use super::delivery::DeliveryContext;
use super::distribute::distribute;
use super::error::RecoverError;
use super::forward::{ForwardPort, ForwardQueues, ForwardSettings};
use super::gateway_messages::{
    event_message, gateway_message, in_other_encoding, retain_gateway_message, show_recovered_keys,
};
use super::index::SubscriptionIndex;
use super::interest::InterestIndex;
use super::journal::Journal;
use super::limits::Configuration;
use super::mail::EngineView;
use super::retained::RetainedStore;
use super::root::note_root;
use super::settings::DeskSettings;
use super::stats::DeskStats;
use super::status::{show_gauges, warn_of_barred_rooms};
use super::time::{Moved, Time};
use super::timers::{ClientTimer, ClientTimers};
use super::work::WorkReports;
use super::{recover, stall};
use crate::clock::Reading;
use crate::engine::{Effect, Engine, Input, Timer as EngineTimer, Verdict};
use crate::ledger::{Space, Store, StoreError};
use crate::wire::Millis;
use crate::wire::json;
use crate::wire::message::Message;
use crate::wire::mirror::MessageMirrors;
use crate::wire::name::Category;
use crate::wire::observe::Event;
use crate::wire::topic::RoomTopic;

/// Everything that is decided in one place. Each part keeps what it holds to itself.
pub struct Desk {
    settings: DeskSettings,
    engine: Engine,
    clients: Clients,
    index: SubscriptionIndex,
    retained: RetainedStore,
    journal: Journal,
    timers: ClientTimers,
    time: Time,
    commits: Commits,
    stats: Arc<DeskStats>,
    /// What the engine is to hear of deliveries, at the end of the request.
    work: WorkReports,
    forward: ForwardQueues,
}

impl Desk {
    /// A desk with nothing in it but the engine; `recover` fills it.
    pub fn new(settings: DeskSettings, engine: Engine, interest: Arc<InterestIndex>) -> Desk {
        let memory = &settings.memory;
        Desk {
            clients: Clients::new(settings.clients, memory.clone()),
            index: SubscriptionIndex::new(&settings.root, interest, memory.clone()),
            retained: RetainedStore::new(settings.retained.clone()),
            journal: Journal::new(settings.journal.clone()),
            settings,
            engine,
            timers: ClientTimers::default(),
            time: Time::default(),
            commits: Commits::default(),
            stats: Arc::default(),
            work: WorkReports::default(),
            forward: ForwardQueues::default(),
        }
    }

    /// Fills a new desk from the ledger; nobody is connected.
    ///
    /// # Errors
    /// If the store or one of its records cannot be read.
    pub fn recover(&mut self, now: Millis, store: &dyn Store) -> Result<(), RecoverError> {
        recover::restore(&mut self.delivery(now), store)?;
        self.reencode_retained();
        show_recovered_keys(&self.settings.root, &mut self.engine, &mut self.retained);
        self.journal.recover(store)?;
        self.forward.recover(store)?;
        recover::index(&mut self.delivery(now));
        note_root(&self.settings.root, store, self.commits.records())?;
        self.feed(now, Input::Recovered);
        self.recover_wills(now);
        warn_of_barred_rooms(&self.engine);
        Ok(())
    }

    /// From now on these other brokers are sent what is for them; before [`Desk::recover`].
    ///
    /// # Errors
    /// Whatever opening a way in for a reader meets.
    pub fn forward_to(
        &mut self,
        settings: Vec<ForwardSettings>,
        store: &dyn Store,
    ) -> Result<Vec<ForwardPort>, StoreError> {
        self.forward.open(settings, self.index.interest(), store)
    }

    /// The counters, to show them.
    pub fn stats(&self) -> Arc<DeskStats> {
        self.stats.clone()
    }

    /// The parts that messages for clients go through.
    fn delivery(&mut self, now: Millis) -> DeliveryContext<'_> {
        DeliveryContext {
            now,
            settings: &self.settings,
            stats: &self.stats,
            engine: &self.engine,
            clients: &mut self.clients,
            index: &mut self.index,
            retained: &mut self.retained,
            timers: &mut self.timers,
            commits: &mut self.commits,
            work: &mut self.work,
            forward: &mut self.forward,
        }
    }

    /// The same, for tests to look at.
    #[cfg(test)]
    pub(super) fn parts(&mut self) -> DeliveryContext<'_> {
        self.delivery(0)
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Millis) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                ClientTimer::SessionExpiry(client) => self.expire_session(now, &client),
                ClientTimer::Will(client) => self.will_timer(now, &client),
                ClientTimer::MessageExpiry(client, seq) => {
                    self.delivery(now).expire_message(&client, seq);
                }
                ClientTimer::SlowConsumer(client) => self.slow_consumer_times_out(now, &client),
                ClientTimer::SubackTimeout(client) => self.suback_times_out(now, &client),
            }
        }
        if self.engine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.feed(now, Input::Tick);
        }
        if self.journal.next_trim().is_some_and(|at| at <= now) {
            // Sealing does it.
            self.commits.note_lazily(now);
        }
        if self.time.next_mark().is_some_and(|at| at <= now) {
            self.leave_mark(now);
        }
        self.report_deliveries(now);
    }

    /// Whether something is due that whoever asks next must find done. One [`Desk::tick`] does a
    /// bounded portion of it.
    pub fn is_behind(&self, now: Millis) -> bool {
        let engine = self.engine.poll_timeout().map(|(at, _)| at);
        self.timers
            .next()
            .into_iter()
            .chain(engine)
            .any(|at| at <= now)
    }

    /// When [`Desk::tick`] is due, if ever.
    pub fn poll_timeout(&self) -> Option<Millis> {
        let own = self.timers.next();
        let engine = self
            .engine
            .poll_timeout()
            .map(|(at, _): (Millis, EngineTimer)| at);
        // A batch that is to be sealed anyway forgets what is due.
        let trim = self.journal.next_trim();
        let trim = trim.filter(|_| self.commits.since().is_none());
        let mark = self.time.next_mark();
        let all = own.into_iter().chain(engine).chain(trim).chain(mark);
        all.min()
    }

    /// Whether a batch should be sealed now, or when at the latest.
    pub fn wants_sealing(&self, now: Millis) -> Sealing {
        match self.commits.since() {
            _ if self.commits.is_awaited() => Sealing::Now,
            Some(since) if now >= since + self.settings.linger_ms => Sealing::Now,
            Some(since) => Sealing::At(since + self.settings.linger_ms),
            None => Sealing::Never,
        }
    }

    /// Ends the batch: the engine's last effects and records join it, and the next one begins. Its
    /// number is to be given to [`Desk::committed`] once it is on disk.
    pub fn seal(&mut self, now: Millis) -> Pending {
        self.engine.flush();
        self.apply_effects(now, None);
        self.report_deliveries(now);
        let number = self.commits.number();
        let records = self.commits.records();
        self.engine.drain_records(&mut |key, value| match value {
            Some(value) => records.put(Space::Engine, key, Bytes::from(value)),
            None => records.delete(Space::Engine, key),
        });
        self.journal.seal(number, now, records);
        self.forward.seal(number);
        if !records.is_empty() {
            self.time.mark(now, records);
        }
        let sealed = self.commits.seal(self.retained.last_retained_seq());
        self.stats.batches.add_one();
        show_gauges(
            &self.stats,
            &self.settings,
            &self.clients,
            &self.retained,
            &self.engine,
            self.journal.stats(),
        );
        sealed
    }

    /// A batch is on disk.
    pub fn committed(&mut self, number: u64) {
        self.journal.committed(number);
        self.forward.committed(number);
        self.commits.committed(number);
    }

    /// How much the pending batch holds, in bytes: of records, and roughly of what waits for them.
    pub fn pending_bytes(&self) -> usize {
        self.commits.bytes()
    }

    /// Whether the disk refuses what it is given, from now on. Who has subscribed just before is
    /// not left unanswered for long.
    pub fn disk_stalls(&mut self, now: Millis, stands: bool) {
        if self.commits.set_stalled(stands) {
            stall::begin(&mut self.delivery(now));
        }
    }

    /// Whether it does.
    pub fn is_stalled(&self) -> bool {
        self.commits.is_stalled()
    }

    /// Sends what of a batch that is not on disk needs no disk. Batches in their order.
    pub fn release_non_durable(&self, releases: &mut Vec<Release>) {
        self.commits.release_non_durable(releases);
    }

    /// The same with the batch that fills.
    pub fn release_non_durable_pending(&mut self) {
        self.commits.release_non_durable_pending();
    }

    /// From now on the desk knows where the wall clock is, and says so in each commit. Before
    /// [`Desk::recover`].
    pub fn keep_time(&mut self, reading: Reading) {
        self.engine.set_wall(reading.ahead);
        self.time.begin(reading);
    }

    /// The wall clock is so far ahead of the timeline now, in milliseconds.
    pub fn look_at_wall(&mut self, now: Millis, ahead: i64) {
        match self.time.look(ahead) {
            Some(Moved::Drifted) => self.engine.set_wall(ahead),
            Some(Moved::Set(by)) => self.report_clock_step(now, by, ahead),
            None => {}
        }
    }

    /// The wall clock has been set by so much since the last run, without a reason that anybody
    /// knows.
    pub fn step_found(&mut self, now: Millis, by: i64) {
        if let Some(ahead) = self.time.step_found(by) {
            self.report_clock_step(now, by, ahead);
        }
    }

    fn report_clock_step(&mut self, now: Millis, by: i64, ahead: i64) {
        let (direction, count) = match by {
            ..0 => ("back", &self.stats.clock_steps.back),
            _ => ("forward", &self.stats.clock_steps.forward),
        };
        count.add_one();
        tracing::warn!(
            by_ms = by,
            "the wall clock was set {direction} by {}.{:03} s: what is shown follows it, what lasts does not",
            by.unsigned_abs() / 1_000,
            by.unsigned_abs() % 1_000
        );
        self.feed(now, Input::ClockStepped { by, ahead });
    }

    /// The latest point of the timeline that is known of.
    pub fn latest(&self) -> Millis {
        self.engine.latest()
    }

    /// Writes down where the timeline is, where nothing else may follow.
    pub fn leave_mark(&mut self, now: Millis) {
        if self.time.is_kept() {
            self.time.mark(now, self.commits.records());
            self.commits.note_lazily(now);
        }
    }

    /// Gives the engine an input that it cannot refuse, and applies what follows.
    fn feed(&mut self, now: Millis, input: Input) {
        let verdict = self.feed_with(now, input, None);
        debug_assert!(verdict.is_ok(), "only commands and offers are refused");
    }

    /// The same for a command that came as a message, which the engine may want to relay.
    fn feed_with(&mut self, now: Millis, input: Input, came_as: Option<&Message>) -> Verdict {
        let view = EngineView {
            root: &self.settings.root,
            clients: &self.clients,
            journal: &self.journal,
        };
        let verdict = self.engine.handle(now, input, &view);
        self.apply_effects(now, came_as);
        // Whatever it changed has a record; somebody may wait for an effect of it.
        self.commits.set_awaited(true);
        verdict
    }

    /// The same for what changes no more than the engine's own records, as a rule: nobody waits for
    /// them.
    fn feed_lazily(&mut self, now: Millis, input: Input) {
        let (awaited, held_back) = (self.commits.is_awaited(), self.commits.held_back());
        self.feed(now, input);
        if self.commits.held_back() == held_back {
            self.commits.set_awaited(awaited);
            self.commits.note_lazily(now);
        }
    }

    fn apply_effects(&mut self, now: Millis, came_as: Option<&Message>) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Deliver(directed) => self.delivery(now).deliver_directed(directed),
                Effect::Relay { to, expires_at } => {
                    if let Some(message) = came_as {
                        self.delivery(now).deliver_inbox(&to, message, expires_at);
                    }
                }
                Effect::Discard { agent, seqs } => self.delivery(now).discard(&agent, &seqs),
                Effect::Revoke { agent, class } => self.delivery(now).revoke(&agent, &class),
                Effect::Retain { topic, payload } => {
                    self.retain_from_gateway(now, &topic, payload.as_deref())
                }
                Effect::Event(event) => self.publish_event(now, &event),
            }
        }
    }

    /// A retained message of the gateway's: a key, a presence, a pending approval.
    fn retain_from_gateway(&mut self, now: Millis, topic: &RoomTopic, payload: Option<&[u8]>) {
        let name = topic.format(&self.settings.root);
        let mirrors = MessageMirrors::default();
        let message = gateway_message(&name, payload.unwrap_or_default(), true, &mirrors);
        let numbered = self.retain_gateway_message(topic, &message);
        distribute(&mut self.delivery(now), numbered);
    }

    fn retain_gateway_message(&mut self, topic: &RoomTopic, message: &Message) -> Message {
        let (engine, retained) = (&mut self.engine, &mut self.retained);
        retain_gateway_message(engine, retained, &mut self.commits, topic, message)
    }

    /// Sees to it that what was retained under another configuration is in the encoding that its
    /// room has now.
    fn reencode_retained(&mut self) {
        for (topic, message) in in_other_encoding(&self.settings.root, &self.engine, &self.retained)
        {
            self.retain_gateway_message(&topic, &message);
        }
    }

    /// An event of the gateway's: to the journal, and to whoever observes.
    fn publish_event(&mut self, now: Millis, event: &Event) {
        let name = event.what.split('.').next().unwrap_or("gateway");
        let Ok(category) = Category::new(name) else {
            return;
        };
        let payload = json::encode(event);
        self.journal
            .append(&event.room, event.seq, now, name, &payload);
        // What an agent said is for those who may read it there, where it said it.
        let payload = match event.payload {
            None => payload,
            Some(_) => json::encode(&Event {
                payload: None,
                ..event.clone()
            }),
        };
        let payload = self.engine.encoding(&event.room).encode(payload);
        let message = event_message(&self.settings.root, event, category, &payload);
        distribute(&mut self.delivery(now), message);
    }

    /// Tells the engine what it has not heard. Not at once: what it does then sends or drops more,
    /// deeper and deeper.
    fn report_deliveries(&mut self, now: Millis) {
        loop {
            if let Some((agent, assignments)) = self.work.next_sent() {
                self.feed_lazily(now, Input::Sent { agent, assignments });
            } else if let Some(id) = self.work.next_window() {
                self.report_window(now, &id);
            } else if !self.report_undelivered(now) {
                return;
            }
        }
    }

    /// Has it find others for work and calls that were dropped; whether there were any.
    fn report_undelivered(&mut self, now: Millis) -> bool {
        let mut found = false;
        while let Some((agent, class)) = self.work.next_undelivered() {
            self.feed(now, Input::TooLarge { agent, class });
            found = true;
        }
        found
    }

    fn report_window(&mut self, now: Millis, id: &str) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let (Some(connected), Some(agent)) = (client.state.connected_mut(), &client.agent) else {
            return;
        };
        let room = client.outbox.room(connected.window);
        connected.reported_window = room;
        let (agent, free) = (agent.clone(), u32::try_from(room).unwrap_or(u32::MAX));
        self.feed_lazily(now, Input::Window { agent, free });
    }

    /// From now on these settings hold: a request like any other, so that whoever asks before it is
    /// judged by the old ones and whoever asks after it by the new ones.
    ///
    /// What waits, is retained or remembered stays, however much it is by a lower limit. Of the
    /// past as much goes as is too much, a portion with each batch.
    fn configure(&mut self, now: Millis, new: Configuration) {
        self.settings.linger_ms = new.linger_ms;
        self.settings.memory.set_max(new.max_memory);
        self.clients.set_limits(new.clients);
        self.retained.set_limits(new.retained);
        self.journal.set_limits(new.journal);
        self.feed(now, Input::Settings(new.engine));
        if new.reencodes {
            self.reencode_retained();
        }
        warn_of_barred_rooms(&self.engine);
    }
}

/// When a batch wants to be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// Somebody waits for it.
    Now,
    /// At this time at the latest.
    At(Millis),
    /// There is nothing in it.
    Never,
}

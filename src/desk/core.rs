//! The desk itself, as a pure state machine: requests and times in, one pending batch out.
//!
//! The thread in `run` feeds it, the simulation can too. It has no clock and does no I/O, but for the responses that it
//! may send at once because what they show is on disk already.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::{Pending, Release};
use super::clients::Clients;
use super::disk::Disk;
use super::interest::Interest;
use super::journal::Journal;
use super::limits::{ClientLimits, JournalLimits, RetainedLimits};
use super::mail::Kept;
use super::memory::{Holder, Memory};
use super::port::{ConnectionId, Full, Gates, Request};
use super::records;
use super::retained::Retained;
use super::shares::Shares;
use super::stats::DeskStats;
use super::time::Time;
use super::timers::{Timer, Timers};
use super::trie::FilterTrie;
use super::work::WorkNews;
use crate::diary::{About, Diary};
use crate::engine::{Class, Effect, Engine, Input, Timer as EngineTimer, Verdict};
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::message::{Message, Qos};
use crate::wire::name::Agent;
use crate::wire::reply::Rejection;

/// The desk's settings.
#[derive(Debug, Clone)]
pub struct DeskSettings {
    /// The topic level under which rooms live.
    pub root: String,
    /// Limits of mailboxes and queues.
    pub clients: ClientLimits,
    /// Limits of the retained store.
    pub retained: RetainedLimits,
    /// How much of rooms' past is kept.
    pub journal: JournalLimits,
    /// The bound on everything that waits, shared with the front door.
    pub memory: Arc<Memory>,
    /// Who judges the wills that a restart publishes; `None` while everybody may do everything.
    pub gates: Option<Arc<dyn Gates>>,
    /// Which lines about clients are worth the log.
    pub diary: Arc<Diary>,
    /// How long deletions of what was acknowledged may wait for company, in milliseconds.
    pub linger_ms: u64,
    /// How long publishers of QoS 1 and 2 wait for a connected client whose queue is half full, before it is disconnected, in
    /// milliseconds.
    pub patience_ms: u64,
}

/// A durable subscription, as the index of subscribers holds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub qos: Qos,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub id: Option<u32>,
}

/// Everything that is decided in one place.
pub struct Desk {
    pub(super) settings: DeskSettings,
    pub(super) engine: Engine,
    pub(super) clients: Clients,
    pub(super) connections: BTreeMap<ConnectionId, Arc<str>>,
    /// Unshared filters of durable sessions, by client. Those of QoS 0 add their identifiers to what the others have delivered.
    pub(super) subscribers: FilterTrie<Arc<str>, Terms>,
    pub(super) shares: Shares,
    /// Wildcard filters that may see other agents' directed messages, by client.
    pub(super) watchers: FilterTrie<Arc<str>, ()>,
    pub(super) retained: Retained,
    pub(super) journal: Journal,
    /// Counts changes of the retained store since the start.
    pub(super) stamp: u64,
    pub(super) interest: Arc<Interest>,
    pub(super) timers: Timers,
    pub(super) time: Time,
    pub(super) pending: Pending,
    /// The newest batch that is on disk.
    pub(super) durable: u64,
    /// What is known of the disk.
    pub(super) disk: Disk,
    pub(super) stats: Arc<DeskStats>,
    /// Where there was no room for the publish that was refused last.
    pub(super) full: Full,
    /// Why the command that was routed last was refused, if it was.
    pub(super) refusal: Option<Rejection>,
    /// What the engine is to hear of work on its way, at the end of the request.
    pub(super) work: WorkNews,
    /// What was dropped because its reader cannot take it, until the engine hears of it: at the end of the request.
    pub(super) undelivered: Vec<(Agent, Class)>,
}

impl Desk {
    /// A desk with nothing in it but the engine; `recover` fills it.
    pub fn new(settings: DeskSettings, engine: Engine, interest: Arc<Interest>) -> Desk {
        Desk {
            clients: Clients::new(settings.clients, settings.memory.clone()),
            retained: Retained::new(settings.retained),
            journal: Journal::new(settings.journal.clone()),
            settings,
            engine,
            connections: BTreeMap::new(),
            subscribers: FilterTrie::default(),
            shares: Shares::default(),
            watchers: FilterTrie::default(),
            stamp: 0,
            interest,
            timers: Timers::default(),
            time: Time::default(),
            pending: Pending::new(1),
            durable: 0,
            disk: Disk::default(),
            stats: Arc::default(),
            full: Full::Memory,
            refusal: None,
            work: WorkNews::default(),
            undelivered: Vec::new(),
        }
    }

    /// The counters, to show them.
    pub fn stats(&self) -> Arc<DeskStats> {
        self.stats.clone()
    }

    /// Takes one request, at a time by which nothing else is due: a session that has expired is not resumed, and its will
    /// comes first (MQTT-4.1.0-2, MQTT-3.1.2-8). What a single [`Desk::tick`] does not get done is its caller's to await:
    /// see [`Desk::is_behind`].
    pub fn handle(&mut self, now: Millis, request: Request) {
        self.stats.requests.add_one();
        if self.is_behind(now) {
            self.tick(now);
        }
        match request {
            Request::Open(open) => self.open(now, *open),
            Request::Subscribe {
                connection,
                packet_id,
                subscriptions,
            } => {
                self.subscribe(now, connection, packet_id, subscriptions);
            }
            Request::Unsubscribe {
                connection,
                packet_id,
                filters,
            } => {
                self.unsubscribe(now, connection, packet_id, &filters);
            }
            Request::Publish {
                connection,
                packet_id,
                publication,
            } => {
                let memory = &self.settings.memory;
                memory.give_back(Holder::Requests, publication.message.size());
                self.publish(now, connection, packet_id, &publication);
            }
            Request::Release {
                connection,
                packet_id,
            } => self.release_inbound(connection, packet_id),
            Request::Acknowledge {
                connection,
                seq,
                stage,
            } => self.acknowledge(now, connection, seq, stage),
            Request::Close {
                connection,
                publish_will,
                why,
                expiry,
            } => self.close(now, connection, publish_will, why, expiry),
            // Whoever asked may be gone.
            Request::Measure(answer) => drop(answer.send(self.holdings())),
            Request::Configure(new) => self.configure(now, *new),
            Request::Announce(figures) => self.announce(now, figures),
        }
        self.tell_of_deliveries(now);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Millis) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::SessionExpiry(client) => self.expire_session(now, &client),
                Timer::Will(client) => self.will_timer(now, &client),
                Timer::MessageExpiry(client, seq) => self.expire_message(now, &client, seq),
                Timer::Patience(client) => self.patience_ends(now, &client),
                Timer::Unanswered(client) => self.give_up_on_disk(now, &client),
            }
        }
        if self.engine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.feed(now, Input::Tick);
        }
        if self.journal.next_trim().is_some_and(|at| at <= now) {
            // Sealing does it.
            self.note_lazy_change(now);
        }
        if self.time.next_mark().is_some_and(|at| at <= now) {
            self.leave_mark(now);
        }
        self.tell_of_deliveries(now);
    }

    /// Whether something is due that whoever asks next must find done. One [`Desk::tick`] does a bounded portion of it.
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
        let trim = trim.filter(|_| self.pending.since.is_none());
        let mark = self.time.next_mark();
        let all = own.into_iter().chain(engine).chain(trim).chain(mark);
        all.min()
    }

    /// Whether a batch should be sealed now, or when at the latest.
    pub fn wants_sealing(&self, now: Millis) -> Sealing {
        match self.pending.since {
            _ if self.pending.awaited => Sealing::Now,
            Some(since) if now >= since + self.settings.linger_ms => Sealing::Now,
            Some(since) => Sealing::At(since + self.settings.linger_ms),
            None => Sealing::Never,
        }
    }

    /// Ends the batch: the engine's last effects and records join it, and the next one begins. Its number is to be
    /// given to [`Desk::committed`] once it is on disk.
    pub fn seal(&mut self, now: Millis) -> Pending {
        self.engine.flush();
        self.apply_effects(now, None);
        self.tell_of_deliveries(now);
        let records = &mut self.pending.records;
        self.engine.drain_records(&mut |key, value| match value {
            Some(value) => records.put(Space::Engine, key, Bytes::from(value)),
            None => records.delete(Space::Engine, key),
        });
        let number = self.pending.number;
        self.journal.seal(number, now, &mut self.pending.records);
        if !self.pending.records.is_empty() {
            self.time.mark(now, &mut self.pending.records);
        }
        self.disk.sealed(number, self.stamp);
        self.stats.batches.add_one();
        self.update_gauges();
        let next = Pending::new(self.pending.number + 1);
        std::mem::replace(&mut self.pending, next)
    }

    /// A batch is on disk.
    pub fn committed(&mut self, number: u64) {
        self.durable = self.durable.max(number);
        self.journal.committed(number);
        self.disk.committed(number);
    }

    /// Gives the engine an input that it cannot refuse, and applies what follows.
    pub(super) fn feed(&mut self, now: Millis, input: Input) {
        let verdict = self.feed_with(now, input, None);
        debug_assert!(verdict.is_ok(), "only commands and offers are refused");
    }

    /// The same for a command that came as a message, which the engine may want to relay.
    pub(super) fn feed_with(
        &mut self,
        now: Millis,
        input: Input,
        came_as: Option<&Message>,
    ) -> Verdict {
        let kept = Kept {
            root: &self.settings.root,
            clients: &self.clients,
            journal: &self.journal,
        };
        let verdict = self.engine.handle(now, input, &kept);
        self.apply_effects(now, came_as);
        // Whatever it changed has a record; somebody may wait for an effect of it.
        self.pending.awaited = true;
        verdict
    }

    /// The same for what changes no more than the engine's own records, as a rule: nobody waits for them.
    pub(super) fn feed_lazily(&mut self, now: Millis, input: Input) {
        let awaited = self.pending.awaited;
        let broadcasts = self.pending.releases.len();
        self.feed(now, input);
        if self.pending.releases.len() == broadcasts {
            self.pending.awaited = awaited;
            self.note_lazy_change(now);
        }
    }

    fn apply_effects(&mut self, now: Millis, came_as: Option<&Message>) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Deliver(directed) => self.deliver_directed(now, directed),
                Effect::Relay { to, expires_at } => {
                    if let Some(message) = came_as {
                        self.deliver_inbox(now, &to, message, expires_at);
                    }
                }
                Effect::Discard { agent, seqs } => self.discard(now, &agent, &seqs),
                Effect::Revoke { agent, class } => self.revoke(&agent, &class),
                Effect::Retain { topic, payload } => {
                    self.retain_from_gateway(now, &topic, payload.as_deref())
                }
                Effect::Event(event) => self.publish_event(now, &event),
            }
        }
    }

    /// Whether a line of this kind about a client is worth the log.
    pub(super) fn admits(&self, kind: &'static str, client: &str) -> bool {
        self.settings.diary.admits(About::Client, kind, client)
    }

    /// Notes a change that nobody waits for.
    pub(super) fn note_lazy_change(&mut self, now: Millis) {
        self.pending.since.get_or_insert(now);
    }

    /// The client behind a connection; `None` after a take-over, whose late requests count for nothing.
    pub(super) fn client_of(&self, connection: ConnectionId) -> Option<Arc<str>> {
        self.connections.get(&connection).cloned()
    }

    /// Puts a client's owner on disk as soon as there is something to be owned there.
    pub(super) fn store_owner(&mut self, id: &str) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let kept = client.will_stored || client.state.is_durable() || client.outbox.mail_len() > 0;
        if let Some(owner) = client
            .owner
            .as_ref()
            .filter(|_| kept && !client.owner_stored)
        {
            let (key, value) = (
                records::owner_key(id),
                Bytes::copy_from_slice(owner.as_bytes()),
            );
            self.pending.records.put(Space::Session, key, value);
            client.owner_stored = true;
        }
    }

    /// Forgets a client of which nothing is left.
    pub(super) fn forget_if_idle(&mut self, id: &str) {
        let idle = self.clients.get(id).filter(|client| client.is_idle());
        if idle.is_some_and(|client| client.owner_stored) {
            self.pending
                .records
                .delete(Space::Session, records::owner_key(id));
        }
        self.clients.forget_if_idle(id);
    }

    pub(super) fn broadcast(&mut self, message: Message) {
        self.stats.broadcasts.add_one();
        self.pending.release(Release::Broadcast(message));
    }

    fn update_budgets(&self, key_bytes: usize) {
        let (budgets, memory) = (&self.stats.budgets, &self.settings.memory);
        budgets.set("memory.max_queued", memory.total(), memory.most_stored());
        let most = self.clients.limits.max_clients;
        budgets.set("session.max_sessions", self.clients.len(), most);
        let most = self.engine.most_key_bytes();
        budgets.set("blackboard.max_bytes", key_bytes, most);
        for (key, used, most) in self.retained.use_by_clients() {
            budgets.set(key, used, most);
        }
    }

    fn update_gauges(&self) {
        let engine = self.engine.stats();
        self.stats.clients.set_len(self.clients.len());
        self.stats.connections.set_len(self.connections.len());
        self.stats.retained.set_len(self.retained.count());
        self.stats.retained_bytes.set_len(self.retained.bytes());
        self.stats.show_engine(&engine);
        self.update_budgets(engine.key_bytes);
        self.stats.show_journal(self.journal.stats());
    }

    /// Wakes up for this.
    pub(super) fn set_timer(&mut self, at: Millis, timer: Timer) {
        let mut timers = std::mem::take(&mut self.timers);
        timers.set(at, timer, |at, timer| self.has_point(at, timer));
        self.timers = timers;
    }

    /// Whether there would be something to do at that time.
    fn has_point(&self, at: Millis, timer: &Timer) -> bool {
        match timer {
            Timer::SessionExpiry(id) => {
                let session = self.clients.session(id);
                session.is_some_and(|session| session.ends_at() == Some(at))
            }
            Timer::Will(id) => {
                let will = self
                    .clients
                    .get(id)
                    .and_then(|own| own.delayed_will.as_ref());
                will.is_some_and(|(due, _)| *due == at)
            }
            Timer::MessageExpiry(id, seq) => self
                .clients
                .get(id)
                .is_some_and(|own| own.outbox.expires(*seq) == Some(at)),
            Timer::Unanswered(id) => self.waits_for_disk(id),
            Timer::Patience(id) => {
                let connected = self.clients.connected(id);
                connected.is_some_and(|connected| connected.patience_ends == Some(at))
            }
        }
    }

    /// Tells the engine what it has not heard. Not at once: what it does then sends more, deeper and deeper.
    fn tell_of_deliveries(&mut self, now: Millis) {
        loop {
            if let Some((agent, assignments)) = self.work.next_sent() {
                self.feed_lazily(now, Input::Sent { agent, assignments });
            } else if let Some(id) = self.work.next_window() {
                self.tell_of_window(now, &id);
            } else if self.undelivered.is_empty() {
                return;
            } else {
                self.tell_of_undelivered(now);
            }
        }
    }

    fn tell_of_window(&mut self, now: Millis, id: &str) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let (Some(connected), Some(agent)) = (client.state.connected_mut(), &client.agent) else {
            return;
        };
        let room = client.outbox.room(connected.window);
        connected.told_window = room;
        let (agent, free) = (agent.clone(), u32::try_from(room).unwrap_or(u32::MAX));
        self.feed_lazily(now, Input::Window { agent, free });
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

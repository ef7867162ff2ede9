//! What all rooms share while an input is handled: the time, the limits, timers, sessions, and
//! where effects go.
//!
//! It decides nothing. The engine owns one and lends it to the room that acts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use ulid::{ULID_LEN, Ulid};

use crate::slack::Slack;
use crate::wire::Millis;
use crate::wire::fit::packet_bytes;
use crate::wire::message::Qos;
use crate::wire::name::{Agent, Room};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::RoomTopic;

use super::config::Create;
use super::effect::Effect;
use super::encoding::Encodings;
use super::mailboxes::Mailboxes;
use super::member::Sessions;
use super::settings::Settings;
use super::shown::Wall;
use super::stats::EngineStats;
use super::timer::Timers;

#[derive(Debug)]
pub(super) struct Context {
    /// Of the room that was entered last.
    pub(super) settings: Arc<Settings>,
    /// Of rooms that the configuration does not name.
    common: Arc<Settings>,
    /// Of those that it names.
    named: BTreeMap<Room, Arc<Settings>>,
    /// A point of the timeline.
    pub(super) now: Millis,
    /// Where the wall clock is.
    pub(super) wall: Wall,
    pub(super) timers: Timers,
    pub(super) sessions: Sessions,
    pub(super) encodings: Encodings,
    pub(super) stats: EngineStats,
    pub(super) gateway: Agent,
    /// Rooms with something to flush or to record, in the order in which they first changed.
    pub(super) touched: Vec<Room>,
    pub(super) effects: VecDeque<Effect>,
    /// Directed messages that are promised to an agent: a result for each task that it dispatched
    /// and that has not ended, a decision for each approval that it awaits. Only looked up, never
    /// iterated.
    reserved: HashMap<Agent, usize>,
    ids: Ids,
}

impl Context {
    pub(super) fn new(settings: Settings, seed: u64) -> Context {
        let named = settings.of_rooms();
        let common = Arc::new(settings);
        Context {
            settings: Arc::clone(&common),
            common,
            named,
            now: 0,
            wall: Wall::default(),
            timers: Timers::default(),
            sessions: Sessions::default(),
            encodings: Encodings::default(),
            stats: EngineStats::default(),
            gateway: Agent::gateway(),
            touched: Vec::new(),
            effects: VecDeque::new(),
            reserved: HashMap::new(),
            ids: Ids(ChaCha12Rng::seed_from_u64(seed)),
        }
    }

    /// What follows is about this room: its limits and defaults count.
    pub(super) fn enter(&mut self, room: &Room) {
        if !self.named.is_empty() {
            self.settings = Arc::clone(self.settings_of(room));
        }
    }

    /// What holds in a room.
    pub(super) fn settings_of(&self, room: &Room) -> &Arc<Settings> {
        self.named.get(room).unwrap_or(&self.common)
    }

    /// From now on these settings hold.
    pub(super) fn set_settings(&mut self, settings: Settings) {
        self.named = settings.of_rooms();
        self.common = Arc::new(settings);
        self.settings = Arc::clone(&self.common);
    }

    /// Whether the configuration lets a room come into being, or go on.
    pub(super) fn may_exist(&self, room: &Room) -> bool {
        self.common.rooms.create == Create::OnUse || self.common.rooms.room.contains_key(room)
    }

    /// Whether an agent may take part in a room.
    pub(super) fn may_enter(&self, room: &Room, agent: &Agent) -> bool {
        let own = self.common.rooms.room.get(room);
        own.is_none_or(|own| own.admits(agent))
    }

    /// Whether an agent may be given anything to do in a room.
    pub(super) fn may_work(&self, room: &Room, agent: &Agent) -> bool {
        self.may_exist(room) && self.may_enter(room, agent)
    }

    /// Who may take part in a room; nobody's list is everybody.
    pub(super) fn members_of(&self, room: &Room) -> &[String] {
        let own = self.common.rooms.room.get(room);
        own.map_or(&[], |own| &own.members)
    }

    /// Puts what leaves into the encoding of whoever it is for.
    pub(super) fn emit(&mut self, mut effect: Effect) {
        match &mut effect {
            Effect::Deliver(directed) => {
                let text = std::mem::take(&mut directed.payload);
                directed.payload = self.encodings.of(&directed.to).encode(text);
            }
            Effect::Retain {
                topic,
                payload: Some(payload),
            } => {
                let text = std::mem::take(payload);
                *payload = self.settings_of(&topic.room).rooms.encoding.encode(text);
            }
            _ => {}
        }
        self.effects.push_back(effect);
    }

    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front()?;
        self.effects.give_back();
        self.stats.effects += 1;
        Some(effect)
    }

    /// A point in time that lies this far ahead.
    pub(super) fn after(&self, ms: u64) -> Millis {
        self.now.saturating_add(ms)
    }

    /// A ULID of now.
    pub(super) fn mint(&mut self) -> String {
        self.ids.mint(self.now)
    }

    /// Bytes of a packet of QoS 1 on a topic.
    pub(super) fn packet_bytes(&self, topic: &RoomTopic, payload: usize) -> usize {
        let topic = topic.format("").len() + self.settings.rooms.root.len();
        packet_bytes(topic, payload, Qos::AtLeastOnce)
    }

    pub(super) fn reserve_result(&mut self, agent: &Agent) {
        *self.reserved.entry(agent.clone()).or_default() += 1;
    }

    pub(super) fn release_result(&mut self, agent: &Agent) {
        if let Some(count) = self.reserved.get_mut(agent) {
            *count -= 1;
            if *count == 0 {
                self.reserved.remove(agent);
                self.reserved.give_back();
            }
        }
    }

    /// Results and decisions that can be promised to an agent beyond those that are.
    pub(super) fn free_results_of(&self, mailboxes: &dyn Mailboxes, agent: &Agent) -> usize {
        let reserved = self.reserved.get(agent).copied().unwrap_or_default();
        mailboxes.free_results(agent).saturating_sub(reserved)
    }

    /// Whether an agent that asks for something may wait for its result or decision, too. `what` is
    /// that.
    ///
    /// # Errors
    /// 429 that names the limit which is reached, and says whether the agent itself has reached it.
    pub(super) fn may_wait_for(
        &self,
        mailboxes: &dyn Mailboxes,
        agent: &Agent,
        what: &str,
    ) -> Result<(), Rejection> {
        self.has_place(mailboxes, agent, 1, what)
            .map_err(Rejection::of_own_backlog)?;
        expect_memory(mailboxes, 1, what)
    }

    /// Whether there is room for a partial result of so many bytes, which nobody is promised.
    /// `what` is in it.
    ///
    /// # Errors
    /// 429 that names the limit which is reached.
    pub(super) fn has_room_beside_promises(
        &self,
        mailboxes: &dyn Mailboxes,
        to: &Agent,
        bytes: usize,
        what: &str,
    ) -> Result<(), Rejection> {
        self.has_place(mailboxes, to, bytes, what)?;
        expect_memory(mailboxes, bytes, what)
    }

    fn has_place(
        &self,
        mailboxes: &dyn Mailboxes,
        to: &Agent,
        bytes: usize,
        what: &str,
    ) -> Result<(), Rejection> {
        let limit = if self.free_results_of(mailboxes, to) == 0 {
            Some("mailbox.max_results")
        } else if mailboxes.free_result_bytes(to) < bytes.max(1) {
            Some("mailbox.max_result_bytes")
        } else {
            None
        };
        let all = || format!("what {to} waits for, or has not read,");
        limit.map_or(Ok(()), |limit| Err(no_room(&all(), what, limit)))
    }

    /// Whether there is room for one message more of so many bytes that is neither. `what` is in
    /// it.
    ///
    /// # Errors
    /// 429 that names the limit which is reached.
    pub(super) fn has_room(
        mailboxes: &dyn Mailboxes,
        to: &Agent,
        bytes: usize,
        what: &str,
    ) -> Result<(), Rejection> {
        let limit = if mailboxes.free_messages(to) == 0 {
            Some("mailbox.max_messages")
        } else if mailboxes.free_bytes(to) < bytes.max(1) {
            Some("mailbox.max_bytes")
        } else {
            None
        };
        if let Some(limit) = limit {
            return Err(no_room(&format!("the mailbox of {to}"), what, limit));
        }
        expect_memory(mailboxes, bytes, what)
    }
}

fn expect_memory(mailboxes: &dyn Mailboxes, bytes: usize, what: &str) -> Result<(), Rejection> {
    if mailboxes.free_memory() >= bytes.max(1) {
        return Ok(());
    }
    let all = "the gateway's memory for all that waits";
    Err(no_room(all, what, "memory.max_queued"))
}

fn no_room(full: &str, what: &str, limit: &str) -> Rejection {
    let reason = format!("{full} has no room for {what}: {limit} is reached");
    Rejection::new(Code::TooMany, reason)
}

/// Mints ids: unique within a run because the generator does not repeat, between runs because the
/// seed differs.
#[derive(Debug)]
struct Ids(ChaCha12Rng);

impl Ids {
    fn mint(&mut self, now: Millis) -> String {
        let random = u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64());
        let mut text = [0; ULID_LEN];
        Ulid::from_parts(now, random)
            .array_to_str(&mut text)
            .to_owned()
    }
}

//! The engine: all coordination, pure and deterministic.
//!
//! It owns the rooms: agents, tasks, keys, approvals, and the state machine of each pattern. It has
//! no clock, no randomness, no I/O and never iterates over a hash map: the same inputs at the same
//! times give the same outputs. The desk drives it:
//!
//! 1. [`Engine::handle`] with the time and an input, which returns the verdict on a command;
//! 2. [`Engine::poll_effect`] until it is empty, after every `handle`: what is to be delivered,
//!    retained, announced. Mailboxes must show what was delivered before the next `handle`;
//! 3. at the end of a batch, [`Engine::flush`] and `poll_effect` again: presences that changed,
//!    each shown once per batch;
//! 4. then [`Engine::drain_records`]: what must be on disk before any of those effects leaves;
//! 5. [`Engine::poll_timeout`] says when to call `handle` with [`Input::Tick`], and why.
//!
//! After a restart: [`Engine::recover`] with a fresh seed, then [`Input::Recovered`], then as
//! above.
//!
//! What the desk owes the engine's directed messages: assignments, results and decisions always
//! fit. The engine admits a task, an approval or an inbox message only while [`Mailboxes`] shows
//! more room than is promised already, and a worker's assignments are bounded by its capacity.

#![deny(
    clippy::disallowed_types,
    reason = "what happens here depends on its input alone"
)]

mod actor;
mod approve;
mod blackboard;
mod config;
mod context;
mod core;
mod departures;
mod digest;
mod dormant;
mod effect;
mod encoding;
mod event;
mod event_log;
mod fit;
mod gate;
mod gating;
mod handoff;
mod ids;
mod input;
mod kept_bytes;
mod machine;
mod mailboxes;
mod member;
mod outcomes;
mod pattern;
mod queries;
mod question;
mod reconfigure;
mod record;
mod recorded;
mod recover;
mod replies;
mod room;
mod schemas;
mod session;
mod settings;
mod shown;
mod size;
mod stats;
mod timer;
mod tools;
mod tx;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::wire::Millis;
use crate::wire::name::{Agent, Room};
use crate::wire::reply::{Code, Rejection, Reply};
use crate::wire::topic::Offer;

use context::Context;
use dormant::Vacated;
use encoding::Encodings;
use event::{Detail, RoomEvent};
use fit::fit;
use reconfigure::Before;
use record::Put;
use room::{RoomState, retention};
use timer::TimerSubject;

pub use approve::config::{ApproveConfig, SamePerson};
pub use blackboard::config::{BlackboardConfig, KeySchema};
pub use config::{
    CommandsConfig, Create, KeptEvents, MailboxConfig, ObserveConfig, RoomConfig, RoomsConfig,
};
pub use effect::{Directed, DirectedKind, Effect};
pub use event_log::{EventLogError, EventRange, NoPast, Past, Recall, Recalled};
pub use handoff::config::{ApprovalConfig, CapabilityConfig, HandoffConfig, TaskTypeDefaults};
pub use ids::{AssignmentKey, RunKey};
pub use input::{Command, Input, Verdict};
pub use machine::{Machine, Transition};
pub use mailboxes::{Mailboxes, VisitMail};
pub use record::{RecordError, RecordProblem};
pub use schemas::KeySchemas;
pub use settings::Settings;
pub use stats::{EngineStats, Refusals, Spread, TaskCounts, TaskResults, ToolOutcome};
pub use timer::Timer;
pub use tools::config::ToolsConfig;

/// Every machine there is, in the order of the documentation.
pub const MACHINES: [&Machine; 9] = [
    &handoff::TASK,
    &handoff::GROUP,
    &blackboard::KEY,
    &blackboard::LOCK,
    &approve::APPROVAL,
    &tools::TOOL,
    &tools::CALL,
    &member::CONNECTION,
    &room::ROOM,
];

/// What is told although no state changes by it, and although it is not about a thing in one of the
/// tables.
pub const OTHER_EVENTS: [&str; 7] = [
    "clock.stepped",
    "presence.announced",
    "presence.offered",
    "presence.withdrawn",
    "presence.drained",
    "inbox.queued",
    "inbox.purged",
];

/// How many timers one `handle` runs at most; the rest are due at once again.
const TIMERS_AT_ONCE: usize = 1_000;

/// The engine. See the module for how it is driven.
#[derive(Debug)]
pub struct Engine {
    cx: Context,
    rooms: BTreeMap<Room, RoomState>,
    vacated: Vacated,
    refusal: Option<Rejection>,
    answer: Option<Reply>,
}

impl Engine {
    /// An engine without rooms. The seed feeds the ids that it mints; it must differ from that of
    /// every earlier run on the same data.
    pub fn new(settings: Settings, seed: u64) -> Engine {
        Engine {
            cx: Context::new(settings, seed),
            rooms: BTreeMap::new(),
            vacated: Vacated::default(),
            refusal: None,
            answer: None,
        }
    }

    /// Rebuilds the state from records alone; nothing is re-decided. They come in the order of
    /// their keys. The seed must not be one that an earlier run used.
    ///
    /// # Errors
    /// If a record cannot be read, or half of a task is missing.
    pub fn recover(
        settings: Settings,
        seed: u64,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Engine, RecordError> {
        let mut engine = Engine::new(settings, seed);
        let rooms = recover::rooms(&mut engine.cx, &mut engine.vacated, records)?;
        engine.cx.stats.rooms = rooms.len();
        engine.cx.stats.vacated_rooms = engine.vacated.len();
        engine.rooms = rooms;
        Ok(engine)
    }

    /// Takes an input at a time, which never goes back: an earlier one counts as the latest there
    /// was. Timers that are due by then run first.
    ///
    /// # Errors
    /// The code with which a command, or an offer, is refused.
    pub fn handle(&mut self, now: Millis, input: Input, mailboxes: &dyn Mailboxes) -> Verdict {
        self.cx.now = self.cx.now.max(now);
        self.run_timers();
        match input {
            Input::Recovered => self.recovered(),
            Input::Connected {
                agent,
                resumed,
                durable,
                window,
            } => self.connected(&agent, resumed, durable, window, mailboxes),
            Input::Sent { agent, assignments } => self.sent(&agent, assignments),
            Input::Window { agent, free } => self.set_window(&agent, free),
            Input::Offered { agent, offer } => return self.offered(&agent, offer),
            Input::Withdrawn { agent, offer } => {
                self.in_room(offer.room(), |room, cx| room.withdraw(cx, &agent, &offer));
            }
            Input::Disconnected {
                agent,
                why,
                gives_back,
            } => self.disconnected(&agent, why, gives_back),
            Input::SessionEnded { agent } => self.session_ended(&agent),
            Input::Command(command) => {
                let (verdict, reply) = self.command(&command, mailboxes, false);
                if let Some(reply) = reply {
                    let Command {
                        from,
                        topic,
                        mirrors,
                        ..
                    } = command;
                    replies::send(&mut self.cx, from, topic.room, mirrors.reply_rest, reply);
                }
                return verdict;
            }
            Input::Ask(command) => {
                let (verdict, reply) = self.command(&command, mailboxes, true);
                self.answer = reply.map(|reply| self.cx.wall.show(reply));
                return verdict;
            }
            Input::Refused {
                from,
                room,
                command,
                rejection,
            } => {
                self.cx.stats.commands += 1;
                self.cx.stats.refusals.count(rejection.code);
                let reply = Reply::rejected(&command, rejection);
                replies::send(&mut self.cx, from, room, None, reply);
            }
            Input::TooLarge { agent, class } => self.take_back_too_large(&agent, &class),
            Input::ClockStepped { by, ahead } => self.clock_stepped(by, ahead),
            Input::Settings(settings) => self.reconfigure(*settings),
            Input::Tick => {}
        }
        Ok(())
    }

    /// The next thing to be done, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.cx.next_effect();
        if let Some(Effect::Event(event)) = &effect {
            let (from, to) = (event.from.as_deref(), event.to.as_deref());
            let what = &event.what;
            debug_assert!(
                is_known(what, from, to),
                "no table has {what} from {from:?} to {to:?}"
            );
        }
        effect
    }

    /// When to call `handle` with [`Input::Tick`] at the latest, and why.
    pub fn poll_timeout(&self) -> Option<(Millis, Timer)> {
        self.cx.timers.next()
    }

    /// Shows every agent whose presence looks different from when it was last shown: at the end of
    /// a batch, so that an agent which takes and finishes a hundred tasks in it is shown once.
    pub fn flush(&mut self) {
        for name in self.cx.touched.clone() {
            if let Some(room) = self.rooms.get_mut(&name) {
                self.cx.enter(&name);
                room.flush(&mut self.cx);
            }
        }
    }

    /// Every record that changed since the last call, each once: `None` deletes. Flushes first;
    /// effects of that come out of the next `poll_effect`. Rooms that nobody is in and that
    /// remember nothing are forgotten with it, but for their counters.
    pub fn drain_records(&mut self, put: Put<'_>) {
        self.flush();
        let mut heads = BTreeMap::new();
        for name in std::mem::take(&mut self.cx.touched) {
            if let Some(room) = self.rooms.get_mut(&name) {
                room.core.log.is_touched = false;
                if room.is_vacant() {
                    room.core.forget_all_departed();
                }
                room.drain_records(put);
                heads.insert(name.clone(), room.head());
                if room.is_vacant() {
                    self.vacate(name);
                }
            }
        }
        self.vacated.drain_heads(heads, put);
        self.cx.encodings.drain_records(put);
    }

    /// Notes that a room is not there any more, once its last records are out.
    fn vacate(&mut self, name: Room) {
        let Some(mut room) = self.rooms.remove(&name) else {
            return;
        };
        retention::disarm(&mut room, &mut self.cx);
        // Nothing of it is due any more, whether or not it stood still.
        self.cx.timers.go_on(&name);
        self.cx.stats.rooms -= 1;
        let limit = self.cx.settings.rooms.max_vacated_rooms;
        self.vacated.insert(name, room.head(), limit);
        self.cx.stats.vacated_rooms = self.vacated.len();
    }

    /// Tells those who observe that times which are shown have moved, and durations have not.
    fn clock_stepped(&mut self, by: i64, ahead: i64) {
        self.set_wall(ahead);
        let gateway = self.cx.gateway.clone();
        let stepped = RoomEvent {
            detail: Detail {
                by_ms: Some(by),
                ..Detail::default()
            },
            ..RoomEvent::new("clock.stepped", gateway.as_str(), &gateway)
        };
        for room in self.rooms.values_mut().filter(|room| !room.is_vacant()) {
            room.core.log.record_event(&mut self.cx, &stepped);
        }
    }

    /// Puts other settings in force, and sees to what follows from them in each room.
    fn reconfigure(&mut self, settings: Settings) {
        let names: Vec<Room> = self.rooms.keys().cloned().collect();
        let before: Vec<Before> = names
            .iter()
            .map(|name| Before::of(&self.cx, name))
            .collect();
        self.cx.set_settings(settings);
        for (name, before) in names.iter().zip(before) {
            self.in_room(name, |room, cx| before.give_way(room, cx));
        }
    }

    fn run_timers(&mut self) {
        let mut rooms: Vec<Room> = Vec::new();
        for _ in 0..TIMERS_AT_ONCE {
            let Some((timer, subject)) = self.cx.timers.pop_due(self.cx.now) else {
                break;
            };
            if let TimerSubject::Agent(agent) = &subject {
                self.grace_over(agent);
            }
            let Some(name) = subject.room().cloned() else {
                continue;
            };
            if let Some(room) = self.rooms.get_mut(&name) {
                self.cx.enter(&name);
                room.timer(&mut self.cx, timer, &subject);
            }
            if rooms.last() != Some(&name) {
                rooms.push(name);
            }
        }
        // Only now, so that of the tasks that come due together the most urgent goes first.
        for room in rooms {
            self.in_room(&room, |_, _| ());
        }
    }

    fn offered(&mut self, agent: &Agent, offer: Offer) -> Verdict {
        let offered = self.in_new_room(&offer.room().clone(), |room, cx| {
            room.offer(cx, agent, offer)
        });
        offered.map_err(|rejection| rejection.code)
    }

    /// Carries a command out: how it ended, and what is to be answered, if anything. Of one that is
    /// asked from within the process it is not noted in which encoding its agent speaks.
    fn command(
        &mut self,
        command: &Command,
        mailboxes: &dyn Mailboxes,
        is_asked: bool,
    ) -> (Verdict, Option<Reply>) {
        self.cx.stats.commands += 1;
        let limit = self.cx.settings.rooms.max_encodings;
        let mut unnoted = Encodings::default();
        let encodings = if is_asked {
            &mut unnoted
        } else {
            &mut self.cx.encodings
        };
        let (command, unread) = encoding::decode(encodings, limit, command);
        let mut call = replies::Call::new(&command, mailboxes, unread, is_asked);
        let outcome = self.in_new_room(&command.topic.room, |room, cx| room.command(cx, &mut call));
        let most = self.takes(call.from().as_str(), command.topic.room.as_str());
        let outcome = fit(&self.cx, most, &call, outcome);
        let verdict = match &outcome {
            Ok(_) => Ok(()),
            Err(rejection) => Err(rejection.code),
        };
        if let Err(code) = verdict {
            self.cx.stats.refusals.count(code);
            self.refusal = outcome.as_ref().err().map(Rejection::in_words);
            call.read_remains(&self.cx.settings);
        }
        (verdict, replies::answer(call, outcome))
    }

    /// Acts in a room, if it exists, then lets work that was freed find its workers.
    fn in_room(&mut self, name: &Room, act: impl FnOnce(&mut RoomState, &mut Context)) {
        self.cx.enter(name);
        if let Some(room) = self.rooms.get_mut(name) {
            act(room, &mut self.cx);
            room.settle(&mut self.cx);
            retention::arm(room, &mut self.cx);
        }
    }

    /// Acts in a room that comes into being by it, unless it only refuses.
    fn in_new_room<T>(
        &mut self,
        name: &Room,
        act: impl FnOnce(&mut RoomState, &mut Context) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        self.cx.enter(name);
        let limit = self.cx.settings.rooms.max_rooms;
        let is_full = self.rooms.len() >= limit;
        if !self.cx.may_exist(name) {
            let reason = format!("there is no room {name}, and none comes into being by its use");
            return Err(Rejection::new(Code::NotFound, reason));
        }
        let Some(room) = self.rooms.get_mut(name) else {
            if is_full {
                let reason = format!("the gateway has its {limit} rooms");
                return Err(Rejection::new(Code::TooMany, reason));
            }
            return self.open_room(name, act);
        };
        let acted = act(room, &mut self.cx);
        room.settle(&mut self.cx);
        retention::arm(room, &mut self.cx);
        acted
    }

    fn open_room<T>(
        &mut self,
        name: &Room,
        act: impl FnOnce(&mut RoomState, &mut Context) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        let mut room = RoomState::new(name.clone());
        room.go_on(&self.vacated.start_of(name));
        let start = room.head();
        let acted = act(&mut room, &mut self.cx);
        if room.head() == start {
            // It only refused.
            self.cx.touched.retain(|touched| touched != name);
            return acted;
        }
        self.vacated.remove(name);
        self.cx.stats.vacated_rooms = self.vacated.len();
        room.settle(&mut self.cx);
        retention::arm(&mut room, &mut self.cx);
        self.rooms.insert(name.clone(), room);
        self.cx.stats.rooms += 1;
        acted
    }
}

/// Whether there is a row that an event tells of, or it tells of none by right.
fn is_known(what: &str, from: Option<&str>, to: Option<&str>) -> bool {
    OTHER_EVENTS.contains(&what)
        || MACHINES
            .iter()
            .any(|machine| machine.row(what, from, to).is_some())
}

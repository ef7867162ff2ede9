//! The engine: all coordination, pure and deterministic.
//!
//! It owns the rooms: agents, tasks, keys, approvals, and the state machine of each pattern. It has no clock, no
//! randomness, no I/O and never iterates over a hash map: the same inputs at the same times give the same outputs.
//! The desk drives it:
//!
//! 1. [`Engine::handle`] with the time and an input, which returns the verdict on a command;
//! 2. [`Engine::poll_effect`] until it is empty, after every `handle`: what is to be delivered, retained, announced. Mailboxes must
//!    show what was delivered before the next `handle`;
//! 3. at the end of a batch, [`Engine::flush`] and `poll_effect` again: presences that changed, each shown once per batch;
//! 4. then [`Engine::drain_records`]: what must be on disk before any of those effects leaves;
//! 5. [`Engine::poll_timeout`] says when to call `handle` with [`Input::Tick`], and why.
//!
//! After a restart: [`Engine::recover`] with a fresh seed, then [`Input::Recovered`], then as above.
//!
//! What the desk owes the engine's directed messages: assignments, results and decisions always fit. The engine admits a task, an
//! approval or an inbox message only while [`Mailboxes`] shows more room than is promised already, and a worker's assignments
//! are bounded by its capacity.

mod approve;
mod blackboard;
mod closing;
mod context;
mod digest;
mod encoding;
mod event;
mod fit;
mod handoff;
mod inbox;
mod keep;
mod machine;
mod mailbox;
mod member;
mod observe;
mod outcomes;
mod past;
mod presence;
mod reconfigure;
mod record;
mod recover;
mod refusal;
mod replies;
mod roll;
mod room;
mod session;
mod settings;
mod shown;
mod stats;
mod timer;
mod tools;
mod vacated;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::wire::Millis;
use crate::wire::mirror::{CommandMirrors, MessageMirrors};
use crate::wire::name::{Agent, ApprovalId, CallId, Room, TaskId};
use crate::wire::observe::Event;
use crate::wire::reply::{Code, Rejection, Reply};
use crate::wire::topic::{Offer, RoomTopic};

use context::Context;
use room::RoomState;
use timer::Subject;
use vacated::Vacated;

pub use blackboard::KeySchemas;
pub use machine::{MACHINES, Machine, OTHER_EVENTS, Transition};
pub use mailbox::{Mailboxes, VisitMail};
pub use past::{Forgetful, Kept, NoPast, Past, Recall, Recalled};
pub use record::{RecordError, RecordProblem};
pub use settings::{CapabilityLimits, RoomSettings, Settings, TypeDefaults};
pub use stats::{Refusals, Spread, Stats, TaskCounts, TaskResults, ToolOutcome, ToolOutcomes};
pub use timer::Timer;

/// What happens to the engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// The first input after `Engine::recover`: nobody is connected, and everyone who was has the reconnect grace from now. No lease
    /// runs out because the gateway was down: each begins anew, and while its worker is away none ends before the grace does. A
    /// worker that comes back in time has a whole lease from then, which may end sooner.
    Recovered,
    /// An agent's session began (`resumed: false`: whatever its earlier session offered is gone) or goes on.
    Connected {
        /// The agent.
        agent: Agent,
        /// Whether its subscriptions still stand.
        resumed: bool,
        /// Whether the session outlives its connection: if it does, the agent is `offline` after the grace; if not, it is gone.
        durable: bool,
        /// How many messages it can be sent before it has to acknowledge one.
        window: u32,
    },
    /// Assignments are on their way to their worker on its present connection, for the first time or once more. The lease of one begins
    /// with the first time, not when it was put into the mailbox.
    Sent {
        /// The worker.
        agent: Agent,
        /// Which.
        assignments: Vec<AssignmentKey>,
    },
    /// How many messages an agent can be sent now before it has to acknowledge one: told when the engine would give it more than
    /// that, or may give it more again.
    Window {
        /// The agent.
        agent: Agent,
        /// How many.
        free: u32,
    },
    /// A subscription that names a room was made.
    Offered {
        /// Who subscribed.
        agent: Agent,
        /// What the filter says.
        offer: Offer,
    },
    /// The last subscription that made this offer is gone.
    Withdrawn {
        /// Who unsubscribed.
        agent: Agent,
        /// What is no longer offered.
        offer: Offer,
    },
    /// The connection is gone: the reconnect grace begins. Offers of a session that ends with its connection (clean) count as
    /// standing until the grace is over or the agent connects anew.
    Disconnected {
        /// The agent.
        agent: Agent,
        /// Why, in words for the event; empty where nobody knows.
        why: &'static str,
        /// Whether it said DISCONNECT in good order and its session ends with that: it gives back the tasks that it has.
        gives_back: bool,
    },
    /// The session is gone for good (it expired, or an operator ended it): no grace.
    SessionEnded {
        /// The agent.
        agent: Agent,
    },
    /// A client published on a command topic; the writer has been checked.
    Command(Command),
    /// A publish was refused before it reached the engine; the writer gets its `rejected` reply in the room, if it can.
    Refused {
        /// Who published.
        from: Agent,
        /// Where the reply goes.
        room: Room,
        /// The topic below the room, shortened.
        command: String,
        /// Why.
        rejection: Rejection,
    },
    /// A message was dropped before it was sent: it is larger than its reader takes by now. An assignment or a run goes to somebody else.
    TooLarge {
        /// Whose it was.
        agent: Agent,
        /// What it was.
        class: Class,
    },
    /// The wall clock was set by so many milliseconds and is `ahead` of the timeline now. Nothing is due earlier or later by it; what
    /// is shown from now on, and is asked for by time, is of the clock as it is now.
    ClockStepped {
        /// By how much.
        by: i64,
        /// Where it is now.
        ahead: i64,
    },
    /// From now on other settings hold. What is there stays, however much it is by a lower limit.
    Settings(Box<Settings>),
    /// Time passed.
    Tick,
}

/// A command as it came.
#[derive(Debug, Clone)]
pub struct Command {
    /// The session's agent id, equal to the `{me}` of the topic.
    pub from: Agent,
    /// The topic.
    pub topic: RoomTopic,
    /// JSON or CBOR; of an inbox message anything.
    pub payload: Bytes,
    /// What its MQTT 5 properties say, used where the payload does not.
    pub mirrors: CommandMirrors,
}

/// What the engine wants done once the records that justify it are on disk.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Put a message of the gateway's into an agent's mailbox.
    Deliver(Directed),
    /// Put the inbox message that is being handled into `to`'s mailbox, as it is.
    Relay {
        /// The recipient.
        to: Agent,
        /// When it may be dropped undelivered.
        expires_at: Millis,
    },
    /// Take an assignment or a run back out of a mailbox, if it has not been acknowledged yet.
    Revoke {
        /// Whose mailbox.
        agent: Agent,
        /// Which: a class that [is unique](Class::is_unique).
        class: Class,
    },
    /// Take messages out of a mailbox that have not been sent on the present connection.
    Discard {
        /// Whose mailbox.
        agent: Agent,
        /// Which.
        seqs: Vec<u64>,
    },
    /// Set (or with `None` clear) a retained message of the gateway's, and tell everyone who listens.
    Retain {
        /// Where.
        topic: RoomTopic,
        /// JSON or CBOR, as the room has it; `None` clears.
        payload: Option<Bytes>,
    },
    /// Tell everyone who observes: goes to `observe/events/gateway/{category}`.
    Event(Event),
}

/// Which assignment: a mailbox never holds the same one twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssignmentKey {
    /// The room.
    pub room: Room,
    /// The task.
    pub task: TaskId,
    /// The fencing token.
    pub attempt: u32,
}

/// Which run of a tool: a mailbox never holds the same one twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey {
    /// The room.
    pub room: Room,
    /// The call.
    pub call: CallId,
    /// How many providers have lost it before.
    pub turn: u32,
}

/// What kind of directed message, for the mailbox's limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// `handoff/work`; already waiting under the same key means nothing to do.
    Assignment(AssignmentKey),
    /// `tools/run`; already waiting under the same key means nothing to do.
    Run(RunKey),
    /// `handoff/result`.
    Result,
    /// `tools/result`.
    ToolResult,
    /// `approve/decision`.
    Decision(ApprovalId),
    /// `reply` to what was accepted: the oldest give way when too many wait.
    Reply,
    /// `reply` that refuses: gives way to none but others, and is summed up then.
    Refusal,
    /// `tools/cancelled`: gives way among replies.
    Notice,
}

impl Class {
    /// Whether a place is kept for it from when its recipient was told that it will come: results and decisions.
    pub fn is_promised(&self) -> bool {
        matches!(self, Class::Result | Class::ToolResult | Class::Decision(_))
    }

    /// Whether it is a reply, or counts as one: those give way to newer ones.
    pub fn is_reply(&self) -> bool {
        matches!(self, Class::Reply | Class::Refusal | Class::Notice)
    }

    /// Whether a mailbox never holds two of it: its key says which attempt or turn it is.
    pub fn is_unique(&self) -> bool {
        matches!(self, Class::Assignment(_) | Class::Run(_))
    }
}

/// A message of the gateway's for one agent.
#[derive(Debug, Clone)]
pub struct Directed {
    /// The recipient.
    pub to: Agent,
    /// The topic that it arrives on.
    pub topic: RoomTopic,
    /// JSON or CBOR, as the recipient has it.
    pub payload: Bytes,
    /// Which kind.
    pub class: Class,
    /// What its MQTT 5 properties say.
    pub mirrors: MessageMirrors,
}

/// How a command ended, for the MQTT 5 reason code of its ack; the words are in the reply.
pub type Verdict = Result<(), Code>;

/// How many timers one `handle` runs at most; the rest are due at once again.
const TIMERS_AT_ONCE: usize = 1_000;

/// The engine. See the module for how it is driven.
#[derive(Debug)]
pub struct Engine {
    cx: Context,
    rooms: BTreeMap<Room, RoomState>,
    vacated: Vacated,
    refusal: Option<Rejection>,
}

impl Engine {
    /// An engine without rooms. The seed feeds the ids that it mints; it must differ from that of every earlier run on the
    /// same data.
    pub fn new(settings: Settings, seed: u64) -> Engine {
        Engine {
            cx: Context::new(settings, seed),
            rooms: BTreeMap::new(),
            vacated: Vacated::default(),
            refusal: None,
        }
    }

    /// Takes an input at a time, which never goes back: an earlier one counts as the latest there was. Timers that are due by then
    /// run first.
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
            Input::Command(command) => return self.command(&command, mailboxes),
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
        self.cx.next_effect()
    }

    /// When to call `handle` with [`Input::Tick`] at the latest, and why.
    pub fn poll_timeout(&self) -> Option<(Millis, Timer)> {
        self.cx.timers.next()
    }

    /// Shows every agent whose presence looks different from when it was last shown: at the end of a batch, so that an agent which takes
    /// and finishes a hundred tasks in it is shown once.
    pub fn flush(&mut self) {
        for name in self.cx.touched.clone() {
            if let Some(room) = self.rooms.get_mut(&name) {
                self.cx.enter(&name);
                room.flush_presence(&mut self.cx);
                room.flush_cards(&mut self.cx);
            }
        }
    }

    /// Every record that changed since the last call, each once: `None` deletes. Flushes first; effects of that come out of the next
    /// `poll_effect`. Rooms that nobody is in and that remember nothing are forgotten with it, but for their counters.
    pub fn drain_records(&mut self, put: &mut dyn FnMut(Vec<u8>, Option<Vec<u8>>)) {
        self.flush();
        let mut heads = BTreeMap::new();
        for name in std::mem::take(&mut self.cx.touched) {
            if let Some(room) = self.rooms.get_mut(&name) {
                room.log.is_touched = false;
                if room.is_vacant() {
                    room.forget_all_departed();
                }
                room.drain_records(put);
                heads.insert(name.clone(), room.head());
                if room.is_vacant() {
                    self.vacate(name);
                }
            }
        }
        self.drain_heads(heads, put);
        self.cx.encodings.drain_records(put);
    }

    /// Numbers for the metrics.
    pub fn stats(&self) -> Stats {
        Stats {
            encodings: self.cx.encodings.len(),
            ..self.cx.stats.clone()
        }
    }

    fn run_timers(&mut self) {
        let mut rooms: Vec<Room> = Vec::new();
        for _ in 0..TIMERS_AT_ONCE {
            let Some((timer, subject)) = self.cx.timers.pop_due(self.cx.now) else {
                break;
            };
            if let Subject::Agent(agent) = &subject {
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

    fn command(&mut self, command: &Command, mailboxes: &dyn Mailboxes) -> Verdict {
        self.cx.stats.commands += 1;
        let (command, unread) = encoding::understand(&mut self.cx, command);
        let mut call = replies::Call::new(&command, mailboxes, unread);
        let outcome = self.in_new_room(&command.topic.room, |room, cx| room.command(cx, &mut call));
        let outcome = self.fit(&call, outcome);
        let verdict = match &outcome {
            Ok(_) => Ok(()),
            Err(rejection) => Err(rejection.code),
        };
        if let Err(code) = verdict {
            self.cx.stats.refusals.count(code);
            self.refusal = outcome.as_ref().err().map(Rejection::in_words);
            call.read_remains(&self.cx.settings);
        }
        replies::answer(&mut self.cx, call, outcome);
        verdict
    }

    /// Acts in a room, if it exists, then lets work that was freed find its workers.
    fn in_room(&mut self, name: &Room, act: impl FnOnce(&mut RoomState, &mut Context)) {
        self.cx.enter(name);
        if let Some(room) = self.rooms.get_mut(name) {
            act(room, &mut self.cx);
            room.settle(&mut self.cx);
            room.arm_retention(&mut self.cx);
        }
    }

    /// Acts in a room that comes into being by it, unless it only refuses.
    fn in_new_room<T>(
        &mut self,
        name: &Room,
        act: impl FnOnce(&mut RoomState, &mut Context) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        self.cx.enter(name);
        let limit = self.cx.settings.max_rooms;
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
        room.arm_retention(&mut self.cx);
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
        room.arm_retention(&mut self.cx);
        self.rooms.insert(name.clone(), room);
        self.cx.stats.rooms += 1;
        acted
    }
}

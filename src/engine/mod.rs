//! The engine: all coordination, pure and deterministic.
//!
//! It owns the rooms: agents, tasks, keys, approvals, and the state machine of each pattern. It has no clock, no
//! randomness, no I/O and never iterates over a hash map: the same inputs at the same times give the same outputs.
//! The desk drives it:
//!
//! 1. `Engine::handle` with the time and an input, which returns the verdict on a command;
//! 2. `Engine::poll_effect` until it is empty: what is to be delivered, retained, announced;
//! 3. before a batch is sealed, `Engine::drain_records`: what must be on disk before any of those effects leaves;
//! 4. `Engine::poll_timeout` says when to call `handle` with [`Input::Tick`], and why.

use bytes::Bytes;

use crate::wire::Millis;
use crate::wire::name::{Agent, ApprovalId, Key, Room, TaskId};
use crate::wire::observe::Event;
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{Offer, RoomTopic};

/// What happens to the engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// The first input after `Engine::recover`: nobody is connected, everyone who was has the reconnect grace from now,
    /// and leases run at least until its end.
    Recovered,
    /// An agent's session began (`resumed: false`: whatever its earlier session offered is gone) or goes on.
    Connected {
        /// The agent.
        agent: Agent,
        /// Whether its subscriptions still stand.
        resumed: bool,
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
        /// Whether the session outlives the connection.
        session_continues: bool,
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
    /// JSON.
    pub payload: Bytes,
    /// MQTT 5 Correlation Data as text, used where the payload has no `correlationId`.
    pub correlation_id: Option<String>,
    /// What the MQTT 5 Response Topic appends to the writer's own `reply/{me}`.
    pub reply_rest: Option<Key>,
    /// MQTT 5 Message Expiry in milliseconds, used where the payload has no `ttlMs`.
    pub ttl_ms: Option<u64>,
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
    /// Take an assignment back out of a mailbox, if it has not been acknowledged yet.
    Revoke {
        /// Whose mailbox.
        agent: Agent,
        /// Which assignment.
        assignment: AssignmentKey,
    },
    /// Set (or with `None` clear) a retained message of the gateway's, and tell everyone who listens.
    Retain {
        /// Where.
        topic: RoomTopic,
        /// JSON; `None` clears.
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

/// What kind of directed message, for the mailbox's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// `handoff/work`; already waiting under the same key means nothing to do.
    Assignment(AssignmentKey),
    /// `handoff/result`.
    Result,
    /// `approve/decision`.
    Decision(ApprovalId),
    /// `reply`: the oldest give way when too many wait.
    Reply,
}

/// A message of the gateway's for one agent.
#[derive(Debug, Clone)]
pub struct Directed {
    /// The recipient.
    pub to: Agent,
    /// The topic that it arrives on.
    pub topic: RoomTopic,
    /// JSON.
    pub payload: Bytes,
    /// Which kind.
    pub class: Class,
    /// Mirrored as MQTT 5 Correlation Data.
    pub correlation_id: Option<String>,
    /// When it may be dropped undelivered.
    pub expires_at: Option<Millis>,
}

/// How a command ended, for the MQTT 5 reason code of its ack; the words are in the reply.
pub type Verdict = Result<(), Code>;

/// How much room an agent's mailbox has; the desk keeps the mailboxes and tells.
pub trait Mailboxes {
    /// Directed messages (replies aside) that still fit.
    fn free_messages(&self, agent: &Agent) -> usize;
    /// Bytes that still fit.
    fn free_bytes(&self, agent: &Agent) -> usize;
}

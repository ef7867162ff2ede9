//! What the engine is told, and what it says of it at once.

use std::sync::Arc;

use bytes::Bytes;

use crate::wire::mirror::CommandMirrors;
use crate::wire::name::{Agent, Room};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{Offer, RoomTopic};

use super::effect::DirectedKind;
use super::ids::AssignmentKey;
use super::settings::Settings;

/// What happens to the engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// The first input after `Engine::recover`: nobody is connected, and everyone who was has the
    /// reconnect grace from now. No lease runs out because the gateway was down: each begins anew,
    /// and while its worker is away none ends before the grace does. A worker that comes back in
    /// time has a whole lease from then, which may end sooner.
    Recovered,
    /// An agent's session began (`resumed: false`: whatever its earlier session offered is gone) or
    /// goes on.
    Connected {
        /// The agent.
        agent: Agent,
        /// Whether its subscriptions still stand.
        resumed: bool,
        /// Whether the session outlives its connection: if it does, the agent is `offline` after
        /// the grace; if not, it is gone.
        durable: bool,
        /// How many messages it can be sent before it has to acknowledge one.
        window: u32,
    },
    /// Assignments are on their way to their worker on its present connection, for the first time
    /// or once more. The lease of one begins with the first time, not when it was put into the
    /// mailbox.
    Sent {
        /// The worker.
        agent: Agent,
        /// Which.
        assignments: Vec<AssignmentKey>,
    },
    /// How many messages an agent can be sent now before it has to acknowledge one: told when the
    /// engine would give it more than that, or may give it more again.
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
    /// The connection is gone: the reconnect grace begins. Offers of a session that ends with its
    /// connection (clean) count as standing until the grace is over or the agent connects anew.
    Disconnected {
        /// The agent.
        agent: Agent,
        /// Why, in words for the event; empty where nobody knows.
        why: &'static str,
        /// Whether it said DISCONNECT in good order and its session ends with that: it gives back
        /// the tasks that it has.
        gives_back: bool,
    },
    /// The session is gone for good (it expired, or an operator ended it): no grace.
    SessionEnded {
        /// The agent.
        agent: Agent,
    },
    /// A client published on a command topic; the writer has been checked.
    Command(Command),
    /// The same of a caller within the process. It is answered in any case, and to the caller
    /// alone, in JSON: see [`Engine::take_answer`](super::Engine::take_answer). What comes later
    /// goes to the agent's mailbox as ever: results, decisions, and that a lock was got which the
    /// answer says is waited for (202).
    Ask(Command),
    /// A publish was refused before it reached the engine; the writer gets its `rejected` reply in
    /// the room, if it can.
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
    /// A message was dropped before it was sent: it is larger than its reader takes by now. An
    /// assignment or a run goes to somebody else.
    TooLarge {
        /// Whose it was.
        agent: Agent,
        /// What it was.
        class: DirectedKind,
    },
    /// The wall clock was set by so many milliseconds and is `ahead` of the timeline now. Nothing
    /// is due earlier or later by it; what is shown from now on, and is asked for by time, is of
    /// the clock as it is now.
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
    /// The user behind it, where users are known.
    pub user: Option<Arc<str>>,
    /// The topic.
    pub topic: RoomTopic,
    /// JSON or CBOR; of an inbox message anything.
    pub payload: Bytes,
    /// What its MQTT 5 properties say, used where the payload does not.
    pub mirrors: CommandMirrors,
}

/// How a command ended, for the MQTT 5 reason code of its ack; the words are in the reply.
pub type Verdict = Result<(), Code>;

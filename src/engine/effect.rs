//! What the engine wants done.

use bytes::Bytes;

use crate::wire::Millis;
use crate::wire::mirror::MessageMirrors;
use crate::wire::name::{Agent, ApprovalId};
use crate::wire::observe::Event;
use crate::wire::topic::RoomTopic;

use super::ids::{AssignmentKey, RunKey};

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
        /// Which: a class that [is unique](DirectedKind::is_unique).
        class: DirectedKind,
    },
    /// Take messages out of a mailbox that have not been sent on the present connection.
    Discard {
        /// Whose mailbox.
        agent: Agent,
        /// Which.
        seqs: Vec<u64>,
    },
    /// Set (or with `None` clear) a retained message of the gateway's, and tell everyone who
    /// listens.
    Retain {
        /// Where.
        topic: RoomTopic,
        /// JSON or CBOR, as the room has it; `None` clears.
        payload: Option<Bytes>,
    },
    /// Tell everyone who observes: goes to `observe/events/gateway/{category}`.
    Event(Event),
}

/// What kind of directed message, for the mailbox's limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DirectedKind {
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

impl DirectedKind {
    /// Whether a place is kept for it from when its recipient was told that it will come: results
    /// and decisions.
    pub fn is_promised(&self) -> bool {
        matches!(
            self,
            DirectedKind::Result | DirectedKind::ToolResult | DirectedKind::Decision(_)
        )
    }

    /// Whether it is a reply, or counts as one: those give way to newer ones.
    pub fn is_reply(&self) -> bool {
        matches!(
            self,
            DirectedKind::Reply | DirectedKind::Refusal | DirectedKind::Notice
        )
    }

    /// Whether a mailbox never holds two of it: its key says which attempt or turn it is.
    pub fn is_unique(&self) -> bool {
        matches!(self, DirectedKind::Assignment(_) | DirectedKind::Run(_))
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
    pub class: DirectedKind,
    /// What its MQTT 5 properties say.
    pub mirrors: MessageMirrors,
}

//! What the desk keeps and the engine may ask about.

use std::ops::ControlFlow;

use crate::wire::mailbox::Mail;
use crate::wire::name::{Agent, Room};
use crate::wire::topic::RoomTopic;

use super::effect::DirectedKind;
use super::event_log::{NoPast, Past};

/// Sees a message that waits; breaking ends the visit.
pub type VisitMail<'a> = &'a mut (dyn FnMut(Mail) -> ControlFlow<()> + 'a);

/// What the desk keeps and the engine may ask about: how much room an agent's mailbox has, and what
/// happened before.
pub trait Mailboxes {
    /// Directed messages (replies, and what [is promised](DirectedKind::is_promised), aside) that
    /// still fit.
    fn free_messages(&self, agent: &Agent) -> usize;
    /// Bytes of them that still fit.
    fn free_bytes(&self, agent: &Agent) -> usize;
    /// Messages that [are promised](DirectedKind::is_promised) of which there may be more, those
    /// included that are promised by now.
    fn free_results(&self, agent: &Agent) -> usize;
    /// Bytes of them that still fit.
    fn free_result_bytes(&self, agent: &Agent) -> usize;
    /// Bytes that the gateway may store for all agents together.
    fn free_memory(&self) -> usize {
        usize::MAX
    }
    /// Whether an assignment or a run waits for an agent, or for its acknowledgement: a class that
    /// [is unique](DirectedKind::is_unique).
    fn holds(&self, _agent: &Agent, _class: &DirectedKind) -> bool {
        false
    }
    /// Whether an agent may be sent what is published on a topic.
    fn may_receive(&self, _agent: &Agent, _topic: &RoomTopic) -> bool {
        true
    }
    /// Visits what waits for an agent from a room, from behind a message on, oldest first, until
    /// `visit` breaks.
    fn mail(&self, _agent: &Agent, _room: &Room, _after: u64, _visit: VisitMail<'_>) {}
    /// The events that were told before; nothing, where nobody keeps them.
    fn past(&self) -> &dyn Past {
        &NoPast
    }
}

//! What a message in an outbox is for, which decides how long it stays and who may take it over.

use std::sync::Arc;

use crate::engine::DirectedKind;
use crate::wire::message::Qos;

/// What an entry is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxKind {
    /// A broadcast that a subscription wants at this QoS; goes with the session.
    Queued {
        /// The effective QoS.
        qos: Qos,
        /// The retain flag to show.
        retain: bool,
        /// MQTT 5 identifiers of the subscriptions that it matches.
        subscription_ids: Vec<u32>,
        /// The shared subscription, `$share/…`, that it came to this client by: another member
        /// inherits it.
        share: Option<Arc<str>>,
    },
    /// A message of the gateway's for this agent.
    Directed(DirectedKind),
    /// Another agent's message for this agent.
    Inbox,
    /// A reply: what is left of refusals that had to give way. Of those that were not sent there is
    /// one for each room.
    Summary,
}

impl OutboxKind {
    /// Whether it stays when the session ends.
    pub fn is_directed(&self) -> bool {
        !matches!(self, OutboxKind::Queued { .. })
    }

    /// The shared subscription that it came by.
    pub fn share(&self) -> Option<&Arc<str>> {
        match self {
            OutboxKind::Queued { share, .. } => share.as_ref(),
            _ => None,
        }
    }

    /// Its class, if an outbox never holds a second one of it.
    pub fn unique(&self) -> Option<&DirectedKind> {
        match self {
            OutboxKind::Directed(class) if class.is_unique() => Some(class),
            _ => None,
        }
    }

    /// Whether only a subscription to just its topic takes it: work and tools' runs are for those
    /// who offer them.
    pub fn is_for_exact_topic(&self) -> bool {
        matches!(
            self,
            OutboxKind::Directed(DirectedKind::Assignment(_) | DirectedKind::Run(_))
        )
    }

    /// Whether a place was kept for it: such do not count among the others.
    pub fn is_promised(&self) -> bool {
        matches!(self, OutboxKind::Directed(class) if class.is_promised())
    }

    /// Whether it is a reply, or a notice that counts as one: those give way to newer ones.
    pub fn is_reply(&self) -> bool {
        match self {
            OutboxKind::Directed(class) => class.is_reply(),
            OutboxKind::Summary => true,
            OutboxKind::Queued { .. } | OutboxKind::Inbox => false,
        }
    }
}

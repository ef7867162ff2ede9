//! Mailboxes as the engine sees them, and through it an operator: what waits, and how much more
//! may.

use std::ops::ControlFlow;

use super::clients::Clients;
use super::journal::Journal;
use super::outbox::OutboxEntry;
use super::outbox_kind::OutboxKind;
use crate::engine::{DirectedKind, Mailboxes, Past, VisitMail};
use crate::wire::mailbox::{Mail, MailKind};
use crate::wire::name::{Agent, Room};
use crate::wire::topic::{RoomTopic, below_room};

/// What the engine may see of the desk.
pub(super) struct EngineView<'a> {
    pub root: &'a str,
    pub clients: &'a Clients,
    pub journal: &'a Journal,
}

impl Mailboxes for EngineView<'_> {
    fn free_messages(&self, agent: &Agent) -> usize {
        self.clients.free_messages(agent)
    }

    fn free_bytes(&self, agent: &Agent) -> usize {
        self.clients.free_bytes(agent)
    }

    fn free_results(&self, agent: &Agent) -> usize {
        self.clients.free_results(agent)
    }

    fn free_result_bytes(&self, agent: &Agent) -> usize {
        self.clients.free_result_bytes(agent)
    }

    fn free_memory(&self) -> usize {
        self.clients.free_memory()
    }

    fn holds(&self, agent: &Agent, class: &DirectedKind) -> bool {
        let client = self.clients.get(agent.as_str());
        client.is_some_and(|client| client.outbox.find(class).is_some())
    }

    fn may_receive(&self, agent: &Agent, topic: &RoomTopic) -> bool {
        let client = self.clients.get(agent.as_str());
        let topic = topic.format(self.root);
        // Whoever is not connected asks through a caller of this process, which has its own rights.
        client.is_none_or(|client| !client.state.is_connected() || client.may_receive_now(&topic))
    }

    fn mail(&self, agent: &Agent, room: &Room, after: u64, visit: VisitMail<'_>) {
        visit_mail(self.clients, self.root, agent, room, after, visit);
    }

    fn past(&self) -> &dyn Past {
        self.journal
    }
}

/// Shows what waits for an agent from a room.
fn visit_mail(
    clients: &Clients,
    root: &str,
    agent: &Agent,
    room: &Room,
    after: u64,
    visit: VisitMail<'_>,
) {
    let Some(client) = clients.get(agent.as_str()) else {
        return;
    };
    for (seq, entry, sent) in client.outbox.directed_after(after) {
        let topic = entry.message.topic();
        let is_of_room = below_room(root, topic).is_some_and(|(of, _)| of == room.as_str());
        let Some(kind) = kind_of(entry).filter(|_| is_of_room) else {
            continue;
        };
        let expires_at = entry.message.expires_at();
        let mail = Mail {
            seq,
            kind,
            topic: topic.to_owned(),
            bytes: entry.message.payload().len(),
            expires_at: (expires_at != 0).then_some(expires_at),
            sent,
        };
        if visit(mail) == ControlFlow::Break(()) {
            return;
        }
    }
}

fn kind_of(entry: &OutboxEntry) -> Option<MailKind> {
    Some(match &entry.kind {
        OutboxKind::Queued { .. } => return None,
        OutboxKind::Inbox => MailKind::Inbox,
        OutboxKind::Directed(DirectedKind::Assignment(_) | DirectedKind::Run(_)) => {
            MailKind::Assignment
        }
        OutboxKind::Directed(DirectedKind::Result | DirectedKind::ToolResult) => MailKind::Result,
        OutboxKind::Directed(DirectedKind::Decision(_)) => MailKind::Decision,
        OutboxKind::Directed(
            DirectedKind::Reply | DirectedKind::Refusal | DirectedKind::Notice,
        )
        | OutboxKind::Summary => MailKind::Reply,
    })
}

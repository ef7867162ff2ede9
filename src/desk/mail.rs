//! Mailboxes as an operator sees them: what waits, and taking some of it out.

use std::ops::ControlFlow;

use super::clients::Clients;
use super::core::Desk;
use super::kind::Kind;
use super::outbox::{Entry, Outbox, State};
use crate::engine::{Class, VisitMail};
use crate::wire::Millis;
use crate::wire::mailbox::{Mail, MailKind};
use crate::wire::name::{Agent, Room};
use crate::wire::topic::below_room;

/// Shows what waits for an agent from a room.
pub(super) fn visit(
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

fn kind_of(entry: &Entry) -> Option<MailKind> {
    Some(match &entry.kind {
        Kind::Queued { .. } => return None,
        Kind::Inbox => MailKind::Inbox,
        Kind::Directed(Class::Assignment(_) | Class::Run(_)) => MailKind::Assignment,
        Kind::Directed(Class::Result | Class::ToolResult) => MailKind::Result,
        Kind::Directed(Class::Decision(_)) => MailKind::Decision,
        Kind::Directed(Class::Reply | Class::Refusal | Class::Notice) | Kind::Summary => {
            MailKind::Reply
        }
    })
}

impl State {
    fn waits(self) -> bool {
        matches!(self, State::Ready | State::Parked)
    }
}

impl Outbox {
    /// Directed messages behind a sequence number, oldest first, and whether each is in flight.
    fn directed_after(&self, seq: u64) -> impl Iterator<Item = (u64, &Entry, bool)> {
        let entries = self.entries.range(seq.saturating_add(1)..);
        let directed = entries.filter(|(_, entry)| entry.kind.is_directed());
        directed.map(|(seq, entry)| (*seq, entry, !entry.state.waits()))
    }

    /// Whether it is here and not in flight.
    fn is_idle(&self, seq: u64) -> bool {
        self.entries
            .get(&seq)
            .is_some_and(|entry| entry.state.waits())
    }
}

impl Desk {
    /// Takes messages out of a mailbox. What is in flight stays: it goes with its acknowledgement, as MQTT wants it.
    pub(super) fn discard(&mut self, now: Millis, agent: &Agent, seqs: &[u64]) {
        for seq in seqs {
            let client = self.clients.get(agent.as_str());
            if client.is_some_and(|client| client.outbox.is_idle(*seq)) {
                self.drop_entry(agent.as_str(), *seq);
                self.stats.purged.add_one();
            }
        }
        self.note_lazy_change(now);
        self.forget_if_idle(agent.as_str());
    }
}

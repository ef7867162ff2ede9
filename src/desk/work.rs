//! What the engine is to hear of work on its way: which assignments went out, and how much more a
//! worker can be sent.
//!
//! A worker that acknowledges late, or has other mail in its window, is to be given no more than it
//! can be sent; what waits here is work that nobody does. The engine counts down by itself, and is
//! told only where its count is far from what is true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::clients::Client;
use super::outbox_kind::OutboxKind;
use crate::engine::{AssignmentKey, DirectedKind};
use crate::wire::name::Agent;

/// What the engine has not been told yet.
#[derive(Debug, Default)]
pub(super) struct WorkReports {
    sent: BTreeMap<Agent, Vec<AssignmentKey>>,
    windows: BTreeSet<Arc<str>>,
    /// What was dropped because its reader cannot take it.
    undelivered: Vec<(Agent, DirectedKind)>,
}

impl WorkReports {
    /// A message is on its way on its reader's connection.
    pub(super) fn note_sent(&mut self, id: &str, kind: &OutboxKind) {
        if let OutboxKind::Directed(DirectedKind::Assignment(key)) = kind
            && let Ok(agent) = Agent::new(id)
        {
            self.sent.entry(agent).or_default().push(key.clone());
        }
    }

    /// An assignment was put into a mailbox; if it could not go out at once, the engine has given
    /// more than there is room for.
    pub(super) fn note_assigned(&mut self, client: &mut Client, class: &DirectedKind) {
        let waits = client.outbox.find(class);
        let waits = waits.is_some_and(|seq| client.outbox.waiting(seq).is_some());
        if let Some(connected) = client.state.connected_mut() {
            connected.reported_window = connected.reported_window.saturating_sub(1);
            if waits && connected.reported_window > 0 {
                self.windows.insert(client.id.clone());
            }
        }
    }

    /// There is room in a reader's window again.
    pub(super) fn note_room(&mut self, client: &Client) {
        let Some(connected) = client.state.connected().filter(|_| client.agent.is_some()) else {
            return;
        };
        let (told, window) = (connected.reported_window, connected.window);
        let more = client.outbox.room(window).saturating_sub(told);
        if more > 0 && (told == 0 || more >= window.div_ceil(2)) {
            self.windows.insert(client.id.clone());
        }
    }

    /// Work or a call was dropped, because its reader cannot take it.
    pub(super) fn note_undelivered(&mut self, agent: Agent, class: DirectedKind) {
        self.undelivered.push((agent, class));
    }

    /// Takes one that was dropped.
    pub(super) fn next_undelivered(&mut self) -> Option<(Agent, DirectedKind)> {
        self.undelivered.pop()
    }

    /// Takes the assignments that went out to one agent.
    pub(super) fn next_sent(&mut self) -> Option<(Agent, Vec<AssignmentKey>)> {
        self.sent.pop_first()
    }

    /// Takes a client whose window the engine does not know.
    pub(super) fn next_window(&mut self) -> Option<Arc<str>> {
        self.windows.pop_first()
    }
}

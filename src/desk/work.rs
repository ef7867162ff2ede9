//! What the engine hears of work on its way: which assignments went out, and how much more a worker can be sent.
//!
//! A worker that acknowledges late, or has other mail in its window, is to be given no more than it can be sent; what waits here is
//! work that nobody does. The engine counts down by itself, and is told only where its count is far from what is true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::core::Desk;
use super::kind::Kind;
use crate::engine::{AssignmentKey, Class, Input};
use crate::wire::Millis;
use crate::wire::name::Agent;

/// What has not been told yet.
#[derive(Debug, Default)]
pub(super) struct WorkNews {
    sent: BTreeMap<Agent, Vec<AssignmentKey>>,
    windows: BTreeSet<Arc<str>>,
}

impl Desk {
    /// A message is on its way on its reader's connection.
    pub(super) fn note_sent(&mut self, id: &str, kind: &Kind) {
        if let Kind::Directed(Class::Assignment(key)) = kind
            && let Ok(agent) = Agent::new(id)
        {
            self.work.sent.entry(agent).or_default().push(key.clone());
        }
    }

    /// An assignment was put into a mailbox; if it could not go out at once, the engine has given more than there is room for.
    pub(super) fn note_assigned(&mut self, id: &Arc<str>, class: &Class) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let waits = client.outbox.find(class);
        let waits = waits.is_some_and(|seq| client.outbox.waiting(seq).is_some());
        if let Some(connected) = &mut client.connected {
            connected.told_window = connected.told_window.saturating_sub(1);
            if waits && connected.told_window > 0 {
                self.work.windows.insert(id.clone());
            }
        }
    }

    /// There is room in a reader's window again.
    pub(super) fn note_room(&mut self, id: &Arc<str>) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let Some(connected) = client.connected.as_ref().filter(|_| client.agent.is_some()) else {
            return;
        };
        let (told, window) = (connected.told_window, connected.window);
        let more = client.outbox.room(window).saturating_sub(told);
        if more > 0 && (told == 0 || more >= window.div_ceil(2)) {
            self.work.windows.insert(id.clone());
        }
    }

    /// Tells the engine what it has not heard. Not at once: what it does then sends more, deeper and deeper.
    pub(super) fn tell_of_deliveries(&mut self, now: Millis) {
        loop {
            if let Some((agent, assignments)) = self.work.sent.pop_first() {
                self.feed_lazily(now, Input::Sent { agent, assignments });
            } else if let Some(id) = self.work.windows.pop_first() {
                self.tell_of_window(now, &id);
            } else if self.undelivered.is_empty() {
                return;
            } else {
                self.tell_of_undelivered(now);
            }
        }
    }

    fn tell_of_window(&mut self, now: Millis, id: &str) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let (Some(connected), Some(agent)) = (&mut client.connected, &client.agent) else {
            return;
        };
        let room = client.outbox.room(connected.window);
        connected.told_window = room;
        let (agent, free) = (agent.clone(), u32::try_from(room).unwrap_or(u32::MAX));
        self.feed_lazily(now, Input::Window { agent, free });
    }
}

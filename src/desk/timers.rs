//! Why and when the desk wakes up on its own.
//!
//! A timer whose cause is gone stays where it is, but not for ever: clients who come and go, and
//! messages that are taken long before they expire, would fill the memory with them. What has
//! become pointless is thrown out before it is the greater part.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::clients::Clients;
use super::commits::Commits;
use crate::wire::Millis;

/// Timers among which nobody looks for pointless ones.
const NOT_WORTH_A_LOOK: usize = 1024;

/// What is to be done, once it is time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ClientTimer {
    /// A session without a connection ends.
    SessionExpiry(Arc<str>),
    /// A will has waited long enough for its client.
    Will(Arc<str>),
    /// A message that waits becomes too old.
    MessageExpiry(Arc<str>, u64),
    /// Publishers have waited `slow_consumer_timeout` for a client that does not keep up.
    SlowConsumer(Arc<str>),
    /// A client has waited long enough for SUBACK, because the disk takes nothing.
    SubackTimeout(Arc<str>),
}

/// All timers, the next one first.
#[derive(Debug)]
pub(super) struct ClientTimers {
    due: BTreeSet<(Millis, ClientTimer)>,
    /// The number at which the pointless ones are looked for.
    look_at: usize,
}

impl Default for ClientTimers {
    fn default() -> ClientTimers {
        ClientTimers {
            due: BTreeSet::new(),
            look_at: NOT_WORTH_A_LOOK,
        }
    }
}

impl ClientTimers {
    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes one that is due.
    pub(super) fn take_due(&mut self, now: Millis) -> Option<ClientTimer> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }

    /// Adds one.
    pub(super) fn set(
        &mut self,
        at: Millis,
        timer: ClientTimer,
        clients: &Clients,
        commits: &Commits,
    ) {
        self.due.insert((at, timer));
        if self.due.len() > self.look_at {
            self.due
                .retain(|(at, timer)| has_point(*at, timer, clients, commits));
            self.look_at = (2 * self.due.len()).max(NOT_WORTH_A_LOOK);
        }
    }

    /// How many.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }
}

/// Whether there would be something to do at that time.
fn has_point(at: Millis, timer: &ClientTimer, clients: &Clients, commits: &Commits) -> bool {
    match timer {
        ClientTimer::SessionExpiry(id) => {
            let session = clients.session(id);
            session.is_some_and(|session| session.ends_at() == Some(at))
        }
        ClientTimer::Will(id) => {
            let will = clients.get(id).and_then(|own| own.delayed_will.as_ref());
            will.is_some_and(|(due, _)| *due == at)
        }
        ClientTimer::MessageExpiry(id, seq) => clients
            .get(id)
            .is_some_and(|own| own.outbox.expires(*seq) == Some(at)),
        ClientTimer::SubackTimeout(id) => clients.waits_for_disk(id, commits),
        ClientTimer::SlowConsumer(id) => {
            let connected = clients.connected(id);
            connected.is_some_and(|connected| connected.slow_consumer_deadline == Some(at))
        }
    }
}

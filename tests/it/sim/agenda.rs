//! What is to happen, and when: the virtual clock.

use std::collections::BTreeMap;

use hallward::wire::Millis;

use super::agents::Intent;

/// Numbers participants: the index in the world's list.
pub(super) type Who = usize;

/// Numbers the connections of one participant; what belongs to an earlier one is void.
pub(super) type LinkId = u64;

/// Something that happens to somebody.
#[derive(Debug)]
pub(super) enum Action {
    /// A participant does what it had in mind.
    Wake(Who, Intent),
    /// A packet that a participant sent reaches the gateway.
    Arrive(Who, LinkId, u64),
    /// The gateway's ack for a packet reaches its sender.
    Acked(Who, LinkId, u64),
    /// A letter from the mailbox reaches its reader.
    Deliver(Who, LinkId, u64),
    /// The reader's ack for a letter reaches the gateway.
    Settle(Who, LinkId, u64),
    /// A participant connects.
    Connect(Who),
    /// Its connection breaks.
    HangUp(Who, LinkId),
    /// The session of somebody who is away expires.
    EndSession(Who, LinkId),
    /// The batch is full or old enough.
    Seal,
    /// An operator has it read another configuration.
    Configure,
    /// The gateway dies.
    Crash,
    /// It is started again.
    Restart,
    /// Somebody sets the wall clock.
    SetClock,
}

/// The actions to come, by time and then in the order in which they were planned.
#[derive(Default)]
pub(super) struct Agenda {
    planned: BTreeMap<(Millis, u64), Action>,
    count: u64,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: Millis, action: Action) {
        self.count += 1;
        self.planned.insert((at, self.count), action);
    }

    /// When the next action is due.
    pub(super) fn next_at(&self) -> Option<Millis> {
        self.planned.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn pop(&mut self) -> Option<(Millis, Action)> {
        let ((at, _), action) = self.planned.pop_first()?;
        Some((at, action))
    }
}

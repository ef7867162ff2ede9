//! Send order: which of a client's ready messages goes out next.
//!
//! There are three priorities. Messages that were sent before and not acknowledged come first, in
//! the order in which they were sent. Then come the gateway's own for this agent (assignments,
//! results, decisions, replies), then other agents' mail and broadcasts: nobody waits for an answer
//! behind ten thousand messages. Within a priority the order is first in, first out, and all
//! messages of a topic have the same priority, so that none overtakes another of its topic. This
//! module knows numbers only; `outbox` says what is ready.

use std::collections::BTreeSet;

use super::outbox_kind::OutboxKind;

/// The priority of a message that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendPriority {
    /// Sent before: by its place in the order of sending.
    Resend(u64),
    /// The gateway's own.
    Directed,
    /// Everybody else's.
    Bulk,
}

impl SendPriority {
    /// Of what was not sent before.
    pub(super) fn of(kind: &OutboxKind) -> SendPriority {
        match kind {
            OutboxKind::Directed(_) | OutboxKind::Summary => SendPriority::Directed,
            OutboxKind::Inbox | OutboxKind::Queued { .. } => SendPriority::Bulk,
        }
    }
}

/// What is ready, by priority.
#[derive(Debug, Default)]
pub(super) struct SendOrder {
    resends: BTreeSet<(u64, u64)>,
    directed: BTreeSet<u64>,
    bulk: BTreeSet<u64>,
}

impl SendOrder {
    pub(super) fn insert(&mut self, priority: SendPriority, seq: u64) {
        match priority {
            SendPriority::Resend(send_index) => self.resends.insert((send_index, seq)),
            SendPriority::Directed => self.directed.insert(seq),
            SendPriority::Bulk => self.bulk.insert(seq),
        };
    }

    pub(super) fn remove(&mut self, priority: SendPriority, seq: u64) {
        match priority {
            SendPriority::Resend(send_index) => self.resends.remove(&(send_index, seq)),
            SendPriority::Directed => self.directed.remove(&seq),
            SendPriority::Bulk => self.bulk.remove(&seq),
        };
    }

    /// Directed messages that were not sent before.
    pub(super) fn directed_len(&self) -> usize {
        self.directed.len()
    }

    /// What goes next of what may go now. One that may not go blocks its own priority; one that was
    /// sent before blocks all.
    pub(super) fn next(&self, may_go: impl Fn(u64) -> bool) -> Option<u64> {
        if let Some((_, seq)) = self.resends.first() {
            return Some(*seq).filter(|seq| may_go(*seq));
        }
        let mut firsts = [&self.directed, &self.bulk].into_iter();
        let found = firsts.find_map(|priority| priority.first().filter(|seq| may_go(**seq)));
        found.copied()
    }
}

/// High-water marks: the highest sequence number that was sent of each priority.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SentMarks {
    /// Of the gateway's own.
    pub directed: u64,
    /// Of everybody else's.
    pub bulk: u64,
}

impl SentMarks {
    /// Perhaps everything.
    pub const UNKNOWN: SentMarks = SentMarks {
        directed: u64::MAX,
        bulk: u64::MAX,
    };

    /// Whether a message may have been sent.
    pub(super) fn covers(self, kind: &OutboxKind, seq: u64) -> bool {
        match SendPriority::of(kind) {
            SendPriority::Directed => seq <= self.directed,
            SendPriority::Resend(_) | SendPriority::Bulk => seq <= self.bulk,
        }
    }

    /// A message was sent.
    pub(super) fn note(&mut self, kind: &OutboxKind, seq: u64) {
        let last = match SendPriority::of(kind) {
            SendPriority::Directed => &mut self.directed,
            SendPriority::Resend(_) | SendPriority::Bulk => &mut self.bulk,
        };
        *last = seq.max(*last);
    }

    pub(super) fn max(self, other: SentMarks) -> SentMarks {
        SentMarks {
            directed: self.directed.max(other.directed),
            bulk: self.bulk.max(other.bulk),
        }
    }

    /// The highest number of all, if that is known.
    pub(super) fn last(self) -> Option<u64> {
        let last = self.directed.max(self.bulk);
        (last != u64::MAX).then_some(last)
    }

    /// Nothing above a number was sent.
    pub(super) fn at_most(self, seq: u64) -> SentMarks {
        SentMarks {
            directed: self.directed.min(seq),
            bulk: self.bulk.min(seq),
        }
    }
}

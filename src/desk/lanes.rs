//! Lanes: in which order goes out what is ready to go.
//!
//! First what was sent before and not acknowledged, in the order in which it was sent. Then what the gateway has for this agent
//! (assignments, results, decisions, replies), then other agents' mail and broadcasts: nobody waits for an answer behind ten thousand
//! messages. Within a lane the older one is first, and all messages of a topic use the same lane, so that none overtakes another of its
//! topic. It knows numbers only; `outbox` says what is ready.

use std::collections::BTreeSet;

use super::kind::Kind;

/// Where a message stands while it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Sent before: as how manieth of all.
    Again(u64),
    /// The gateway's own.
    Directed,
    /// Everybody else's.
    Bulk,
}

impl Lane {
    /// Of what was not sent before.
    pub(super) fn of(kind: &Kind) -> Lane {
        match kind {
            Kind::Directed(_) | Kind::Summary => Lane::Directed,
            Kind::Inbox | Kind::Queued { .. } => Lane::Bulk,
        }
    }
}

/// What is ready, by lane.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    again: BTreeSet<(u64, u64)>,
    directed: BTreeSet<u64>,
    bulk: BTreeSet<u64>,
}

impl Lanes {
    pub(super) fn insert(&mut self, lane: Lane, seq: u64) {
        match lane {
            Lane::Again(sent_as) => self.again.insert((sent_as, seq)),
            Lane::Directed => self.directed.insert(seq),
            Lane::Bulk => self.bulk.insert(seq),
        };
    }

    pub(super) fn remove(&mut self, lane: Lane, seq: u64) {
        match lane {
            Lane::Again(sent_as) => self.again.remove(&(sent_as, seq)),
            Lane::Directed => self.directed.remove(&seq),
            Lane::Bulk => self.bulk.remove(&seq),
        };
    }

    /// Directed messages that were not sent before.
    pub(super) fn directed_len(&self) -> usize {
        self.directed.len()
    }

    /// What goes next of what may go now. One that may not holds up its own lane, and what was sent before holds up all.
    pub(super) fn next(&self, may_go: impl Fn(u64) -> bool) -> Option<u64> {
        if let Some((_, seq)) = self.again.first() {
            return Some(*seq).filter(|seq| may_go(*seq));
        }
        let mut firsts = [&self.directed, &self.bulk].into_iter();
        let found = firsts.find_map(|lane| lane.first().filter(|seq| may_go(**seq)));
        found.copied()
    }
}

/// Up to where each lane was sent: the highest sequence numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Of the gateway's own.
    pub directed: u64,
    /// Of everybody else's.
    pub bulk: u64,
}

impl Sent {
    /// Perhaps everything.
    pub const UNKNOWN: Sent = Sent {
        directed: u64::MAX,
        bulk: u64::MAX,
    };

    /// Whether a message may have been sent.
    pub(super) fn covers(self, kind: &Kind, seq: u64) -> bool {
        match Lane::of(kind) {
            Lane::Directed => seq <= self.directed,
            Lane::Again(_) | Lane::Bulk => seq <= self.bulk,
        }
    }

    /// A message was sent.
    pub(super) fn note(&mut self, kind: &Kind, seq: u64) {
        let last = match Lane::of(kind) {
            Lane::Directed => &mut self.directed,
            Lane::Again(_) | Lane::Bulk => &mut self.bulk,
        };
        *last = seq.max(*last);
    }

    pub(super) fn max(self, other: Sent) -> Sent {
        Sent {
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
    pub(super) fn at_most(self, seq: u64) -> Sent {
        Sent {
            directed: self.directed.min(seq),
            bulk: self.bulk.min(seq),
        }
    }
}

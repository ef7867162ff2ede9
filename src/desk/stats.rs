//! What the desk counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only the desk's thread changes and anybody reads.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add_one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// It is so many now.
    pub fn set(&self, now: usize) {
        self.0.store(now as u64, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The desk's counters and gauges.
#[derive(Debug, Default)]
pub struct DeskStats {
    /// Requests handled.
    pub requests: Count,
    /// Batches sealed.
    pub batches: Count,
    /// Publishes that came to the desk.
    pub publishes: Count,
    /// Refused commands and publishes.
    pub refusals: Count,
    /// Deliveries sent to sessions.
    pub deliveries: Count,
    /// Broadcasts sent to the live plane.
    pub broadcasts: Count,
    /// Messages dropped because a session's queue was full.
    pub dropped_queue_full: Count,
    /// Replies dropped because newer ones came and nobody fetched them.
    pub dropped_replies: Count,
    /// Directed messages dropped because there are too many clients to keep another mailbox.
    pub dropped_no_mailbox: Count,
    /// QoS 0 messages to members of shared subscriptions dropped because they do not keep up.
    pub dropped_backlog: Count,
    /// Sessions that ended because nobody came back in time.
    pub expired_sessions: Count,
    /// Messages that expired undelivered.
    pub expired: Count,
    /// Acknowledgements held back because a subscriber is slow.
    pub held_acks: Count,
    /// Clients disconnected because publishers had to wait for them for too long.
    pub too_slow: Count,
    /// Now: clients with a session, a connection or mail.
    pub clients: Count,
    /// Now: connections.
    pub connections: Count,
    /// Now: retained messages.
    pub retained: Count,
    /// Now: bytes of retained messages.
    pub retained_bytes: Count,
    /// Now: rooms.
    pub rooms: Count,
    /// Now: unfinished tasks.
    pub tasks: Count,
    /// Now: approvals that await a decision.
    pub approvals: Count,
    /// Now: blackboard keys.
    pub keys: Count,
}

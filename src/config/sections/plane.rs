//! Sections about what carries messages: what waits for whom, how much, how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::units::{duration, size};
use super::{DAY, GIB, HOUR, MIB};

/// `[mailbox]`: directed messages that wait for one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mailbox {
    /// Messages per agent, replies aside; a full mailbox refuses the sender (429).
    pub max_messages: usize,
    /// The same in bytes.
    #[serde(with = "size")]
    pub max_bytes: usize,
    /// Replies per agent; the oldest give way.
    pub max_replies: usize,
    /// Results and decisions per agent that wait or are still to come: its unfinished tasks, calls and approvals count.
    pub max_results: usize,
    /// Bytes of those that wait.
    #[serde(with = "size")]
    pub max_result_bytes: usize,
    /// How long a reply waits for its agent.
    #[serde(with = "duration")]
    pub reply_ttl: Duration,
    /// How long a result or a decision waits for its agent.
    #[serde(with = "duration")]
    pub result_ttl: Duration,
    /// How long an inbox message waits for its agent.
    #[serde(with = "duration")]
    pub inbox_ttl: Duration,
}

impl Default for Mailbox {
    fn default() -> Mailbox {
        Mailbox {
            max_messages: 10_000,
            max_bytes: 16 * MIB,
            max_replies: 1000,
            max_results: 100_000,
            max_result_bytes: 256 * MIB,
            reply_ttl: HOUR,
            result_ttl: 7 * DAY,
            inbox_ttl: 7 * DAY,
        }
    }
}

/// What becomes of a message that a persistent session wants and has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// This session misses it; its publisher and everybody else do not notice.
    #[default]
    Drop,
    /// Nobody gets it, and its publisher is refused.
    Refuse,
}

/// `[session]`: messages that wait for a persistent session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// Messages per session.
    pub max_queued_messages: usize,
    /// The same in bytes.
    #[serde(with = "size")]
    pub max_queued_bytes: usize,
    /// What becomes of a message for a full session.
    pub when_full: WhenFull,
    /// Clients that the gateway remembers: sessions and mailboxes together, connected or not.
    pub max_sessions: usize,
}

impl Default for Session {
    fn default() -> Session {
        Session {
            max_queued_messages: 10_000,
            max_queued_bytes: 64 * MIB,
            when_full: WhenFull::Drop,
            max_sessions: 100_000,
        }
    }
}

/// `[retained]`: retained messages of clients, the gateway's own aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retained {
    /// Messages.
    pub max_messages: usize,
    /// The same in bytes.
    #[serde(with = "size")]
    pub max_bytes: usize,
}

impl Default for Retained {
    fn default() -> Retained {
        Retained {
            max_messages: 100_000,
            max_bytes: 256 * MIB,
        }
    }
}

/// `[memory]`: one bound on everything that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Bytes of mailboxes, queues, retained messages, requests, and of what connections hold of packets.
    #[serde(with = "size")]
    pub max_queued: usize,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { max_queued: GIB }
    }
}

/// `[desk]`: the one thread that takes every input that changes durable state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Desk {
    /// Bytes that may wait for the disk; beyond it publishers are not read.
    #[serde(with = "size")]
    pub max_pending: usize,
    /// Inputs per commit.
    pub max_batch: usize,
    /// Inputs that wait to be taken; beyond it their senders are not read.
    pub max_requests: usize,
    /// How long deletions of what was acknowledged wait for something that must be on disk anyway.
    #[serde(with = "duration")]
    pub linger: Duration,
}

impl Default for Desk {
    fn default() -> Desk {
        Desk {
            max_pending: 64 * MIB,
            max_batch: 4096,
            max_requests: 4096,
            linger: Duration::from_millis(20),
        }
    }
}

/// `[clock]`: what counts as time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clock {
    /// What counts at most for the time that nothing ran, where only the wall clock speaks for it.
    #[serde(with = "duration")]
    pub max_step: Duration,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock {
            max_step: Duration::from_secs(4 * 24 * 60 * 60),
        }
    }
}

/// `[live]`: the fan-out to whoever listens now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Live {
    /// Bytes per segment of a filter's log.
    #[serde(with = "size")]
    pub segment: usize,
    /// Segments per filter's log; a listener that falls behind all of them has missed messages.
    pub segments: usize,
    /// How long publishers of QoS 1 and 2 are held back for one listener that lags before it is disconnected (0x97).
    #[serde(with = "duration")]
    pub patience: Duration,
    /// Distinct topics published through one router before it is replaced.
    pub topics_per_router: usize,
    /// Distinct filters no longer subscribed to before a router is replaced.
    pub filters_per_router: usize,
    /// Links opened to one router before it is replaced.
    pub links_per_router: usize,
}

impl Default for Live {
    fn default() -> Live {
        Live {
            segment: MIB,
            segments: 4,
            patience: Duration::from_secs(10),
            topics_per_router: 100_000,
            filters_per_router: 10_000,
            links_per_router: 1_000_000,
        }
    }
}

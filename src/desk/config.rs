//! The desk: what waits for persistent sessions, what is retained, how much of everything.

use serde::{Deserialize, Serialize};

use crate::setting::{Size, Span, gib, kib, mib, ms, seconds, settings};

settings! {
    /// Messages that wait for a persistent session.
    pub struct SessionConfig;

    /// Clients that the gateway remembers, connected or not: sessions and mailboxes together.
    max_sessions: usize = 100_000, 1..=100_000_000
        => "a client without a session or mail is refused (0x97; 3.1.1: code 3), and gets no mail",
            "sessions_refused_total";
    /// Messages per session.
    max_queued_messages: usize = 10_000, 1..=100_000_000
        => "publishers to a persistent session that is connected wait for their acknowledgements \
            from half of it, for `live.patience` at most, then it is disconnected (0x97). Beyond \
            it `session.when_full` decides: `drop` (the default): this session misses the \
            message, nobody else notices, and the log says so; `refuse`: nobody gets the message \
            and its publisher is refused. Messages of the gateway's own are always dropped for \
            this session",
            "desk_held_acks_total, desk_messages_dropped_total, desk_publishes_refused_total";
    /// The same in bytes.
    max_queued_bytes: Size = mib(64), kib(64)..=gib(64)
        => "the same in bytes", "desk_messages_dropped_total";
    /// A message for a full session: "drop" it for this session alone, or "refuse" its publisher
    /// (0x97), so that nobody gets it.
    when_full: WhenFull = WhenFull::Drop;
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

settings! {
    /// Retained messages of clients, the gateway's own aside.
    pub struct RetainedConfig;

    /// Messages.
    max_messages: usize = 100_000, 0..=100_000_000
        => "a publish that would retain one more is refused; a topic that has one may change it",
            "desk_publishes_refused_total";
    /// The same in bytes.
    max_bytes: Size = mib(256), Size(0)..=gib(64)
        => "the same in bytes", "desk_publishes_refused_total";
}

settings! {
    /// One bound on everything that waits: mailboxes, queues, retained messages, and what
    /// connections hold of packets. Tasks and blackboards have limits of their own, per room.
    pub struct MemoryConfig;

    /// What is stored may fill three quarters of it. Then publishers are refused (0x97, 429);
    /// docs/limits.md has every outcome.
    max_queued: Size = gib(1), mib(16)..=gib(1024)
        => "see below", "queued_bytes, memory_refusals_total";
}

settings! {
    /// The one thread that takes every input that changes durable state.
    pub struct DeskConfig;

    /// What may wait for the disk; beyond it publishers are not read.
    #[restart("the desk's queue is made once")]
    max_pending: Size = mib(64), mib(1)..=gib(64)
        => "so much waits for the disk: nothing more is taken until some of it is there, and \
            publishers are not read; while the disk is full, as much again for what needs no disk";
    /// Inputs per commit.
    #[restart("the desk's queue is made once")]
    max_batch: usize = 4096, 1..=1_000_000
        => "so many inputs go to the disk in one commit, the others in the next";
    /// Inputs that wait to be taken; beyond it their senders are not read.
    #[restart("the desk's queue is made once")]
    max_requests: usize = 4096, 1..=1_000_000
        => "so many inputs wait to be taken, and as many again while the disk is full: who has \
            more is not read";
    /// How long deletions of acknowledged messages wait for something that must be on disk anyway.
    linger: Span = ms(20), ms(0)..=seconds(1);
}

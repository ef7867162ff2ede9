//! What the desk counts.

use super::budget::Budgets;
use super::journal::JournalStats;
use crate::engine;
use crate::metrics::{Count, Latest, labelled, metrics};

labelled! {
    /// Messages that were not kept.
    pub struct DroppedMessages by "reason" {
        /// The gateway's own, because a session's queue was full.
        queue_full,
        /// Replies, because newer ones came and nobody fetched them.
        old_reply,
        /// Directed ones, because there are too many clients to keep another mailbox.
        no_mailbox,
        /// Directed ones that their reader cannot take, not even shortened.
        too_large,
        /// QoS 0 messages to members of shared subscriptions that do not keep up.
        backlog,
        /// Undelivered when their time was over.
        expired,
        /// Taken out of a mailbox on somebody's word.
        purged,
    }
}

labelled! {
    /// Publishes refused for want of room.
    pub struct RefusedPublishes by "reason" {
        /// A session's queue was full.
        queue_full,
        /// The retained store was full.
        retained_full,
    }
}

labelled! {
    /// Times that somebody set the wall clock.
    pub struct ClockSteps by "direction" {
        /// Into the future.
        forward,
        /// Into the past.
        back,
    }
}

metrics! {
    /// The desk's counters and gauges, and those of the engine and the journal as of the last
    /// batch.
    #[derive(Debug, Default)]
    pub struct DeskStats {
        /// Requests handled.
        counter requests: Count = "desk_requests",
        /// Batches sealed.
        counter batches: Count = "desk_batches",
        /// Publishes that came to the desk.
        counter publishes: Count = "desk_publishes",
        /// Commands of callers within the process.
        counter direct_commands: Count = "desk_direct_commands",
        /// Commands and publishes refused.
        counter refusals: Count = "desk_refusals",
        /// Publishes refused for want of room: memory_refusals has those for want of memory.
        counter refused: RefusedPublishes = "desk_publishes_refused",
        /// Filters refused because their client has all the subscriptions that it may have.
        counter refused_subscriptions: Count = "desk_subscriptions_refused",
        /// CONNECTs refused because there are too many sessions and mailboxes.
        counter refused_sessions: Count = "sessions_refused",
        /// Messages sent from mailboxes and queues.
        counter deliveries: Count = "desk_deliveries",
        /// Messages shortened for readers that announced maxBytes.
        counter shortened: Count = "desk_deliveries_shortened",
        /// Messages sent to the live plane.
        counter broadcasts: Count = "desk_broadcasts",
        /// Acks held back because a subscriber is slow.
        counter deferred_acks: Count = "desk_held_acks",
        /// Clients disconnected because publishers had to wait for them for too long.
        counter too_slow: Count = "desk_disconnects_too_slow",
        /// Messages that were not kept.
        counter dropped: DroppedMessages = "desk_messages_dropped",
        /// Clients with a session, a connection or mail.
        gauge clients: Count = "clients",
        /// Sessions that ended because nobody came back in time.
        counter expired_sessions: Count = "sessions_expired",
        /// Sessions with a connection.
        gauge connections: Count = "sessions_connected",
        /// Retained messages.
        gauge retained: Count = "retained_messages",
        /// Bytes of retained messages.
        gauge retained_bytes: Count = "retained_bytes",
        /// Times that somebody set the wall clock by a second or more.
        counter clock_steps: ClockSteps = "clock_steps",
        /// The budgets that everybody shares.
        part budgets: Budgets,
        /// The engine's.
        part engine: Latest<engine::EngineStats>,
        /// The journal's.
        part journal: Latest<JournalStats>,
    }
}

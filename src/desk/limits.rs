//! Limits of the desk, and what of its settings can be set anew while it runs.

use std::collections::BTreeMap;

use super::config::RetainedConfig;
use crate::engine;
use crate::wire::Millis;
use crate::wire::name::Room;

/// Limits of mailboxes and of sessions' queues.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Sessions and mailboxes together.
    pub max_clients: usize,
    /// Subscriptions of one client.
    pub max_subscriptions: usize,
    /// Directed messages, replies aside, that wait for one agent; beyond it the sender is refused
    /// (429).
    pub max_mailbox_messages: usize,
    /// Bytes of directed messages that wait for one agent; beyond it the sender is refused (429).
    pub max_mailbox_bytes: usize,
    /// Results and decisions per agent, with those that are promised.
    pub max_results: usize,
    /// Bytes of those that wait.
    pub max_result_bytes: usize,
    /// Replies that wait for one agent; beyond it the oldest is dropped and counted.
    pub max_replies: usize,
    /// Messages in one session's queue; beyond it the session misses what comes, which is counted,
    /// or with `refuse_when_full` clients' publishes are refused (0x97). The publishers of a
    /// connected but slow client are slowed from half of it.
    pub max_queued_messages: usize,
    /// Bytes in one session's queue; as above.
    pub max_queued_bytes: usize,
    /// Bytes of QoS 0 messages that may wait for a member of a shared subscription; beyond it new
    /// ones are dropped and counted.
    pub max_backlog_bytes: usize,
    /// Whether a publish for a session that is full is refused, rather than dropped for that
    /// session.
    pub refuse_when_full: bool,
}

/// How much of rooms' past is kept.
#[derive(Debug, Clone)]
pub struct JournalLimits {
    /// Whether anything is kept at all.
    pub keep: bool,
    /// How long, in milliseconds.
    pub retention_ms: u64,
    /// Bytes of one room.
    pub max_bytes_per_room: u64,
    /// Bytes of all rooms.
    pub max_bytes: u64,
    /// Rooms, existing or not.
    pub max_rooms: usize,
    /// Bytes that all who ask during one batch may have read; beyond it they are asked to come
    /// again.
    pub max_read_bytes: usize,
    /// Rooms with limits of their own.
    pub rooms: BTreeMap<Room, RoomJournal>,
}

/// How much of one room's past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomJournal {
    /// How long, in milliseconds.
    pub retention_ms: u64,
    /// Bytes.
    pub max_bytes: u64,
}

impl JournalLimits {
    pub(super) fn of(&self, room: &Room) -> RoomJournal {
        let common = RoomJournal {
            retention_ms: self.retention_ms,
            max_bytes: self.max_bytes_per_room,
        };
        self.rooms.get(room).copied().unwrap_or(common)
    }

    /// When a room has to give up what happened then.
    pub(super) fn until(&self, room: &Room, at: Millis) -> Millis {
        at.saturating_add(self.of(room).retention_ms)
    }
}

/// What can be set anew while the desk runs.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The engine's.
    pub engine: Box<engine::Settings>,
    /// Whether rooms may have another encoding than before.
    pub reencodes: bool,
    /// Limits of mailboxes and queues.
    pub clients: ClientLimits,
    /// Limits of the retained store.
    pub retained: RetainedConfig,
    /// How much of rooms' past is kept.
    pub journal: JournalLimits,
    /// The bound on everything that waits, in bytes.
    pub max_memory: usize,
    /// How long deletions of what was acknowledged may wait for company, in milliseconds.
    pub linger_ms: u64,
}

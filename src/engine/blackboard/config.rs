//! Shared state, its locks and its schemas.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::setting::{
    REFUSED, Size, Span, days, gib, hours, kib, mib, minutes, ms, seconds, settings,
};

settings! {
    /// Versioned shared state.
    pub struct BlackboardConfig;

    /// Keys per room.
    max_keys_per_room: usize = 100_000, 1..=100_000_000 => "429", REFUSED;
    /// Value bytes per room.
    max_bytes_per_room: Size = mib(256), kib(64)..=gib(64) => "429", REFUSED;
    /// Value bytes of all rooms together.
    max_bytes: Size = gib(1), kib(64)..=gib(64)
        => "429, in every room", "budget_used, commands_refused_total";
    /// Deleted keys whose version a room remembers one by one; beyond it a new key starts above all
    /// forgotten ones.
    max_tombstones_per_room: usize = 100_000, 1..=100_000_000
        => "the versions of further deleted keys are not remembered one by one: new keys start \
            above all of them";
    /// The largest value.
    max_value: Size = kib(256), kib(1)..=mib(255) => "413", REFUSED;
    /// What one blackboard/get or blackboard/history returns.
    max_snapshot: Size = mib(1), kib(1)..=mib(255) => "413", REFUSED;
    /// Versions of a key that are kept, the one that stands included.
    history: usize = 16, 1..=10_000 => "the oldest versions of the key are forgotten";
    /// Bytes of past versions per room; beyond it the oldest are forgotten.
    max_history_bytes_per_room: Size = mib(64), Size(0)..=gib(64)
        => "the oldest versions of the room are forgotten before their time",
            "forgotten_early_total";
    /// What values must look like: `[{ prefix = "plan", schema = "plan.schema.json" }]`, with JSON
    /// Schemas in files that are read anew on SIGHUP. Of several prefixes of a key the longest
    /// counts. An entry with `room = "newsroom"` is for that room alone, and goes before one for
    /// all rooms with the same prefix.
    schemas: Vec<KeySchema> = Vec::new();
    /// Operations of one transaction.
    max_txn_ops: usize = 128, 1..=10_000 => "413", REFUSED;
    /// How long a lock is held where the command does not say.
    lock_ttl: Span = seconds(30), ms(10)..=days(30);
    /// The longest lease on a lock that a command may ask for.
    max_lock_ttl: Span = days(1), ms(10)..=days(30);
    /// How long a command waits for a lock where it waits and does not say.
    lock_wait: Span = minutes(1), ms(10)..=days(30);
    /// The longest wait for a lock that a command may ask for.
    max_lock_wait: Span = hours(1), ms(10)..=days(30);
    /// Locks per room that are held.
    max_locks_per_room: usize = 10_000, 1..=1_000_000
        => "429", "blackboard_locks, commands_refused_total";
    /// Agents that wait for one lock.
    // All who wait for a lock are in one record.
    max_lock_waiters: usize = 100, 0..=1000 => "429", REFUSED;
}

/// One of `[[blackboard.schemas]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySchema {
    /// A key, or the segments that keys begin with; of several that fit the longest counts.
    pub prefix: String,
    /// A file with a JSON Schema.
    pub schema: PathBuf,
    /// The one room that it is for; without it: all rooms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
}

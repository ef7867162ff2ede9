//! The past of rooms: how much of it is kept, and how much of it one may ask for.

use serde::{Deserialize, Serialize};

use crate::setting::{Bytes, REFUSED, Span, days, gib, kib, mib, seconds, settings};

settings! {
    /// What happened in rooms: the gateway's events, for observe/replay.
    pub struct Observe;

    /// Whose events are kept: those of the "gateway", or "nothing".
    keep: Keep = Keep::Gateway;
    /// How long.
    retention: Span = days(7), seconds(1)..=days(3650);
    /// Bytes of one room; beyond it its oldest events go.
    // A chunk and some more must fit, else a busy room would keep nothing.
    max_bytes_per_room: Bytes = mib(64), kib(256)..=gib(1024)
        => "the oldest events of the room go; a replay says so",
            "journal_trimmed_total, journal_bytes";
    /// Bytes of all rooms; beyond it the oldest events of all go.
    max_bytes: Bytes = gib(1), kib(256)..=gib(1024)
        => "the oldest events of all rooms go", "journal_trimmed_total, journal_bytes";
    /// Rooms with a past, existing or not; beyond it the oldest events of all go.
    max_rooms: usize = 10_000, 1..=100_000_000
        => "so many rooms have a past: the oldest events of all go",
            "journal_trimmed_total, journal_rooms";
    /// Events in one page of a replay.
    max_page: u32 = 1000, 1..=10_000 => "422; 100 where a replay does not say how many", REFUSED;
    /// The same in bytes.
    max_page_bytes: Bytes = kib(64), kib(1)..=mib(16)
        => "the page ends earlier; less, where the asker has announced `maxBytes`";
    /// What all replays may read of the disk during one commit; who comes then is asked to come
    /// again (429).
    max_read: Bytes = mib(4), kib(64)..=gib(1)
        => "so much of the past was read during one commit: 429, ask again", REFUSED;
}

/// Whose events are kept for `observe/replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Those of the gateway.
    #[default]
    Gateway,
    /// Nobody's.
    Nothing,
}

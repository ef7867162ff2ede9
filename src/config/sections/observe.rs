//! The section about what happened in rooms: how much of it is kept, and how much of it one may ask for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::units::{duration, size};
use super::{DAY, GIB, KIB, MIB};

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

/// `[observe]`: the past of rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Observe {
    /// Whose events are kept.
    pub keep: Keep,
    /// How long.
    #[serde(with = "duration")]
    pub retention: Duration,
    /// Bytes of one room; beyond it the oldest events go.
    #[serde(with = "size")]
    pub max_bytes_per_room: usize,
    /// Bytes of all rooms; beyond it the oldest events of all go.
    #[serde(with = "size")]
    pub max_bytes: usize,
    /// Rooms with a past, existing or not; beyond it the oldest events of all go.
    pub max_rooms: usize,
    /// Events in one page of a replay.
    pub max_page: u32,
    /// Bytes of the events in one page of a replay.
    #[serde(with = "size")]
    pub max_page_bytes: usize,
    /// Bytes that all replays may read during one commit.
    #[serde(with = "size")]
    pub max_read: usize,
}

impl Default for Observe {
    fn default() -> Observe {
        Observe {
            keep: Keep::Gateway,
            retention: 7 * DAY,
            max_bytes_per_room: 64 * MIB,
            max_bytes: GIB,
            max_rooms: 10_000,
            max_page: 1000,
            max_page_bytes: 64 * KIB,
            max_read: 4 * MIB,
        }
    }
}

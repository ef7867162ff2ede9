//! Vacated rooms: what is left of a room that nobody is in and that remembers nothing any more.
//!
//! Its counters stay, and its head record with them: whoever comes back finds its events numbered
//! on and no version of a key used twice. A vacated room is not counted as a room. When vacated
//! ones are too many, the counters of the oldest are merged into a ground, from which rooms start
//! that are not remembered. It decides nothing else; the engine asks it when a room is opened and
//! when records are drained.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::name::Room;

use super::kept_bytes::MOST_AT_ONCE;
use super::record::{Put, RoomCounters, encode, ground_key, head_key};

/// The counters of rooms that do not exist at present.
#[derive(Debug, Default)]
pub(super) struct Vacated {
    heads: BTreeMap<Room, RoomCounters>,
    /// By their last event, oldest first.
    order: BTreeSet<(Millis, Room)>,
    /// Not below any counter of a room that is not remembered.
    ground: RoomCounters,
    /// Merged into the ground since the last records.
    merged: BTreeSet<Room>,
    ground_rose: bool,
}

impl Vacated {
    /// Where a room that is opened now goes on.
    pub(super) fn start_of(&self, room: &Room) -> RoomCounters {
        self.heads.get(room).copied().unwrap_or(self.ground)
    }

    /// How many are remembered one by one.
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Takes the ground that earlier runs have left.
    pub(super) fn stand_on(&mut self, ground: RoomCounters) {
        self.ground = ground;
    }

    /// A room has been vacated. Beyond the limit the oldest is remembered by the ground alone.
    pub(super) fn insert(&mut self, room: Room, head: RoomCounters, limit: usize) {
        self.order.insert((head.at, room.clone()));
        self.heads.insert(room, head);
        for _ in 0..MOST_AT_ONCE {
            if self.heads.len() <= limit {
                return;
            }
            let Some((_, oldest)) = self.order.pop_first() else {
                return;
            };
            if let Some(head) = self.heads.remove(&oldest) {
                self.ground = self.ground.max_with(head);
                self.ground_rose = true;
            }
            self.merged.insert(oldest);
        }
    }

    /// A room exists again.
    pub(super) fn remove(&mut self, room: &Room) {
        self.merged.remove(room);
        if let Some(head) = self.heads.remove(room) {
            self.order.remove(&(head.at, room.clone()));
        }
    }
}

impl Vacated {
    /// The counters of rooms that changed, and of those that are merged now.
    pub(super) fn drain_heads(&mut self, heads: BTreeMap<Room, RoomCounters>, put: Put<'_>) {
        let merged = std::mem::take(&mut self.merged);
        for (room, head) in heads {
            if !merged.contains(&room) {
                put(head_key(&room), Some(encode(&head)));
            }
        }
        for room in merged {
            put(head_key(&room), None);
        }
        if std::mem::take(&mut self.ground_rose) {
            put(ground_key(), Some(encode(&self.ground)));
        }
    }
}

impl RoomCounters {
    fn max_with(self, other: RoomCounters) -> RoomCounters {
        RoomCounters {
            seq: self.seq.max(other.seq),
            at: self.at.max(other.at),
            last_task: self.last_task.max(other.last_task),
            revision: self.revision.max(other.revision),
            version_floor: self.version_floor.max(other.version_floor),
            closed: None,
            last_token: self.last_token.max(other.last_token),
            history_floor: Some(self.history_floor().max(other.history_floor())),
        }
    }
}

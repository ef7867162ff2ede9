//! Walks: redrives by type that go on from the answer to one command to the next.

use std::collections::BTreeMap;

use hallward::wire::Millis;
use hallward::wire::name::{Room, TaskType};

/// How far a walk has come.
#[derive(Debug, Clone)]
pub(in super::super) struct Walk {
    pub(in super::super) began: Millis,
    /// The task that it looked at last, in the order of dispatches; 0 before the first.
    pub(in super::super) last: u64,
    pub(in super::super) commands: usize,
    /// Whether it left some where they were for want of room.
    pub(in super::super) lacked_room: bool,
}

/// Every walk, by what asks it to go on: the room, the type and the cursor.
#[derive(Debug, Default)]
pub(in super::super) struct Walks {
    by_cursor: BTreeMap<(Room, TaskType, String), Walk>,
}

impl Walk {
    pub(in super::super) fn begins(now: Millis) -> Walk {
        Walk {
            began: now,
            last: 0,
            commands: 0,
            lacked_room: false,
        }
    }
}

impl Walks {
    /// The walk that goes on from here, if somebody was given this cursor.
    pub(in super::super) fn find(&self, room: &Room, of: &TaskType, cursor: &str) -> Option<&Walk> {
        let key = (room.clone(), of.clone(), cursor.to_owned());
        self.by_cursor.get(&key)
    }

    /// Where several walks have come to the same place, what is said holds of each.
    pub(in super::super) fn goes_on(
        &mut self,
        room: &Room,
        of: &TaskType,
        cursor: &str,
        walk: Walk,
    ) {
        let key = (room.clone(), of.clone(), cursor.to_owned());
        let other = self.by_cursor.remove(&key).unwrap_or_else(|| walk.clone());
        let both = Walk {
            began: walk.began.min(other.began),
            commands: walk.commands.min(other.commands),
            lacked_room: walk.lacked_room || other.lacked_room,
            ..walk
        };
        self.by_cursor.insert(key, both);
    }
}

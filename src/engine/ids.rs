//! Names of things that are the engine's own.

use serde::{Deserialize, Serialize};

use crate::wire::name::{CallId, Room, TaskId};

/// A task's number in its room: counts dispatches, so it orders tasks by age; never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub(super) struct TaskNo(pub(super) u64);

/// Which assignment: a mailbox never holds the same one twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssignmentKey {
    /// The room.
    pub room: Room,
    /// The task.
    pub task: TaskId,
    /// The fencing token.
    pub attempt: u32,
    /// How many answers it brings: it comes again with each.
    pub answers: u32,
}

/// Which run of a tool: a mailbox never holds the same one twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey {
    /// The room.
    pub room: Room,
    /// The call.
    pub call: CallId,
    /// How many providers have lost it before.
    pub turn: u32,
    /// How many answers it brings: it comes again with each.
    pub answers: u32,
}

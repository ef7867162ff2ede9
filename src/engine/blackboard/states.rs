//! The states of keys and locks, as tables: see [`machine`](crate::engine::machine).

use crate::engine::machine::{Machine, Transition};

pub(super) const SET: &str = "set";
pub(super) const HELD: &str = "held";

/// A key.
#[rustfmt::skip]
pub(in crate::engine) const KEY: Machine = Machine {
    name: "key",
    transitions: &[
        Transition::begins("somebody sets it", SET, "blackboard.set"),
        Transition::stays(SET, "somebody sets it", "blackboard.set"),
        Transition::ends(SET, "somebody deletes it, or the room is closed", "blackboard.deleted"),
        Transition::ends(SET, "its time to live is over", "blackboard.expired"),
    ],
};

/// A lock; one that nobody holds does not exist.
#[rustfmt::skip]
pub(in crate::engine) const LOCK: Machine = Machine {
    name: "lock",
    transitions: &[
        Transition::begins("somebody takes it, or gets it because it waited longest", HELD, "blackboard.locked"),
        Transition::stays(HELD, "somebody else waits for it", "blackboard.waiting"),
        Transition::stays(HELD, "somebody does not wait any more: time is over, it is gone, or it says so", "blackboard.gaveUp"),
        Transition::ends(HELD, "its holder gives it back, lets its lease run out, or is gone; or the room is closed", "blackboard.unlocked"),
    ],
};

//! The states of an approval, as a table: see [`machine`](crate::engine::machine).

use crate::engine::machine::{Machine, Transition};

const PENDING: &str = "pending";

/// An approval.
#[rustfmt::skip]
pub(in crate::engine) const APPROVAL: Machine = Machine {
    name: "approval",
    transitions: &[
        Transition::begins("somebody asks", PENDING, "approve.requested"),
        Transition::stays(PENDING, "an approver approves or rejects", "approve.voted"),
        Transition::stays(PENDING, "an approver needs more time", "approve.deferred"),
        Transition::stays(PENDING, "nobody decided in time, others are asked", "approve.escalated"),
        Transition::moves(PENDING, "as many as the quorum have approved; or time is over, where that means yes", "approved", "approve.decided"),
        Transition::moves(PENDING, "one has rejected; or time is over", "rejected", "approve.decided"),
        Transition::moves(PENDING, "the requester takes it back, or the room is closed", "cancelled", "approve.decided"),
    ],
};

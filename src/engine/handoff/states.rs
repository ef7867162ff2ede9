//! The states of tasks and groups, as tables: see [`machine`](crate::engine::machine).

use crate::engine::machine::{Machine, Transition};

const fn begins(happens: &'static str, to: &'static str) -> Transition {
    Transition::begins(happens, to, "handoff.dispatched")
}

const HELD_BACK: &str = "its worker reports an error, attempts are left";
const GIVEN_UP: &str =
    "its worker reports an error that no retry helps, or this was the last attempt";
const RELEASED: &str = "its worker gives it back, leaves the room, or disconnects in good order";
const RELEASED_LAST: &str = "its worker gives it back, and it was given back too often";
const ASKS: &str = "its worker cannot go on without an answer";
const DONE_LATE: &str =
    "its worker, which was taken for lost, is done, and nobody else has had it since";
const LOST: &str = "its lease runs out or its worker is gone, attempts are left";
const LOST_LAST: &str = "its lease runs out or its worker is gone, this was the last attempt";
const EXPIRED: &str = "its time to live is over";
const CANCELLED: &str = "somebody cancels it or what it belongs to, or the room is closed";

/// A task.
#[rustfmt::skip]
pub(in crate::engine) const TASK: Machine = Machine {
    name: "task",
    transitions: &[
        begins("a task is taken that has a delay, depends on others, or has to be approved", "waiting"),
        begins("a task is taken", "queued"),
        Transition::moves("waiting", "delay or backoff is over, all that it depends on has succeeded, and it is approved if it has to be", "queued", "handoff.queued"),
        Transition::moves("waiting", "a task that it depends on has failed, or it is not approved", "dead", "handoff.failed"),
        Transition::moves("queued", "a worker is free for it", "assigned", "handoff.assigned"),
        Transition::moves("assigned", "its worker says that it is at it", "running", "handoff.running"),
        Transition::stays("running", "its worker sends a partial result", "handoff.progress"),
        Transition::moves("assigned", ASKS, "asking", "handoff.asked"),
        Transition::moves("running", ASKS, "asking", "handoff.asked"),
        Transition::moves("asking", "somebody answers, and its worker goes on", "assigned", "handoff.answered"),
        Transition::moves("asking", "somebody answers, but its worker is gone", "queued", "handoff.answered"),
        Transition::moves("asking", "nobody answered in time, and its worker goes on", "assigned", "handoff.unanswered"),
        Transition::moves("asking", "nobody answered in time, and its worker is gone", "queued", "handoff.unanswered"),
        Transition::moves("assigned", "its worker is done", "succeeded", "handoff.succeeded"),
        Transition::moves("running", "its worker is done", "succeeded", "handoff.succeeded"),
        Transition::moves("asking", "its worker is done without an answer", "succeeded", "handoff.succeeded"),
        Transition::moves("waiting", DONE_LATE, "succeeded", "handoff.succeeded"),
        Transition::moves("queued", DONE_LATE, "succeeded", "handoff.succeeded"),
        Transition::moves("assigned", HELD_BACK, "waiting", "handoff.failed"),
        Transition::moves("running", HELD_BACK, "waiting", "handoff.failed"),
        Transition::moves("asking", HELD_BACK, "waiting", "handoff.failed"),
        Transition::moves("assigned", GIVEN_UP, "dead", "handoff.failed"),
        Transition::moves("running", GIVEN_UP, "dead", "handoff.failed"),
        Transition::moves("asking", GIVEN_UP, "dead", "handoff.failed"),
        Transition::moves("assigned", RELEASED, "waiting", "handoff.released"),
        Transition::moves("running", RELEASED, "waiting", "handoff.released"),
        Transition::moves("asking", RELEASED, "waiting", "handoff.released"),
        Transition::moves("assigned", RELEASED_LAST, "dead", "handoff.released"),
        Transition::moves("running", RELEASED_LAST, "dead", "handoff.released"),
        Transition::moves("asking", RELEASED_LAST, "dead", "handoff.released"),
        Transition::moves("assigned", LOST, "waiting", "handoff.lost"),
        Transition::moves("running", LOST, "waiting", "handoff.lost"),
        Transition::moves("assigned", LOST_LAST, "dead", "handoff.lost"),
        Transition::moves("running", LOST_LAST, "dead", "handoff.lost"),
        Transition::moves("waiting", EXPIRED, "expired", "handoff.expired"),
        Transition::moves("queued", EXPIRED, "expired", "handoff.expired"),
        Transition::moves("assigned", EXPIRED, "expired", "handoff.expired"),
        Transition::moves("running", EXPIRED, "expired", "handoff.expired"),
        Transition::moves("asking", EXPIRED, "expired", "handoff.expired"),
        Transition::moves("waiting", CANCELLED, "cancelled", "handoff.cancelled"),
        Transition::moves("queued", CANCELLED, "cancelled", "handoff.cancelled"),
        Transition::moves("assigned", CANCELLED, "cancelled", "handoff.cancelled"),
        Transition::moves("running", CANCELLED, "cancelled", "handoff.cancelled"),
        Transition::moves("asking", CANCELLED, "cancelled", "handoff.cancelled"),
        Transition::moves("dead", "somebody redrives it", "queued", "handoff.redriven"),
        Transition::moves("dead", "somebody redrives it while what it depends on has not ended, or it has to be approved", "waiting", "handoff.redriven"),
    ],
};

/// A group of tasks; it comes into being with its first task, of which that task's event tells.
pub(in crate::engine) const GROUP: Machine = Machine {
    name: "group",
    transitions: &[Transition::ends(
        "gathering",
        "all its tasks are there and have ended, its dispatcher cancels it, or no further one came for as long as results are kept",
        "handoff.gathered",
    )],
};

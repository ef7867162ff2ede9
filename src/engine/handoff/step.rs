//! Steps: what can happen to a task. `task` says what each means where the task stands.

use crate::engine::ids::TaskNo;
use crate::wire::Millis;
use crate::wire::handoff::TaskError;
use crate::wire::name::Agent;

use super::last_report::LastReport;

/// What happens to a task.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) enum Step {
    /// Its delay or backoff is over.
    Due,
    /// It is sent to a worker.
    Assign(Agent),
    /// Its worker is at it.
    Run,
    /// Its worker cannot go on without an answer, and waits for it until then.
    Ask(Millis),
    /// It has an answer, or none in time, and its worker goes on.
    Resume(AskEnd),
    /// It has, and its worker is gone: another one may begin with it.
    Requeue(AskEnd),
    /// Its worker is done.
    Succeed(LastReport),
    /// Its worker failed.
    Fail(TaskError, LastReport),
    /// Its worker gives it back: no failure, but so often that it must be its own fault.
    Release {
        /// So often it may be.
        most: u32,
    },
    /// Its worker went silent or away.
    Lose(TaskError),
    /// Its deadline came.
    Expire,
    /// Somebody cancelled it.
    Cancel(TaskError),
    /// What it depends on has failed, or it was not approved.
    Doom(TaskError),
    /// Somebody wants a dead one tried again, which may have to wait for these first.
    Redrive(Vec<TaskNo>),
}

/// How the wait for an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum AskEnd {
    Answered,
    TimedOut,
}

impl Step {
    /// The event that tells of it.
    pub(super) fn event(&self) -> &'static str {
        match self {
            Step::Due => "handoff.queued",
            Step::Assign(_) => "handoff.assigned",
            Step::Run => "handoff.running",
            Step::Ask(_) => "handoff.asked",
            Step::Resume(AskEnd::Answered) | Step::Requeue(AskEnd::Answered) => "handoff.answered",
            Step::Resume(AskEnd::TimedOut) | Step::Requeue(AskEnd::TimedOut) => {
                "handoff.unanswered"
            }
            Step::Succeed(_) => "handoff.succeeded",
            Step::Fail(..) | Step::Doom(_) => "handoff.failed",
            Step::Release { .. } => "handoff.released",
            Step::Lose(_) => "handoff.lost",
            Step::Expire => "handoff.expired",
            Step::Cancel(_) => "handoff.cancelled",
            Step::Redrive(_) => "handoff.redriven",
        }
    }
}
